#!/usr/bin/env python3
"""Malformed models, made here one by one, through lathe-train: every one is refused with a sentence that names the tensor or
the key (exit status 2), in bounded time and memory; nothing crashes.

    LATHE_BIN_DIR=build/dev/bin tests/trainer/hostile.py [WORD]      only cases whose name has the word; prints the sentences

What fuzzing found is here too, in the form in which a user could meet it."""
import json, os, pathlib, re, resource, shutil, struct, subprocess, sys, tempfile
from hostile_models import *

BIN = pathlib.Path(os.environ.get("LATHE_BIN_DIR", "build/dev/bin")) / "lathe-train"
SECONDS, MEBIBYTES = 60, 1500  # with sanitizers, on a busy machine
CASES = []


def case(name, want, make):
    CASES.append((name, want, make))


# ---- safetensors -----------------------------------------------------------------------------------------------------------

Q = "model.layers.1.self_attn.q_proj.weight"


def tensors(change):
    head, n = header()
    data = bytes(n)
    out = change(head, data)
    return out if isinstance(out, bytes) else safetensors(head, data)


def st(name, want, change):
    case("safetensors/" + name, want, lambda d: folder(d, tensors=tensors(change)))


def entry(**more):
    return lambda head, data: head[Q].update(more)


def first(head):
    return json.dumps(head).encode()


