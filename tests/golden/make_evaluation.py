#!/usr/bin/env python3
"""Golden evaluation: a tiny model with unequal layers, items of every form, and what lm-evaluation-harness's conventions make of
them. Independent of ours: the network in numpy (float64), one plain forward a choice, token ids by Hugging Face's tokenizers, text
by Python's own str and re.

    python3 -m venv V; V/bin/pip install numpy tokenizers safetensors
    V/bin/python tests/golden/make_evaluation.py        writes tests/golden/evaluation
"""
import json, math, pathlib, re

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
OUT = HERE / "evaluation"
CONTEXT, HIDDEN, HEAD, VOCAB, EPS, THETA = 48, 20, 4, 907, 1e-5, 10000.0
LAYERS = [(4, 2, 24), (3, 3, 17), (2, 1, 30)]  # query heads, KV heads, FFN

PAIRS = [
    {"choices": [{"context": "Question: What is it?\nAnswer:", "continuation": c} for c in (" this", " that one", " naïve café")], "gold": 1},
    {"choices": [{"context": "Trailing spaces go over  ", "continuation": c} for c in ("now", "never", "now")], "gold": 0},
    {"choices": [{"context": "", "continuation": c} for c in ("Once upon a time", "The end")], "gold": 1},
    {"choices": [{"context": "It was the best of times, it was the worst of times, " * n, "continuation": c} for n, c in ((9, " it was"), (9, " the age of wisdom"), (8, " it"))], "gold": 2},
    {"choices": [{"context": "One token:", "continuation": c} for c in (" a", " b", " c", " d", " e")], "gold": 4},
]
ARC = [
    {"id": "a", "question": {"stem": "Which of these is a metal?", "choices": [{"text": "iron", "label": "A"}, {"text": "wood", "label": "B"}, {"text": "a piece of glass", "label": "C"}]}, "answerKey": "A"},
    {"id": "b", "question": "How many legs has a spider?", "choices": {"text": ["six", "eight", "four", "ten"], "label": ["1", "2", "3", "4"]}, "answerKey": "2"},
]
HELLASWAG = [
    {"ind": 4, "activity_label": "Removing ice from car", "ctx_a": "Then, the man writes over the snow.", "ctx_b": "then, The WOMAN", "endings": ["adds wax. [substeps] Wait.", "skis [a] and [b]  down.", " falls [title] Done", "sits  down   there"], "label": 3},
    {"ind": 5, "activity_label": "Home and Garden", "ctx_a": "[header] How to mow [title] Wait for dry weather.", "ctx_b": "", "endings": ["[step] Rain [unclosed\nis] wet.", "Élan. ", "x", "y z"], "label": "0"},
]
PIQA = [
    {"goal": "Open a jar.", "sol1": "Turn the lid.", "sol2": "Break the jar with a hammer, carefully."},
    {"goal": "Dry hands", "sol1": "Use water.", "sol2": "Use a towel."},
    {"goal": "Cool soup", "sol1": "Wait.", "sol2": "Heat it."},
]
PIQA_LABELS = [0, 1, 0]
WINOGRANDE = [
    {"qID": "x-1", "sentence": "The trophy does not fit into the bag because _ is too large.", "option1": "the trophy", "option2": "the bag", "answer": "1"},
    {"qID": "x-2", "sentence": "_ was late, so Anna left without Ben.", "option1": "Anna", "option2": "Ben", "answer": "2"},
]
BOOLQ = [
    {"question": "is iron a metal", "title": "Iron", "answer": True, "passage": "Iron is a metal. It rusts."},
    {"question": "is wood a metal", "label": 0, "passage": "Wood comes from trees."},
]
LAMBADA = [{"text": "She opened the door and saw the cat"}, {"text": "He said: “no,” and then he said yes"}, {"text": "a a a a a a a a"}]
TEXT = [
    {"text": "A short one."},
    {"text": "It was the best of times,\n it was the  worst of times.\u00a0The end \n" * 6},
    {"text": "naïve 12 345"},
]


def weights(rng):
    draw = lambda *size: (rng.standard_normal(size) * 1.5 / math.sqrt(size[-1])).astype(np.float16).astype(np.float32)
    gain = lambda: (1 + 0.1 * rng.standard_normal(HIDDEN)).astype(np.float16).astype(np.float32)
    w = {"model.embed_tokens.weight": draw(VOCAB, HIDDEN) * 4, "model.norm.weight": gain()}
    for l, (q, k, f) in enumerate(LAYERS):
        at, mlp = f"model.layers.{l}.self_attn.", f"model.layers.{l}.mlp."
        w |= {at + "q_proj.weight": draw(q * HEAD, HIDDEN), at + "k_proj.weight": draw(k * HEAD, HIDDEN), at + "v_proj.weight": draw(k * HEAD, HIDDEN),
              at + "o_proj.weight": draw(HIDDEN, q * HEAD), mlp + "gate_proj.weight": draw(f, HIDDEN), mlp + "up_proj.weight": draw(f, HIDDEN),
              mlp + "down_proj.weight": draw(HIDDEN, f), f"model.layers.{l}.input_layernorm.weight": gain(),
              f"model.layers.{l}.post_attention_layernorm.weight": gain()}
    return w


