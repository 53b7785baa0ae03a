#include "search/catalog.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct catalog_entry catalog[] = {
    { "SmolLM-135M",        576, 30,  9,  3,  64, 1536,  49152, true,    1e4, 1e-5, "llama" },
    { "SmolLM-360M",        960, 32, 15,  5,  64, 2560,  49152, true,    1e4, 1e-5, "llama" },
    { "SmolLM-1.7B",       2048, 24, 32, 32,  64, 8192,  49152, true,    1e4, 1e-5, "llama" },
    { "SmolLM2-135M",       576, 30,  9,  3,  64, 1536,  49152, true,    1e5, 1e-5, "llama" },
    { "SmolLM2-360M",       960, 32, 15,  5,  64, 2560,  49152, true,    1e5, 1e-5, "llama" },
    { "SmolLM2-1.7B",      2048, 24, 32, 32,  64, 8192,  49152, true,  1.3e5, 1e-5, "llama" },
    { "MobileLLM-125M",     576, 30,  9,  3,  64, 1536,  32000, true,    1e4, 1e-5, "llama" },
    { "MobileLLM-350M",     960, 32, 15,  5,  64, 2560,  32000, true,    1e4, 1e-5, "llama" },
    { "MobileLLM-1B",      1280, 54, 20,  5,  64, 3584,  32000, true,    1e4, 1e-5, "llama" },
    { "Qwen2.5-0.5B",       896, 24, 14,  2,  64, 4864, 151936, true,    1e6, 1e-6, "qwen2" },
    { "Llama-3.2-1B",      2048, 16, 32,  8,  64, 8192, 128256, true,    5e5, 1e-5, "llama" },
    { "OLMo-1B",           2048, 16, 16, 16, 128, 8192,  50304, true,    1e4, 1e-5, "llama" },
    { "TinyLlama-1.1B",    2048, 22, 32,  4,  64, 5632,  32000, false,   1e4, 1e-5, "llama" },
    { "Sheared-LLaMA-1.3B", 2048, 24, 16, 16, 128, 5504,  32000, false,  1e4, 1e-5, "llama" },
};
/* clang-format on */

int catalog_size(void) { return (int)(sizeof catalog / sizeof *catalog); }

const struct catalog_entry *catalog_at(int i) { return &catalog[i]; }

const struct catalog_entry *catalog_find(const char *name)
{
    for (int i = 0; i < catalog_size(); i++)
        if (!strcmp(catalog[i].name, name)) return &catalog[i];
    return NULL;
}

static void set_widths(struct shape *shape, const struct catalog_entry *entry)
{
    shape->hidden_size = entry->hidden_size;
    shape->head_dim = entry->head_dim;
    shape_set_layers(shape, entry->n_layers,
                     (struct layer_shape){ entry->q_heads, entry->kv_heads, entry->ffn });
}

struct shape catalog_shape(const struct catalog_entry *entry)
{
    struct shape shape;
    shape_init(&shape);
    set_widths(&shape, entry);
    shape.vocab_size = entry->vocab_size;
    shape.tie_word_embeddings = entry->tied;
    shape.rope_theta = entry->rope_theta;
    shape.norm_eps = entry->norm_eps;
    shape.qkv_bias = !strcmp(entry->family, "qwen2");
    snprintf(shape.family, sizeof shape.family, "%s", entry->family);
    if (!strcmp(entry->name, "Llama-3.2-1B"))
        shape.rope_scaling = (struct rope_scaling){ true, 32, 1, 4, 8192 };
    return shape;
}

struct shape catalog_shape_like(const struct catalog_entry *entry, const struct shape *like)
{
    struct shape shape = *like;
    set_widths(&shape, entry);
    return shape;
}

const struct catalog_entry *catalog_nearest(const struct shape *like, int64_t params, int64_t least)
{
    const struct catalog_entry *best = NULL;
    double best_distance = INFINITY;
    for (int i = 0; i < catalog_size(); i++) {
        struct shape shape = catalog_shape_like(&catalog[i], like);
        int64_t size = shape_params(&shape);
        double distance = fabs(log((double)size / (double)params));
        if (size < least || distance >= best_distance) continue;
        best = &catalog[i];
        best_distance = distance;
    }
    return best;
}
