#!/usr/bin/env python3
"""The peer: a lean Llama in PyTorch, one training step timed with device events.

Fused qkv and gate+up weights, bf16 autocast with float32 master weights, causal scaled-dot-product
attention, fused AdamW, gradient clipping, the whole model and loss under torch.compile. Prints one
JSON object like `lathe-train bench`, so that the two can be put side by side.

    torch_llama.py --shape 135m --batch 16 --seq 2048 --steps 20 [--mode reduce-overhead]
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {  # hidden, layers, q_heads, kv_heads, head_dim, ffn, vocabulary
    "135m": (576, 30, 9, 3, 64, 1536, 49152),
    "1.7b": (2048, 24, 32, 32, 64, 8192, 49152),
    "14.7m": (256, 12, 4, 4, 64, 1024, 8192),
    "small": (256, 8, 4, 4, 64, 768, 4096),
}


class Block(nn.Module):
    def __init__(self, c, h, k, d, f):
        super().__init__()
        self.h, self.k, self.d = h, k, d
        self.norm1, self.norm2 = nn.RMSNorm(c, eps=1e-5), nn.RMSNorm(c, eps=1e-5)
        self.qkv = nn.Linear(c, (h + 2 * k) * d, bias=False)
        self.o = nn.Linear(h * d, c, bias=False)
        self.gate_up = nn.Linear(c, 2 * f, bias=False)
        self.down = nn.Linear(f, c, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).split([self.h * self.d, self.k * self.d, self.k * self.d], -1)
        q = rope(q.view(b, t, self.h, self.d).transpose(1, 2), cos, sin)
        k = rope(k.view(b, t, self.k, self.d).transpose(1, 2), cos, sin)
        v = v.view(b, t, self.k, self.d).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.h != self.k)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, -1))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Llama(nn.Module):
    def __init__(self, shape, seq):
        super().__init__()
        c, layers, h, k, d, f, vocab = shape
        self.embed = nn.Embedding(vocab, c)
        self.blocks = nn.ModuleList(Block(c, h, k, d, f) for _ in range(layers))
        self.norm = nn.RMSNorm(c, eps=1e-5)
        angle = torch.outer(torch.arange(seq).float(), 1e4 ** (-torch.arange(0, d, 2).float() / d))
        self.register_buffer("cos", angle.cos().bfloat16())
        self.register_buffer("sin", angle.sin().bfloat16())
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed(ids).bfloat16()
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.reshape(-1))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--shape", choices=SHAPES, default="135m")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--seq", type=int, default=2048)
    a.add_argument("--steps", type=int, default=20)
    a.add_argument("--mode", default="default", help="of torch.compile; eager for none")
    a = a.parse_args()
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    shape = SHAPES[a.shape]
    model = Llama(shape, a.seq).cuda()
    n = sum(p.numel() for p in model.parameters())
    optim = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run = model if a.mode == "eager" else torch.compile(model, mode=None if a.mode == "default" else a.mode)
    data = [torch.randint(0, shape[6], (a.batch, a.seq + 1), device="cuda") for _ in range(4)]

    def step(i):
        ids = data[i % 4]
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = run(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optim.step()
        optim.zero_grad(set_to_none=True)
        return loss

    start = time.time()
    for i in range(5):
        step(i)
    torch.cuda.synchronize()
    warm = time.time() - start
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(a.steps + 1)]
    marks[0].record()
    for i in range(a.steps):
        loss = step(i)
        marks[i + 1].record()
    torch.cuda.synchronize()
    ms = statistics.median(x.elapsed_time(y) for x, y in zip(marks, marks[1:]))
    tokens = a.batch * a.seq
    flops = 6 * n + 6 * shape[1] * shape[2] * shape[4] * a.seq
    print(json.dumps({"peer": f"torch {torch.__version__} {a.mode}", "shape": a.shape, "batch": a.batch, "sequence_length": a.seq,
                      "params": n, "milliseconds_per_step": ms, "tokens_per_second": tokens / ms * 1e3,
                      "mfu": flops * tokens / ms * 1e3 / 989e12, "loss": loss.item(),
                      "warm_up_seconds": warm, "peak_bytes": torch.cuda.max_memory_allocated()}))


if __name__ == "__main__":
    main()
