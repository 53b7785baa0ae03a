#!/usr/bin/env python3
"""Makes tokenizer_*/ beside this file: small tokenizer.json files of the families that shared/golden
does not have, trained here, and the ids that Hugging Face's tokenizers gives for awkward texts.

    pip install tokenizers==0.23.3; python3 make_tokenizers.py TEXTS.jsonl
"""
import json, pathlib, sys
from itertools import islice
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
TEXTS = [
    "Hello world!", "I'll WE'VE don'T it'S o'ſ 'lL'", "  two  spaces\n\n\n\tand\r\ntabs \n x", "3.14159 and 1000000, x2²½Ⅷ٣٤",
    "naïve cafe\u0301 — “quotes” …", "A\u030a\u0323 \u1e9b\u0323 ﬁ ① \u2126 \uac00 \u1100\u1161\u11a8", "日本語のテキスト、中文字符。한국어",
    "🤖👩‍👩‍👧 e\u200be\u180ee\u00a0e\u2003e\u3000e\u0085e", "<|endoftext|>", "a<|im_start|>user\nHi<|im_end|>b", "x  <left>  y  <right>  z",
    "word wordy word. aword word", "<|im_start|<|im_start|>", "ünïcode unicode", "", " ", "\n", "a" * 100, "the " * 50,
    "def f(x):\n    return x  # ok\n\n\nclass A:\n\tpass", "\x00\x01\x1c\x7f", "ab<left><left>ab<right> <right> ab", "'s", "'", " '", "!'s!!\n\n!\r\n x",
    "हिन्दी और ภาษาไทย العربية עברית", "\U0001f3f4\U000e0067\U000e0062 \u0301\u0301 x", "1 22 333 4444 55555 ", "tab\there\t\tnow \t\n \t.",
]


def added():
    return [AddedToken("<|endoftext|>", special=True), AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True),
            AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=True),
            AddedToken("word", single_word=True, normalized=True), AddedToken("u\u0308nïcode", normalized=True)]


def byte_level(regex, nfc, ignore_merges):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if nfc:
        tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    return tok, pre_tokenizers.ByteLevel.alphabet(), []


def runes():
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training only; real files have none
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tok, [], ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]


def make(name, built, corpus):
    tok, alphabet, special = built
    tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=900, show_progress=False, initial_alphabet=alphabet, special_tokens=special,
                                                        limit_alphabet=300))
    if special:
        tok.pre_tokenizer = None
        tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        data = json.loads(tok.to_str())
        data["pre_tokenizer"] = None
        data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
        if name == "tokenizer_llama2_strings":
            data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
        tok = Tokenizer.from_str(json.dumps(data))
    else:
        if name.endswith("llama3"):  # a word that no rule makes
            data = json.loads(tok.to_str())
            data["model"]["vocab"]["\u0120caf\u00c3\u00a9"] = len(data["model"]["vocab"])
            tok = Tokenizer.from_str(json.dumps(data))
        tok.add_tokens(added())
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tok.to_str()), ensure_ascii=False, separators=(",", ":")))
    cases = [{"text": t, "ids": (e := tok.encode(t, add_special_tokens=False)).ids, "decoded": tok.decode(e.ids, skip_special_tokens=False)}
             for t in TEXTS + [" café", "a café"]]
    (folder / "expected.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(name, tok.get_vocab_size(), sum(len(c["ids"]) for c in cases))


corpus = [json.loads(line)["text"][:20000] for line in islice(open(sys.argv[1]), 40)]
make("tokenizer_qwen2", byte_level(QWEN2, True, False), corpus)
make("tokenizer_llama3", byte_level(LLAMA3, False, True), corpus)
make("tokenizer_llama2_strings", runes(), corpus)
