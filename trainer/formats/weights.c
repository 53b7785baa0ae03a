#include "trainer/formats/weights.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "trainer/formats/file.h"

enum status weights_open(struct weights **out, const char *path, struct error *err)
{
    struct stat st;
    size_t n = strlen(path);
    *out = NULL;
    if (stat(path, &st)) return fail_path(err, "open", path);
    if (S_ISDIR(st.st_mode)) return weights_open_hf(out, path, err);
    if (n > 5 && !strcmp(path + n - 5, ".gguf")) return weights_open_gguf(out, path, err);
    return fail(err, E_INPUT, "%.200s is neither a folder nor a .gguf file", path);
}

void weights_close(struct weights *w)
{
    if (w) w->close(w);
}

/* ---- what a shape needs ------------------------------------------------------------ */

static enum status each_of_layer(const struct shape *s, int l, const struct weights_visit *visit,
                                 struct error *err)
{
    int d = s->hidden_size, q = s->layer[l].q_heads * s->head_dim;
    int kv = s->layer[l].kv_heads * s->head_dim, ffn = s->layer[l].ffn;
    const struct {
        const char *name;
        int rows, cols;
        bool left_out;
    } tensor[] = {
        { "input_layernorm.weight", 0, d, false },
        { "self_attn.q_proj.weight", q, d, false },
        { "self_attn.k_proj.weight", kv, d, false },
        { "self_attn.v_proj.weight", kv, d, false },
        { "self_attn.o_proj.weight", d, q, false },
        { "post_attention_layernorm.weight", 0, d, false },
        { "mlp.gate_proj.weight", ffn, d, false },
        { "mlp.up_proj.weight", ffn, d, false },
        { "mlp.down_proj.weight", d, ffn, false },
        { "self_attn.q_proj.bias", 0, q, !s->qkv_bias },
        { "self_attn.k_proj.bias", 0, kv, !s->qkv_bias },
        { "self_attn.v_proj.bias", 0, kv, !s->qkv_bias },
        { "self_attn.o_proj.bias", 0, d, !s->output_bias },
        { "mlp.down_proj.bias", 0, d, !s->output_bias },
    };
    for (size_t i = 0; i < sizeof tensor / sizeof *tensor; i++) {
        char name[64];
        if (tensor[i].left_out) continue;
        snprintf(name, sizeof name, "model.layers.%d.%s", l, tensor[i].name);
        TRY(visit->tensor(visit->user, name, tensor[i].rows, tensor[i].cols, err));
    }
    return OK;
}

enum status weights_each(const struct shape *s, const struct weights_visit *visit,
                         struct error *err)
{
    int d = s->hidden_size, v = s->vocab_size;
    TRY(visit->tensor(visit->user, "model.embed_tokens.weight", v, d, err));
    for (int l = 0; l < s->n_layers; l++) TRY(each_of_layer(s, l, visit, err));
    TRY(visit->tensor(visit->user, "model.norm.weight", 0, d, err));
    return s->tie_word_embeddings ? OK : visit->tensor(visit->user, "lm_head.weight", v, d, err);
}