def config():
    q, k, f = (max(layer[i] for layer in LAYERS) for i in range(3))
    return {"model_type": "llama", "hidden_size": HIDDEN, "head_dim": HEAD, "vocab_size": VOCAB, "num_hidden_layers": len(LAYERS), "num_attention_heads": q,
            "num_key_value_heads": k, "intermediate_size": f, "tie_word_embeddings": True, "rms_norm_eps": EPS, "rope_theta": THETA,
            "max_position_embeddings": CONTEXT, "hidden_act": "silu",
            "per_layer_config": {str(i): {"num_attention_heads": a, "num_key_value_heads": b, "intermediate_size": c} for i, (a, b, c) in enumerate(LAYERS)}}


def norm(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * gain


def rotate(x):  # (heads, time, HEAD)
    t = np.arange(x.shape[1])[:, None] * THETA ** (-np.arange(0, HEAD, 2) / HEAD)
    cos, sin = np.cos(t), np.sin(t)
    a, b = x[..., :HEAD // 2], x[..., HEAD // 2:]
    return np.concatenate((a * cos - b * sin, b * cos + a * sin), -1)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def forward(w, ids):
    x, n = w["model.embed_tokens.weight"][ids], len(ids)
    for l, (q, k, _) in enumerate(LAYERS):
        at, mlp = f"model.layers.{l}.self_attn.", f"model.layers.{l}.mlp."
        h = norm(x, w[f"model.layers.{l}.input_layernorm.weight"])
        split = lambda name, heads: (h @ w[at + name].T).reshape(n, heads, HEAD).swapaxes(0, 1)
        Q, K, V = rotate(split("q_proj.weight", q)), rotate(split("k_proj.weight", k)), split("v_proj.weight", k)
        K, V = K.repeat(q // k, 0), V.repeat(q // k, 0)
        scores = Q @ K.swapaxes(1, 2) / math.sqrt(HEAD) + np.triu(np.full((n, n), -np.inf), 1)
        x = x + (np.exp(log_softmax(scores)) @ V).swapaxes(0, 1).reshape(n, -1) @ w[at + "o_proj.weight"].T
        h = norm(x, w[f"model.layers.{l}.post_attention_layernorm.weight"])
        gate = h @ w[mlp + "gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[mlp + "up_proj.weight"].T)) @ w[mlp + "down_proj.weight"].T
    return log_softmax(norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T)


class Asker:
    def __init__(self, w, tokenizer, prefix, bos):
        self.w, self.tokenizer, self.prefix, self.bos = w, tokenizer, prefix, bos

    def encode(self, text):
        return ([self.prefix] if self.bos else []) + self.tokenizer.encode(text, add_special_tokens=False).ids

    def ask(self, before, asked):
        row = forward(self.w, ((before + asked)[-(CONTEXT + 1):])[:-1])[-len(asked):]
        return sum(row[i, t] for i, t in enumerate(asked)), all(int(row[i].argmax()) == t for i, t in enumerate(asked))

    def choice(self, context, continuation):
        if not context:
            asked = self.tokenizer.encode(continuation, add_special_tokens=False).ids
            return self.ask([self.prefix], asked)
        bare = context.rstrip()
        whole, before = self.encode(context + continuation), self.encode(bare)
        return self.ask(before, whole[len(before):])

    def document(self, text):
        ids = self.encode(text)
        total, done = self.ask([self.prefix], ids[:CONTEXT])[0], len(ids[:CONTEXT])
        while done < len(ids):
            end = min(len(ids), done + CONTEXT)
            total += self.ask(ids[max(0, end - CONTEXT - 1):done], ids[done:end])[0]
            done = end
        return total, len(ids)

    def likeliest_word(self, context):
        """One token that is a word with a space before it, the model's first choice, or None."""
        text = self.tokenizer.decode([int(forward(self.w, self.encode(context))[-1].argmax())])
        return text if re.fullmatch(r" \w+", text) else None


def clean(text):
    text = text.strip()
    text = text.replace(" [title]", ". ")
    text = re.sub(r"\[.*?\]", "", text)
    return text.replace("  ", " ")


def requests(form, item):
    """[(context, continuation, letters of the choice)], gold"""
    if form == "pairs":
        return [(c["context"], c["continuation"], len(c["continuation"].removeprefix(" "))) for c in item["choices"]], item["gold"]
    if form == "arc":
        q = item["question"]
        texts = [c["text"] for c in q["choices"]] if isinstance(q, dict) else item["choices"]["text"]
        labels = [c["label"] for c in q["choices"]] if isinstance(q, dict) else item["choices"]["label"]
        stem = q["stem"] if isinstance(q, dict) else q
        return [(f"Question: {stem}\nAnswer:", " " + t, len(t)) for t in texts], labels.index(item["answerKey"])
    if form == "hellaswag":
        context = clean(item["activity_label"] + ": " + item["ctx_a"] + " " + item["ctx_b"].capitalize())
        return [(context, " " + clean(e), len(clean(e))) for e in item["endings"]], int(item["label"])
    if form == "piqa":
        return [(f"Question: {item['goal']}\nAnswer:", " " + item[s], len(item[s])) for s in ("sol1", "sol2")], PIQA_LABELS[PIQA.index(item)]
    if form == "winogrande":
        before, after = item["sentence"].split("_")
        return [(before + item[o], " " + after.strip(), 1) for o in ("option1", "option2")], int(item["answer"]) - 1
    if form == "boolq":
        return [(f"{item['passage']}\nQuestion: {item['question']}?\nAnswer:", " " + a, len(a)) for a in ("no", "yes")], int(item.get("answer", item.get("label")))
    words = item["text"].split(" ")
    return [(" ".join(words[:-1]), " " + words[-1], 1)], 0


def first_max(values):
    return max(range(len(values)), key=lambda i: (values[i], -i))


def mean(name, values):
    n, m = len(values), sum(values) / len(values)
    return {name: m, name + "_stderr": math.sqrt(sum((v - m) ** 2 for v in values) / (n - 1)) / math.sqrt(n)}


def evaluate(asker, form, items):
    if form == "text":
        docs = [asker.document(i["text"]) for i in items]
        total, tokens = sum(d[0] for d in docs), sum(d[1] for d in docs)
        words, size = sum(len(re.split(r"\s+", i["text"])) for i in items), sum(len(i["text"].encode()) for i in items)
        return {"sums": [[d[0]] for d in docs], "metrics": {
            "word_perplexity": math.exp(-total / words), "byte_perplexity": math.exp(-total / size), "bits_per_byte": -total / size / math.log(2),
            "token_perplexity": math.exp(-total / tokens), "document_perplexity": math.exp(-sum(d[0] / d[1] for d in docs) / len(docs))}}
    sums, greedy, acc, norms = [], [], [], []
    for item in items:
        asked, gold = requests(form, item)
        answers = [asker.choice(c, t) for c, t, _ in asked]
        sums.append([a[0] for a in answers])
        greedy.append([a[1] for a in answers])
        acc.append(float(first_max(sums[-1]) == gold))
        norms.append(float(first_max([s / n for s, (_, _, n) in zip(sums[-1], asked)]) == gold))
    metrics = mean("acc", acc)
    if form in ("pairs", "arc", "hellaswag", "piqa"):
        metrics |= mean("acc_norm", norms)
    if form == "lambada":
        metrics = mean("acc", [float(g[0]) for g in greedy])
        m = mean("x", [s[0] for s in sums])
        metrics |= {"perplexity": math.exp(-m["x"]), "perplexity_stderr": math.exp(-m["x"]) * m["x_stderr"]}
    return {"sums": sums, "greedy": greedy, "metrics": metrics}


def main():
    (OUT / "model").mkdir(parents=True, exist_ok=True)
    w = weights(np.random.default_rng(6))
    save_file({k: v.astype(np.float16) for k, v in w.items()}, OUT / "model/model.safetensors", metadata={"format": "pt"})
    (OUT / "model/config.json").write_text(json.dumps(config()) + "\n")
    w = {k: v.astype(np.float64) for k, v in w.items()}
    path = HERE / "tokenizer_qwen2/tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    end, begin = tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_start|>")
    tasks = {"pairs": PAIRS, "arc": ARC, "hellaswag": HELLASWAG, "piqa": PIQA, "winogrande": WINOGRANDE, "boolq": BOOLQ, "lambada": LAMBADA, "text": TEXT}
    plain = Asker(w, tokenizer, end, False)
    starts = (f"{a} {b}" for a in ("The", "And", "She", "He said", "It was") for b in ("old", "cat", "door", "man of", "sea in the", "time", "way to", "end of"))
    LAMBADA[2]["text"] = next(s + plain.likeliest_word(s) for s in starts if plain.likeliest_word(s))
    expected = {form: evaluate(plain, form, items) for form, items in tasks.items()}
    bos = Asker(w, tokenizer, begin, True)  # a tokenizer that puts a token before every text
    expected |= {"bos_" + form: evaluate(bos, form, tasks[form]) for form in ("pairs", "text")}
    for form, items in tasks.items():
        (OUT / f"{form}.jsonl").write_text("".join(json.dumps(i, ensure_ascii=False) + "\n" for i in items))
    (OUT / "arc.json").write_text(json.dumps(ARC, indent=1))
    (OUT / "piqa.labels").write_text("".join(f"{i}\n" for i in PIQA_LABELS))
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    special = {"id": "<|im_start|>", "ids": [begin], "tokens": ["<|im_start|>"]}
    template = {"type": "TemplateProcessing", "special_tokens": {"<|im_start|>": special}, "pair": [],
                "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}
    (OUT / "post_processor.json").write_text(json.dumps(template) + "\n")


main()
