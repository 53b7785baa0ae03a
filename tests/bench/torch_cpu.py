#!/usr/bin/env python3
"""The peer on a CPU: training steps of a lean Llama in PyTorch, float32 or bf16 autocast.

Reads lines from standard input and answers each: "step" with the seconds of one training step
(forward, backward, clipping, AdamW), "peak" with the largest resident size in bytes. So whoever
measures can take turns between this and something else. Environment as cpu.py sets it.

    torch_cpu.py SHAPE BATCH SEQ THREADS [bf16]
"""
import contextlib
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SHAPES = {  # hidden, layers, q_heads, kv_heads, head_dim, ffn, vocabulary
    "135m": (576, 30, 9, 3, 64, 1536, 49152),
    "small": (256, 8, 4, 4, 64, 768, 4096),
    "tiny": (64, 2, 4, 2, 16, 96, 300),
}


class Norm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c))

    def forward(self, x):
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-5)
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5).to(x.dtype) * self.weight


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    t = q.shape[-2]
    mask = torch.full((t, t), float("-inf")).triu(1)
    return F.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask, -1) @ v


class Block(nn.Module):
    def __init__(self, c, h, k, d, f):
        super().__init__()
        self.h, self.k, self.d = h, k, d
        self.norm1, self.norm2 = Norm(c), Norm(c)
        self.qkv = nn.Linear(c, (h + 2 * k) * d, bias=False)
        self.o = nn.Linear(h * d, c, bias=False)
        self.gate_up = nn.Linear(c, 2 * f, bias=False)
        self.down = nn.Linear(f, c, bias=False)

    def heads(self, x, n, repeat):
        b, t, _ = x.shape
        x = x.view(b, t, n, self.d).transpose(1, 2)
        return x.repeat_interleave(repeat, 1) if repeat > 1 else x

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).split([self.h * self.d, self.k * self.d, self.k * self.d], -1)
        group = self.h // self.k
        q = rope(self.heads(q, self.h, 1), cos, sin)
        k, v = rope(self.heads(k, self.k, group), cos, sin), self.heads(v, self.k, group)
        x = x + self.o(attention(q, k, v).transpose(1, 2).reshape(b, t, -1))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self, shape, seq):
        super().__init__()
        c, layers, h, k, d, f, vocab = shape
        self.embed = nn.Embedding(vocab, c)
        self.blocks = nn.ModuleList(Block(c, h, k, d, f) for _ in range(layers))
        self.norm = Norm(c)
        angle = torch.outer(torch.arange(seq).float(), 1e4 ** (-torch.arange(0, d, 2).float() / d))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.reshape(-1))


def main():
    name, batch, seq, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    bf16 = sys.argv[5:] == ["bf16"]
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model = Llama(SHAPES[name], seq)
    fused = {"fused": True} if torch.__version__ >= "2.4" else {}
    optim = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, **fused)
    ids = torch.randint(0, SHAPES[name][6], (batch, seq + 1))

    def step():
        cast = torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()
        with cast:
            loss = model(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optim.step()
        optim.zero_grad(set_to_none=True)

    print(f"torch {torch.__version__}", flush=True)
    for line in sys.stdin:
        if line.strip() == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
            continue
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
