#!/usr/bin/env python3
"""Makes tokenizer_sentencepiece/ (BPE as Llama-2's is made) and tokenizer_unigram/, and the ids that sentencepiece gives.

    pip install sentencepiece; python3 make_sentencepiece.py TEXTS.jsonl [bpe|unigram]
"""
import json, os, pathlib, sys
from itertools import islice
import sentencepiece as spm

HERE = pathlib.Path(__file__).parent
corpus = [p for line in islice(open(sys.argv[1]), 20) for p in json.loads(line)["text"][:20000].split("\n") if p.strip()]
texts = json.loads((HERE / "tokenizer_qwen2/expected.json").read_text())
texts = [c["text"] for c in texts if "\x00" not in c["text"]] + ["a <mask>", "   x", "▁", "Llamas, 1234 of them; the old house."]


def make(kind, folder, texts):
    folder = HERE / folder
    folder.mkdir(exist_ok=True)
    os.chdir(folder)  # the model remembers its prefix
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_prefix="tokenizer", model_type=kind, vocab_size=700,
                                   byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
                                   user_defined_symbols=["<mask>"], allow_whitespace_only_pieces=True, character_coverage=0.999)
    (folder / "tokenizer.vocab").unlink()
    sp = spm.SentencePieceProcessor(str(folder / "tokenizer.model"))
    lines = [json.dumps({"text": t, "ids": sp.encode(t)}) for t in texts]
    (folder / "expected.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if sys.argv[2:] != ["unigram"]:
    make("bpe", "tokenizer_sentencepiece", texts)
if sys.argv[2:] != ["bpe"]:
    make("unigram", "tokenizer_unigram", texts + [p for p in corpus[5::97] if len(p) < 400][:25])
