#include "trainer/export/runtimes.h"

#include <string.h>

static void put(struct emit *e, const char *runtime, bool loads, const char *why)
{
    emit_begin(e, '{');
    emit_kv_string(e, "runtime", runtime);
    emit_kv_bool(e, "loads", loads);
    emit_kv_string(e, "why", why);
    emit_end(e);
}

static void put_hf(struct emit *e, const struct export_result *r)
{
    static const char uneven[] =
        "its layers differ, or its heads do not divide the hidden size: the stock classes "
        "have one width; take hf_padded, or gguf";
    bool stock = r->is_stock;
    put(e, "transformers", true,
        stock ? r->architecture : "with trust_remote_code=True, by modeling_lathe.py");
    put(e, "vllm", stock, stock ? "by its source" : uneven);
    put(e, "sglang", stock, stock ? "by its source" : uneven);
    put(e, "mlx-lm", stock, stock ? "by its source" : uneven);
    put(e, "llama.cpp", stock, stock ? "after conversion; gguf is loaded as it is" : "take gguf");
}

static void put_decilm(struct emit *e, const struct export_result *r)
{
    bool square = r->shape.layer[0].q_heads * r->shape.head_dim == r->shape.hidden_size;
    put(e, "transformers", false, "needs a DeciLM of the model's own; take hf");
    put(e, "vllm", true, "with --trust-remote-code, by its source");
    put(e, "sglang", true, "with --trust-remote-code, by its source");
    put(e, "mlx-lm", square,
        square ? "nemotron-nas" : "it takes hidden_size / heads for the head size");
    put(e, "llama.cpp", true, "after conversion, by its source; gguf is loaded as it is");
}

/* NULL when transformers computes from GGUF what we do; what it leaves out of a file it does not
 * say. */
static const char *not_in_transformers(const struct export_spec *spec,
                                       const struct export_result *r)
{
    const struct shape *s = &r->shape;
    bool llama = !strcmp(r->architecture, "llama");
    if (!strcmp(r->architecture, "deci")) return "does not read deci; take hf";
    if (s->layer[0].q_heads * s->head_dim != s->hidden_size)
        return "takes hidden_size / heads for the head size; take hf";
    if (s->rope_scaling.llama3) return "leaves out how positions are scaled; take hf";
    if (llama && (s->qkv_bias || s->output_bias)) return "has no biases in llama; take hf";
    return spec->tokenizer_dir ? NULL : "there is no tokenizer in it";
}

static void put_gguf(struct emit *e, const struct export_spec *spec, const struct export_result *r)
{
    const char *why = not_in_transformers(spec, r);
    bool whole = spec->tokenizer_dir != NULL;
    put(e, "llama.cpp", true, whole ? "as it is" : "by ids alone: there is no tokenizer in it");
    put(e, "ollama", whole,
        whole ? "FROM ./model.gguf; built on llama.cpp" : "there is no tokenizer in it");
    put(e, "transformers", !why, why ? why : "with gguf_file=\"model.gguf\", as float32");
    put(e, "vllm", false, "take hf, hf_padded or decilm");
}

void runtimes_emit(const struct export_spec *spec, const struct export_result *result,
                   struct emit *e)
{
    emit_begin(e, '[');
    switch (spec->format) {
    case EXPORT_HF:
    case EXPORT_HF_PADDED: put_hf(e, result); break;
    case EXPORT_DECILM: put_decilm(e, result); break;
    case EXPORT_GGUF: put_gguf(e, spec, result); break;
    case EXPORT_SAFETENSORS: put(e, "anything that reads safetensors", true, "tensors only"); break;
    case EXPORT_SHAPE: break;
    }
    put(e, "lathe", spec->format <= EXPORT_GGUF,
        spec->format <= EXPORT_GGUF ? "kind import" : "tensors only, or none");
    emit_end(e);
}
