#!/usr/bin/env python3
"""Log-likelihoods of every choice of a task by transformers in float32, and by lathe-train: the same choices on every item?

    python3 -m venv V; V/bin/pip install torch transformers accelerate gguf numpy
    xz -dk arc_easy.jsonl.xz
    V/bin/python tests/bench/eval_compare.py reference --model M --task arc_easy.jsonl --out arc.reference
    V/bin/python tests/bench/eval_compare.py ours --model M --task arc_easy.jsonl --work W [--bin build/release/bin]
    V/bin/python tests/bench/eval_compare.py compare --task arc_easy.jsonl --out arc.reference --work W

M is a folder or a GGUF file, a task's lines are {"choices": [{"context", "continuation"}], "gold"}. The reference follows
lm-evaluation-harness (trailing spaces to the continuation, the tail of the tokens of both, left truncation); it keeps an
item's context in transformers' own cache, takes contexts of one length together, and checks an item of every tenth batch against whole sequences without one. It is slow: it
writes an item a line and goes on where it was. Exit status 1 when a choice differs whose log-likelihoods are further
apart than rounding."""
import argparse, json, os, pathlib, subprocess, sys, time

os.environ.update(TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
ROOT = pathlib.Path(__file__).resolve().parents[2]
NEAR = 2e-3  # log-likelihoods this close are the same but for rounding


def items_of(path, limit):
    lines = pathlib.Path(path).read_text().splitlines()
    return [json.loads(line) for line in (lines[:limit] if limit else lines)]


class Reference:
    def __init__(self, path, threads, context):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        path = pathlib.Path(path)
        where = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
        folder = path.parent if where else path
        torch.set_num_threads(threads)
        self.torch, self.context = torch, context
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **where)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **where).eval()

    def encode(self, context, continuation):
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        tokens = lambda text: self.tokenizer(text, add_special_tokens=False)["input_ids"]
        before, whole = tokens(context), tokens(context + continuation)
        asked = whole[len(before):]
        before = (before + asked)[-(self.context + 1):][:-len(asked)]
        return before, asked

    def whole(self, pair):
        before, asked = pair
        torch = self.torch
        logits = self.model(torch.tensor([(before + asked)[:-1]])).logits[0, -len(asked):]
        return float(torch.log_softmax(logits, -1).gather(1, torch.tensor(asked)[:, None]).sum())

    def shared(self, batch):
        """Items whose contexts have as many tokens: the contexts once, then all continuations as one padded batch."""
        torch, n = self.torch, len(batch[0][0][0])
        first = self.model(torch.tensor([pairs[0][0] for pairs in batch]), use_cache=True, logits_to_keep=1)
        start = torch.log_softmax(first.logits[:, -1], -1)
        owner = [b for b, pairs in enumerate(batch) for _ in pairs]
        asked = [a for pairs in batch for _, a in pairs]
        sums = [float(start[b, a[0]]) for b, a in zip(owner, asked)]
        longest = max(map(len, asked)) - 1
        if longest:
            cache = first.past_key_values
            cache.batch_select_indices(torch.tensor(owner))
            rows = torch.tensor([a[:-1] + [0] * (longest - len(a) + 1) for a in asked])
            at = torch.arange(n, n + longest)[None].expand(len(rows), -1)
            log_p = torch.log_softmax(self.model(rows, past_key_values=cache, position_ids=at, use_cache=True).logits, -1)
            sums = [s + sum(float(log_p[i, k, t]) for k, t in enumerate(a[1:])) for i, (s, a) in enumerate(zip(sums, asked))]
        return [[s for s, b in zip(sums, owner) if b == i] for i in range(len(batch))]

    def score(self, batch, check):
        with self.torch.no_grad():
            if any(before != pairs[0][0] for pairs in batch for before, _ in pairs):
                return [[self.whole(pair) for pair in pairs] for pairs in batch]
            sums = self.shared(batch)
            for got, pair in zip(sums[0], batch[0]) if check else ():
                assert abs(got - self.whole(pair)) < NEAR, "transformers' cache disagrees with itself"
        return sums


