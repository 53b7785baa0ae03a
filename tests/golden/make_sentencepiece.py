#!/usr/bin/env python3
"""Makes tokenizer_sentencepiece/: a small BPE model as Llama-2's is made, and the ids sentencepiece gives.

    pip install sentencepiece; python3 make_sentencepiece.py TEXTS.jsonl
"""
import json, pathlib, sys
from itertools import islice
import sentencepiece as spm

HERE = pathlib.Path(__file__).parent / "tokenizer_sentencepiece"
HERE.mkdir(exist_ok=True)
corpus = [p for line in islice(open(sys.argv[1]), 20) for p in json.loads(line)["text"][:20000].split("\n") if p.strip()]
spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_prefix=str(HERE / "tokenizer"), model_type="bpe", vocab_size=700, byte_fallback=True,
                               normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, user_defined_symbols=["<mask>"],
                               allow_whitespace_only_pieces=True, character_coverage=0.999)
(HERE / "tokenizer.vocab").unlink()
sp = spm.SentencePieceProcessor(str(HERE / "tokenizer.model"))
texts = json.loads((HERE.parent / "tokenizer_qwen2/expected.json").read_text())
texts = [c["text"] for c in texts if "\x00" not in c["text"]] + ["a <mask>", "   x", "▁", "Llamas, 1234 of them; the old house."]
(HERE / "expected.json").write_text("[\n" + ",\n".join(json.dumps({"text": t, "ids": sp.encode(t)}) for t in texts) + "\n]\n")
