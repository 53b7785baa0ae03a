#ifndef SEARCH_SHAPE_H
#define SEARCH_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/base/emit.h"
#include "search/base/error.h"
#include "search/base/field.h"
#include "search/base/hash.h"

/*
 * A shape: everything about a Llama-like decoder that is not a weight. A plain
 * value; copy it freely (about 2 KiB).
 *
 * One layer, with d = hidden_size, h = head_dim, H, K = q_heads, kv_heads of the
 * layer, F = ffn (weights are [out][in]):
 *
 *     x += Wo attention(Wq n, Wk n, Wv n)       n = rmsnorm(x)
 *     x += Wdown (silu(Wgate n) * (Wup n))      n = rmsnorm(x)
 *
 *     Wq [H h][d]   Wk, Wv [K h][d]   Wo [d][H h]   Wgate, Wup [F][d]   Wdown [d][F]
 *
 * with a bias of H h, K h, K h numbers on Wq, Wk, Wv when qkv_bias, and one of d numbers on
 * Wo and on Wdown when output_bias (what FLAP makes up for pruned inputs with). Around the
 * layers: embedding [V][d], a last rmsnorm [d], and the head [V][d], which is the
 * embedding itself when tie_word_embeddings.
 *
 * Invariants of a checked shape (shape_check; every reader here checks):
 *   - 1..SHAPE_MAX_LAYERS layers, all widths at least 1 and at most the ceilings
 *     below;
 *   - kv_heads divides q_heads in every layer; query head i reads KV head
 *     i / (q_heads / kv_heads);
 *   - head_dim is even (rotary positions pair its halves) and the same everywhere;
 *   - H h need not equal d, and layers need not be alike.
 *
 * As JSON, "lathe.shape/1":
 *
 *     {"schema": "lathe.shape/1", "family": "llama", "hidden_size": 576, "head_dim": 64,
 *      "vocab_size": 49152, "tie_word_embeddings": true, "rope_theta": 100000,
 *      "norm_eps": 0.00001, "layers": [{"q_heads": 9, "kv_heads": 3, "ffn": 1536}, ...]}
 *
 * Read: hidden_size, head_dim, vocab_size and layers are required; the others default
 * to family llama, not tied, theta 10000, eps 1e-5, qkv_bias as the family has it
 * (qwen2 yes, llama no), no output_bias, no rope_scaling. "n_layers": n with a single element in
 * `layers` repeats that element n times; with more it must agree. rope_scaling is
 * {"rope_type": "llama3", "factor", "low_freq_factor", "high_freq_factor",
 * "original_max_position_embeddings"}.
 * Read as well: the configuration of OpenELM, known by its model_dim, whose other members are not
 * looked at: head_dim, vocab_size, num_transformer_layers, num_query_heads[], num_kv_heads[],
 * ffn_multipliers[] of model_dim, rounded to ffn_dim_divisor (256), share_input_output_layers,
 * rope_freq_constant. Its norms of q and k are not part of a shape.
 * Written: all of the example's members; qkv_bias, output_bias and rope_scaling only when
 * they differ from the default.
 */
enum {
    SHAPE_MAX_LAYERS = 128,
    SHAPE_MAX_HIDDEN = 65536,
    SHAPE_MAX_HEADS = 1024,
    SHAPE_MAX_HEAD_DIM = 1024,
    SHAPE_MAX_FFN = 262144,
    SHAPE_MAX_VOCAB = 4194304,
    SHAPE_MAX_JSON = 64 * 1024, /* bytes of a printed shape, canonical or not */
};

struct layer_shape {
    int q_heads, kv_heads, ffn;
};

struct rope_scaling {
    bool llama3; /* false: none, and the numbers are 0 */
    double factor, low_freq_factor, high_freq_factor;
    int original_max_position;
};

struct shape {
    int hidden_size, head_dim, vocab_size;
    bool tie_word_embeddings, qkv_bias, output_bias;
    double rope_theta, norm_eps;
    struct rope_scaling rope_scaling;
    char family[16]; /* "llama" or "qwen2" */
    int n_layers;
    struct layer_shape layer[SHAPE_MAX_LAYERS]; /* those from n_layers on are 0 */
};

/* Sets the defaults above, no layers, and leaves every width 0. */
void shape_init(struct shape *shape);

/* n layers, all alike, of an initialised shape. n <= SHAPE_MAX_LAYERS. */
void shape_set_layers(struct shape *shape, int n, struct layer_shape layer);

/* E_INPUT names the first member that breaks an invariant. */
enum status shape_check(const struct shape *shape, struct error *err);

/* Reads a shape object that the caller opened, ends it (unknown members are
 * refused) and checks it. */
enum status shape_read(struct shape *shape, struct field *f);

/* OpenELM's members into an initialised shape, for shape_read. */
void shape_read_openelm(struct shape *shape, struct field *f);

/* The same from text. */
enum status shape_parse(struct shape *shape, const char *text, size_t len, struct error *err);

/* Writes one object, members in the order of the example. */
void shape_emit(const struct shape *shape, struct emit *e);

/* The content address: SHA-256 of the canonical JSON (RFC 8785: the written members
 * sorted by name, no white space, shortest numbers). Equal shapes, equal hashes. */
void shape_hash(const struct shape *shape, char out[HASH_HEX]);

/* Numbers in all weights: tied embedding once, norm gains and biases included.
 *   V d (twice if not tied) + sum over layers (d h (2H + 2K) + 3 d F [+ (H + 2K) h] [+ 2 d])
 *   + (2L + 1) d                                             (methods.md, section 0) */
int64_t shape_params(const struct shape *shape);

/* shape_params without the embedding and without the head. */
int64_t shape_params_non_embedding(const struct shape *shape);

/* Are all layers alike? */
bool shape_is_uniform(const struct shape *shape);

/* Are all members the same? */
bool shape_equal(const struct shape *a, const struct shape *b);

/* The share of the source's parameters that is gone: 1 - params / source params. */
double shape_ratio(int64_t params, int64_t params_source);

#endif