st("empty", "model.safetensors", lambda h, d: b"")
st("seven_bytes", "model.safetensors", lambda h, d: b"1234567")
st("header_longer_than_file", "header", lambda h, d: safetensors(h, d, 10**9))
st("header_2_63", "header", lambda h, d: safetensors(h, d, 2**63))
st("header_2_64_less_1", "header", lambda h, d: safetensors(h, d, 2**64 - 1))
st("header_no_json", "model.safetensors", lambda h, d: safetensors(b"{{{{{{{{", d))
st("header_no_utf8", "model.safetensors", lambda h, d: safetensors(b'{"\xff\xfe":{}}', d))
st("header_list", "model.safetensors", lambda h, d: safetensors(b"[1,2,3]", d))
st("header_deep", "model.safetensors", lambda h, d: safetensors(b'{"a":' * 5000 + b"1" + b"}" * 5000, d))
st("twice", "q_proj|duplicate", lambda h, d: safetensors(first(h)[:-1] + b"," + first({Q: h[Q]})[1:], d))
st("overlap", Q, lambda h, d: h[Q].update(data_offsets=[o - 4 for o in h[Q]["data_offsets"]]))
st("hole", "offset|gap|hole|starts", lambda h, d: h[Q].update(data_offsets=[o + 4 for o in h[Q]["data_offsets"]]))
st("beyond_the_end", "offset|end", entry(data_offsets=[0, 10**15]))
st("backwards", "offset", entry(data_offsets=[64, 0]))
st("negative", "offset", entry(data_offsets=[-64, 0]))
st("fraction", "offset", entry(data_offsets=[0.5, 64]))
st("offsets_missing", "offset", lambda h, d: h[Q].pop("data_offsets") and None)
st("not_its_size", Q, entry(shape=[16, HIDDEN + 1]))
st("overflow", Q, entry(shape=[2**32, 2**32]))
st("overflow_to_zero", Q, entry(shape=[2**62, 4]))
st("negative_dim", Q, entry(shape=[-16, -16]))
st("rank_40", Q, entry(shape=[1] * 40))
st("dtype_unknown", "dtype|F8", entry(dtype="F8_E4M3"))
st("dtype_whole", Q, lambda h, d: (h[Q].update(dtype="I32"), None)[1])
st("dtype_number", "dtype", entry(dtype=7))
st("truncated", "end|offset|bytes", lambda h, d: safetensors(h, d[:-100]))
st("longer", "end|offset|bytes", lambda h, d: safetensors(h, d + bytes(64)))
st("missing", Q, lambda h, d: safetensors({("x" if k == Q else k): v for k, v in h.items()}, d))
st("other_shape", Q, entry(shape=[HIDDEN // 2, 32]))
st("norms_of_q", "q_norm", lambda h, d: safetensors(h | {Q.replace("q_proj", "q_norm"): {"dtype": "F32", "shape": [4], "data_offsets": [len(d), len(d) + 16]}}, d + bytes(16)))
st("metadata_number", "metadata", lambda h, d: safetensors({"__metadata__": {"format": 3}} | h, d))
st("name_empty", "name|not part|tensor", lambda h, d: safetensors(h | {"": {"dtype": "F32", "shape": [1], "data_offsets": [len(d), len(d) + 4]}}, d + bytes(4)))
st("name_1_MB", "not part|name", lambda h, d: safetensors(h | {"n" * (1 << 20): {"dtype": "F32", "shape": [1], "data_offsets": [len(d), len(d) + 4]}}, d + bytes(4)))
st("header_with_more_behind", "header|model.safetensors", lambda h, d: safetensors(first(h) + b"}{", d))
st("header_with_nul", "header|model.safetensors", lambda h, d: safetensors(first(h).replace(b"q_proj", b"q\0proj", 1), d))
st("header_0", "header|model.safetensors", lambda h, d: safetensors(b"", d, 0))
st("shape_of_words", Q, entry(shape=["16", "16"]))
st("shape_true", Q, entry(shape=[True, 256]))
st("three_offsets", "offset", entry(data_offsets=[0, 4, 8]))
st("member_unknown", Q, entry(stride=[1, 2]))
st("a_hundred_thousand", "tensors|header", lambda h, d: safetensors({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100000)}, b""))
st("header_20_MB", "header", lambda h, d: safetensors(first(h) + b" " * (20 << 20), d))

# ---- config.json ---------------------------------------------------------------------------------------------------------------


def cf(name, want, settings):
    case("config/" + name, want, lambda d: folder(d, settings=settings))


cf("empty", "config.json", b"")
cf("no_json", "config.json", b"hidden_size = 16")
cf("list", "config.json", b"[]")
cf("twice", "hidden_size|duplicate", b'{"hidden_size":16,"hidden_size":17}')
cf("deep", "config.json", b"[" * 100000)
cf("zeros", "config.json", bytes(4096))
for k, v in (("hidden_size", 0), ("hidden_size", -1), ("hidden_size", 10**18), ("hidden_size", "16"), ("hidden_size", 16.5), ("num_hidden_layers", 10**9), ("num_hidden_layers", 0),
             ("num_attention_heads", 0), ("num_key_value_heads", 3), ("vocab_size", 2**40), ("intermediate_size", -5), ("intermediate_size", 10**7), ("model_type", "gpt2"),
             ("hidden_act", "gelu"), ("quantization_config", {"bits": 4}), ("head_dim", 3), ("head_dim", 10**9), ("rms_norm_eps", -1), ("rms_norm_eps", "x"), ("rope_theta", 0),
             ("rope_theta", -5), ("rope_scaling", {"rope_type": "yarn", "factor": 4}), ("mlp_bias", True), ("attention_bias", True), ("use_sliding_window", True)):
    cf(f"{k}_{json.dumps(v)}", "kv_heads" if v == 3 and k.startswith("num") else k, config(**{k: v}))
cf("openelm", "model_type.* openelm.*normalises.*weights cannot be read", {"model_type": "openelm", "model_dim": 16, "head_dim": 4, "num_query_heads": [4, 4]})
cf("nan", "config.json", b'{"model_type": "llama", "rms_norm_eps": NaN}')
cf("huge_number", "config.json|hidden_size", b'{"model_type": "llama", "hidden_size": ' + b"9" * 4000 + b"}")
cf("huge_exponent", "config.json|rms_norm_eps", b'{"model_type": "llama", "rms_norm_eps": 1e99999}')
cf("nul_in_key", "config.json", b'{"model_type": "llama", "hidden\\u0000size": 16}')
cf("lone_surrogate", "config.json", b'{"model_type": "\\ud800"}')
cf("byte_order_mark", "config.json", b"\xef\xbb\xbf{}")
cf("more_behind", "config.json", json.dumps(config()).encode() + b"{}")
for k, v in (("hidden_size", True), ("hidden_size", None), ("tie_word_embeddings", "yes"), ("rope_scaling", []), ("rope_scaling", {"rope_type": "llama3"}), ("rope_parameters", 3),
             ("model_type", None), ("model_type", "qwen3"), ("num_hidden_layers", [2]), ("vocab_size", 0)):
    cf(f"{k}_{json.dumps(v)}", "rope|factor" if "rope" in k else k, config(**{k: v}))
cf("layer_minus_1", "per_layer_config", config(per_layer_config={"-1": {"intermediate_size": 8}}))
cf("layer_number", "per_layer_config", config(per_layer_config={"0": 8}))
cf("layer_99", "per_layer_config", config(per_layer_config={"99": {"intermediate_size": 8}}))
cf("layer_word", "per_layer_config", config(per_layer_config={"first": {"intermediate_size": 8}}))
cf("layer_zero_heads", "num_attention_heads", config(per_layer_config={"1": {"num_attention_heads": 0}}))
cf("layer_skip", "skip", config(per_layer_config={"1": {"skip": ["attention"]}}))
cf("layer_list", "per_layer_config", config(per_layer_config=[1, 2]))
cf("blocks_missing", "block_configs", config(model_type="nemotron-nas"))
cf("block_no_op", "no_op", config(model_type="nemotron-nas", block_configs=[{"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.0}}]))
cf("block_group_zero", "n_heads_in_group", config(model_type="nemotron-nas", block_configs=[{"attention": {"n_heads_in_group": 0}, "ffn": {"ffn_mult": 1.0}}]))
cf("block_mult_huge", "ffn_mult", config(model_type="nemotron-nas", block_configs=[{"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1e300}}]))
cf("too_large_for_any_machine", "q_proj|embed_tokens", config(hidden_size=65536, intermediate_size=262144, num_hidden_layers=128, num_attention_heads=1024, num_key_value_heads=1024, head_dim=1024))

# ---- the index of shards --------------------------------------------------------------------------------------------------------


def ix(name, want, index, prepare=lambda d: None):
    def make(d):
        folder(d)
        (d / "model.safetensors").rename(d / "model-00001-of-00001.safetensors")
        (d / "model.safetensors.index.json").write_bytes(index if isinstance(index, bytes) else json.dumps(index).encode())
        prepare(d)
        return d
    case("index/" + name, want, make)


SHARD = "model-00001-of-00001.safetensors"
ALL = {n: SHARD for n in shapes()}
ix("empty", "index", b"")
ix("no_map", "weight_map", {"metadata": {}})
ix("map_of_numbers", "weight_map|embed|input_layernorm", {"weight_map": {n: 7 for n in shapes()}})
ix("escapes", "passwd|plain|file name|\\.\\.", {"weight_map": ALL | {Q: "../../../../etc/passwd"}})
ix("absolute", "passwd|plain|file name", {"weight_map": ALL | {Q: "/etc/passwd"}})
ix("itself", "index.json", {"weight_map": {n: "model.safetensors.index.json" for n in shapes()}})
ix("shard_missing", "model-00002", {"weight_map": ALL | {Q: "model-00002-of-00002.safetensors"}})
ix("loop_of_links", "model-00002", {"weight_map": ALL | {Q: "model-00002.safetensors"}}, lambda d: (d / "model-00002.safetensors").symlink_to("model-00002.safetensors"))
ix("folder", "model-00002", {"weight_map": ALL | {Q: "model-00002.safetensors"}}, lambda d: (d / "model-00002.safetensors").mkdir())
case("folder/nothing_in_it", "config.json", lambda d: d)
case("folder/config_is_one", "config.json", lambda d: ((d / "config.json").mkdir(), d)[1])
case("folder/no_weights", "model.safetensors", lambda d: (folder(d), (d / "model.safetensors").unlink(), d)[2])

# ---- GGUF ----------------------------------------------------------------------------------------------------------------------


def gg(name, want, *args, **options):
    def make(d):
        (d / "m.gguf").write_bytes(args[0] if args else gguf(**options))
        return d / "m.gguf"
    case("gguf/" + name, want, make)


EMBED = "token_embd.weight"
gg("empty", "m.gguf", b"")
gg("magic_alone", "m.gguf|header|GGUF", b"GGUF")
gg("other_magic", "GGUF|magic", b"GGML" + bytes(100))
gg("version_1", "version", version=1)
gg("version_99", "version", version=99)
gg("big_endian", "version", version=3 << 24)
gg("tensors_2_63", "tensor", n_tensors=2**63)
gg("keys_2_63", "key", n_keys=2**63)
gg("key_length_2_63", "key|string|end", raw_keys=struct.pack("<Q", 2**63) + b"x", more_keys=1)
gg("string_2_63", "string|end|long", raw_keys=text("a.b") + struct.pack("<IQ", STRING, 2**63), more_keys=1)
gg("array_2_63", "array|end|elements|a.b", raw_keys=text("a.b") + struct.pack("<IIQ", ARRAY, U32, 2**63), more_keys=1)
gg("array_2_61", "array|end|elements|a.b", raw_keys=text("a.b") + struct.pack("<IIQ", ARRAY, 10, 2**61), more_keys=1)
gg("array_of_arrays", "a.b", raw_keys=text("a.b") + struct.pack("<IIQ", ARRAY, ARRAY, 1), more_keys=1)
gg("type_77", "a.b", raw_keys=text("a.b") + struct.pack("<I", 77) + bytes(8), more_keys=1)
gg("key_twice", "general.architecture|twice", raw_keys=key("general.architecture", STRING, "llama"), more_keys=1)
gg("key_name_empty", "name", raw_keys=key("", U32, 1), more_keys=1)
gg("tensor_twice", EMBED, spoil=one("output_norm.weight", name=EMBED))
gg("dims_5", EMBED, spoil=one(EMBED, dims=[1] * 5))
gg("dims_2_31", "dim", spoil=one(EMBED, dims=[1] * 4000))
gg("dim_0", EMBED, spoil=one(EMBED, dims=[0, 4]))
gg("dim_2_63", EMBED, spoil=one(EMBED, dims=[2**63, 1]))
gg("dims_overflow", EMBED, spoil=one(EMBED, dims=[2**33, 2**33]))
gg("type_unknown", EMBED, spoil=one(EMBED, kind=99))
gg("type_whole", EMBED, spoil=one(EMBED, kind=26))
gg("block_does_not_divide", EMBED, spoil=one(EMBED, kind=8))
gg("offset_beyond", EMBED, spoil=one(EMBED, offset=10**12))
gg("offset_2_64", EMBED, spoil=one(EMBED, offset=2**64 - 32))
gg("offset_odd", EMBED, spoil=one(EMBED, offset=1))
gg("overlapping", "overlap|lies", spoil=one("output_norm.weight", offset=0))
gg("alignment_0", "alignment", keys=gguf_keys(general__alignment=(U32, 0)))
gg("alignment_3", "alignment", keys=gguf_keys(general__alignment=(U32, 3)))
gg("alignment_2_31", "alignment", keys=gguf_keys(general__alignment=(U32, 2**31)))
gg("no_architecture", "architecture", keys={k: v for k, v in gguf_keys().items() if k != "general.architecture"})
gg("mamba", "mamba", keys=gguf_keys(arch="mamba"))
gg("architecture_number", "architecture", keys=gguf_keys() | {"general.architecture": (U32, 3)})
for k, v in (("block_count", 10**9), ("block_count", 0), ("embedding_length", 0), ("embedding_length", 2**32 - 1), ("feed_forward_length", 0), ("attention.head_count", 0),
             ("attention.head_count", 3), ("attention.key_length", 3)):
    gg(f"{k}_{v}", k.split(".")[-1] if v != 3 else "", keys=gguf_keys(**{k: (U32, v)}))
gg("rotated_less", "rotated", keys=gguf_keys(**{"rope.dimension_count": (U32, 2)}))
gg("heads_array_short", "head_count", keys=gguf_keys(**{"attention.head_count": (ARRAY, (I32, [4]))}))
gg("heads_array_long", "head_count", keys=gguf_keys(**{"attention.head_count": (ARRAY, (I32, [4] * 1000))}))
gg("heads_array_negative", "head_count", keys=gguf_keys(**{"attention.head_count": (ARRAY, (I32, [4, -4]))}))
gg("heads_of_strings", "head_count", keys=gguf_keys(**{"attention.head_count": (ARRAY, (STRING, ["4", "4"]))}))
gg("epsilon_nan", "eps", keys=gguf_keys(**{"attention.layer_norm_rms_epsilon": (F32, float("nan"))}))
gg("tensor_missing", "blk.1.attn_q|q_proj", tensors={k: v for k, v in gguf_tensors().items() if k != "blk.1.attn_q.weight"})
gg("other_shape", "attn_q|q_proj", spoil=one("blk.1.attn_q.weight", dims=[8, 32]))
gg("experts", "ffn_gate_exps", tensors=gguf_tensors() | {"blk.0.ffn_gate_exps.weight": [HIDDEN, FFN]})
gg("openelm", "openelm", keys=gguf_keys(arch="openelm"))
gg("fused_qkv", "attn_qkv", tensors=gguf_tensors() | {"blk.0.attn_qkv.weight": [HIDDEN, 32]})
gg("norms_of_q", "attn_q_norm", tensors=gguf_tensors() | {"blk.0.attn_q_norm.weight": [HEAD]})
gg("no_tensors", "token_embd|embed_tokens", tensors={})
gg("tensor_name_empty", "name|tensor", spoil=one("output_norm.weight", name=""))
gg("tensor_name_1_MB", "name|tensor", spoil=one("output_norm.weight", name="n" * (1 << 20)))
gg("tensor_name_nul", "name|tensor", spoil=one("output_norm.weight", name="output\0norm"))
gg("strings_cut_off", "a.b|string|end", raw_keys=text("a.b") + struct.pack("<IIQ", ARRAY, STRING, 1000) + text("x"), more_keys=1)
gg("strings_2_40_long", "a.b|string|end", raw_keys=text("a.b") + struct.pack("<IIQQ", ARRAY, STRING, 1, 2**40), more_keys=1)
gg("embedding_word", "embedding_length", keys=gguf_keys(embedding_length=(STRING, "16")))
gg("embedding_fraction", "embedding_length", keys=gguf_keys(embedding_length=(F32, 16.5)))
gg("ffn_negative", "feed_forward_length", keys=gguf_keys(feed_forward_length=(I32, -24)))
gg("epsilon_infinite", "eps", keys=gguf_keys(**{"attention.layer_norm_rms_epsilon": (F32, float("inf"))}))
gg("truncated_data", "end|file|tensor", cut=5000)
gg("truncated_info", "end|tensor", gguf()[:1200])
gg("truncated_keys", "end|key", gguf()[:120])

# ---- tokenizers ---------------------------------------------------------------------------------------------------------------


def tk(name, want, tokenizer):
    case("tokenizer/" + name, want, lambda d: folder(d, tokenizer=tokenizer))


tk("empty", "tokenizer", b"")
tk("no_json", "tokenizer", b'{"model": {"type": "BPE", "vocab": {"a": ')
tk("list", "tokenizer", b"[]")
tk("unigram", "type|Unigram", byte_tokenizer(model={"type": "Unigram", "vocab": [["a", -1.0]]}))
tk("no_model", "model", {"version": "1.0"})
tk("vocab_list", "vocab", byte_tokenizer(model={"vocab": ["a", "b"]}))
tk("id_negative", "vocab", byte_tokenizer(model={"vocab": {"a": -1}}))
tk("id_2_40", "vocab", byte_tokenizer(model={"vocab": {"a": 2**40}}))
tk("id_twice", "vocab|id|twice", byte_tokenizer(model={"vocab": {"a": 0, "b": 0}}))
tk("id_word", "vocab", byte_tokenizer(model={"vocab": {"a": "0"}}))
tk("merge_of_nothing", "merges|merge", byte_tokenizer(model={"merges": ["zz yy"]}))
tk("merge_into_nothing", "merge", byte_tokenizer(model={"merges": ["a b"]}))
tk("merge_in_circles", "merge", byte_tokenizer(model={"merges": ["a b", "ab a", "aba ab", "b a"]}))
tk("merge_of_three", "merge", byte_tokenizer(model={"merges": [["a", "b", "c"]]}))
tk("merge_number", "merge", byte_tokenizer(model={"merges": [3]}))
tk("added_id_huge", "added_tokens|id", byte_tokenizer(added_tokens=[{"id": 2**31, "content": "<x>", "special": True}]))
tk("added_id_gap", "added_tokens|id|vocabulary|tokens", byte_tokenizer(added_tokens=[{"id": 4000000, "content": "<x>", "special": True}]))
tk("pattern_open", "expression", byte_tokenizer(pre_tokenizer={"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "(((("}, "behavior": "Isolated", "invert": False}, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}))
tk("pre_tokenizer_unknown", "pre_tokenizer", byte_tokenizer(pre_tokenizer={"type": "BertPreTokenizer"}))
tk("pre_tokenizer_in_itself", "pre_tokenizer|nest|deep|depth", json.dumps(byte_tokenizer(pre_tokenizer=0)).replace('"pre_tokenizer": 0', '"pre_tokenizer": ' + '{"type":"Sequence","pretokenizers":[' * 2000 + "]}" * 2000).encode())
tk("normalizer_unknown", "normalizer", byte_tokenizer(normalizer={"type": "BertNormalizer"}))
tk("larger_than_the_model", "vocabulary|tokens", byte_tokenizer(added_tokens=[{"id": 256 + i, "content": f"<{i}>", "special": True} for i in range(50)]))

tk("unigram_unknown_outside", "unk_id", byte_tokenizer(pre_tokenizer=None, model={"type": "Unigram", "unk_id": 1, "vocab": [["a", -1.0]]}))
tk("unigram_unknown_hole", "unk_id", byte_tokenizer(pre_tokenizer=None, model={"type": "Unigram", "unk_id": 1, "vocab": [["a", -1.0], ["", -2.0]]}))
tk("unigram_twins", "same text", byte_tokenizer(pre_tokenizer=None, model={"type": "Unigram", "unk_id": 0, "vocab": [["a", -1.0], ["a", -2.0]]}))
tk("unigram_score", "vocab", byte_tokenizer(pre_tokenizer=None, model={"type": "Unigram", "unk_id": 0, "vocab": [["a", 1e300]]}))


def sp(name, want, model):
    case("tokenizer/sentencepiece_" + name, want, lambda d: (folder(d), (d / "tokenizer.json").unlink(), (d / "tokenizer.model").write_bytes(model), d)[3])


def piece(word, score=0.0, kind=1):
    body = b"\x0a" + bytes([len(word)]) + word + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
    return b"\x0a" + bytes([len(body)]) + body


PLAIN = b"\x12\x02\x18\x01\x1a\x06\x18\x01\x20\x00\x28\x01"  # unigram; a prefix, spaces kept and escaped
sp("empty", "tokenizer", b"")
sp("cut", "cut off|sentencepiece|tokenizer", (piece(b"a") + PLAIN)[:-1])
sp("endless_number", "cut off|sentencepiece|tokenizer", piece(b"a") + b"\x18" + b"\xff" * 40)
sp("length_2_60", "cut off|sentencepiece|tokenizer", piece(b"a") + b"\x0a" + b"\xff" * 8 + b"\x0f")
sp("no_pieces", "not JSON|vocabulary", PLAIN)
sp("twins", "same text", piece(b"a") + piece(b"a", -1.0) + PLAIN)
sp("not_utf8", "UTF-8", piece(b"a") + piece(b"\xc3") + PLAIN)
sp("no_number", "number", piece(b"a", float("nan")) + PLAIN)
sp("unused", "unused", piece(b"a") + piece(b"b", -1.0, 5) + PLAIN)
sp("words", "type", piece(b"a") + b"\x12\x02\x18\x03")

# ---- the trial -----------------------------------------------------------------------------------------------------------------


def run(job):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run([str(BIN)], input=json.dumps(job | {"schema": "lathe.job/1", "threads": 1}).encode(), capture_output=True, timeout=SECONDS)
    last = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return done.returncode, last, done.stderr.decode(errors="replace"), max(0, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before)


def jobs(kinds, model, work, task):
    for kind in kinds:
        job = {"kind": kind, "work_dir": str(work / kind)}
        if kind == "import":
            yield job | ({"files": [{"path": str(model), "name": "m.gguf"}]} if model.is_file() else {"path": str(model)})
        elif kind == "export":
            yield job | {"model": {"path": str(model)}, "targets": [{"format": "hf"}]}
        else:
            yield job | {"model": {"path": str(model)}, "tasks": [{"name": "t", "form": "pairs", "files": [{"path": str(task)}]}]}


def try_case(name, want, make, root, task):
    dir = root / "model"
    dir.mkdir()
    model = make(dir)
    tokenizer = name.startswith("tokenizer/")  # a model without a tokenizer that can be read is still a model
    for job in jobs(("evaluate",) if tokenizer else ("import", "evaluate", "export"), model, root / "work", task):
        code, last, log, _ = run(job)
        said = last.get("message", "")
        if len(sys.argv) > 1:
            print(f"{name} {job['kind']}: {code} {said}")
        if code != 2 or last.get("event") != "error":
            return f"{name} {job['kind']}: exit {code} {said or last} {log[-1500:]}"
        if not re.search(want, said.replace(str(root), "")):
            return f"{name} {job['kind']}: '{said}' does not name {want}"
        if not re.search(r"[a-z]{2,} [a-z]|: is \S+, outside |: overflows", said):
            return f"{name} {job['kind']}: '{said}' is no sentence"


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="lathe-hostile-"))
    task = root / "task.jsonl"
    task.write_text(json.dumps({"choices": [{"context": "a", "continuation": " b"}, {"context": "a", "continuation": " c"}], "gold": 0}) + "\n")
    failed, tried = [], 0
    sound = [("sound/folder", folder), ("sound/gguf", lambda d: ((d / "m.gguf").write_bytes(gguf()), d / "m.gguf")[1])]
    for name, make in sound:  # what is spoilt below is right before
        (root / "model").mkdir()
        model = make(root / "model")
        for job in jobs(("import", "export"), model, root / "work", task):
            code, last, log, _ = run(job)
            if code:
                failed.append(f"{name} {job['kind']}: {code} {last} {log[-500:]}")
        shutil.rmtree(root / "model")
    for name, want, make in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        tried += 1
        try:
            why = try_case(name, want, make, root, task)
        except subprocess.TimeoutExpired:
            why = f"{name}: not done after {SECONDS} s"
        if why:
            failed.append(why)
        shutil.rmtree(root / "model")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    shutil.rmtree(root)
    if most > MEBIBYTES:
        failed.append(f"a trainer took {most} MiB")
    print("\n".join(failed))
    print(f"{tried - len(failed)} passed, {len(failed)} failed; most memory {most} MiB")
    sys.exit(bool(failed))


main()