def batches_of(pairs, done, most):
    """Numbers of items not yet done: those with one context of the same length together, the others alone."""
    groups = {}
    for i, item in enumerate(pairs):
        if i not in done:
            one = all(before == item[0][0] for before, _ in item)
            groups.setdefault(len(item[0][0]) if one else (i,), []).append(i)
    return [g[k:k + most] for g in groups.values() for k in range(0, len(g), most)]


def read_reference(path):
    path = pathlib.Path(path)
    return dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}


def reference(args):
    items, model = items_of(args.task, args.limit), Reference(args.model, args.threads, args.context)
    pairs = [[model.encode(c["context"], c["continuation"]) for c in item["choices"]] for item in items]
    with open(args.out, "a") as f:
        for n, batch in enumerate(batches_of(pairs, read_reference(args.out), 8)):
            for i, sums in zip(batch, model.score([pairs[i] for i in batch], n % 10 == 0)):
                f.write(json.dumps([i, sums]) + "\n")
            f.flush()


def ours(args):
    job = {"schema": "lathe.job/1", "kind": "evaluate", "work_dir": args.work, "backend": args.backend, "threads": args.threads, "context": args.context,
           "model": {"path": str(pathlib.Path(args.model).resolve())}, "batch_tokens": args.batch_tokens,
           "tasks": [{"name": "task", "form": "pairs", "files": [{"path": str(pathlib.Path(args.task).resolve())}], "limit": args.limit or 0}]}
    start = time.time()
    run = subprocess.run([str(args.bin / "lathe-train")], input=json.dumps(job), stdout=subprocess.PIPE, text=True)
    events = [json.loads(line) for line in run.stdout.splitlines()]
    print(json.dumps(events[-1].get("results", events[-1])), f"{time.time() - start:.1f} s")
    sys.exit(run.returncode)


def pick(sums, lengths=None):
    values = [s / n for s, n in zip(sums, lengths)] if lengths else sums
    return max(range(len(values)), key=lambda i: (values[i], -i))


def compare(args):
    items = items_of(args.task, args.limit)
    theirs = read_reference(args.out)
    samples = [json.loads(line) for line in (pathlib.Path(args.work) / "result/samples_task.jsonl").read_text().splitlines()]
    both = [i for i in sorted(theirs) if i < min(len(items), len(samples))]
    n = len(both)
    worst, differ, right = 0.0, [], {"ours": [0, 0], "theirs": [0, 0]}
    for i in both:
        mine = [float(r[0]) for r in samples[i]["filtered_resps"]]
        lengths = [len(c["continuation"].removeprefix(" ")) for c in items[i]["choices"]]
        worst = max(worst, max(abs(a - b) for a, b in zip(mine, theirs[i])))
        for k, by in enumerate((None, lengths)):
            a, b, gold = pick(mine, by), pick(theirs[i], by), items[i]["gold"]
            right["ours"][k] += a == gold
            right["theirs"][k] += b == gold
            assert samples[i][("acc", "acc_norm")[k]] == (a == gold), f"item {i}: the samples file contradicts itself"
            if a != b:
                gap = abs(theirs[i][a] - theirs[i][b]) if not k else abs(theirs[i][a] / lengths[a] - theirs[i][b] / lengths[b])
                differ.append((i, ("acc", "acc_norm")[k], gap))
    print(f"{n} items, {sum(len(theirs[i]) for i in both)} log-likelihoods, largest difference {worst:.2e}")
    for name, (acc, norm) in right.items():
        print(f"{name}: acc {acc / n:.4f} ({acc}), acc_norm {norm / n:.4f} ({norm})")
    print(f"choices that differ: {len(differ)}", *differ[:10])
    bad = worst > NEAR * 5 or any(gap > NEAR for _, _, gap in differ)
    print("1 failed" if bad else f"{n} passed, 0 failed")
    sys.exit(bad)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("reference", "ours", "compare"))
    for name in ("model", "task", "out", "work"):
        parser.add_argument("--" + name)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--backend", default="cpu")
    for name, value in (("threads", 2), ("context", 2048), ("limit", 0), ("batch-tokens", 8192)):
        parser.add_argument("--" + name, type=int, default=value)
    args = parser.parse_args()
    {"reference": reference, "ours": ours, "compare": compare}[args.what](args)


main()
