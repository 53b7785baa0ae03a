/* GGUF: what is written reads back, per-layer widths and paired rows included; what is broken is
 * refused in words that name the key or tensor. */
#include <stdint.h>

#include "tests/support/check.h"
#include "trainer/formats/gguf_shape.h"
#include "trainer/formats/gguf_write.h"
#include "trainer/formats/weights.h"

static char dir[] = "/tmp/lathe-gguf-XXXXXX";
static char path[64];

static struct shape two_layers(void)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 32, s.head_dim = 8, s.vocab_size = 5;
    s.tie_word_embeddings = true;
    shape_set_layers(&s, 2, (struct layer_shape){ 4, 2, 64 });
    s.layer[1] = (struct layer_shape){ 2, 1, 32 };
    return s;
}

/* Element (r, c) of a tensor, as the file has it: exact in float. */
static float value(const char *name, int r, int c)
{
    int sum = 0;
    for (; *name; name++) sum += *name;
    return (float)(sum % 64 * 4096 + r * 64 + c);
}

enum { MAX_TENSOR = 64 * 64 };

struct writing {
    struct gguf_out out;
    bool data;
};

static enum status put(void *user, const char *name, int rows, int cols, struct error *err)
{
    struct writing *w = user;
    char stored[GGUF_NAME_ROOM];
    float x[MAX_TENSOR];
    CHECK(gguf_name_of(name, stored), "%s has no name", name);
    if (!w->data) gguf_put_tensor(&w->out, stored, quant_type_named("F32"), cols, rows);
    for (int r = 0; r < (rows ? rows : 1); r++)
        for (int c = 0; c < cols; c++) x[r * cols + c] = value(stored, r, c);
    if (w->data) gguf_out_data(&w->out, x, (size_t)(rows ? rows : 1) * (size_t)cols * sizeof *x);
    return err->status;
}

/* A scaling of positions; NULL: none, or no type. */
static const char *scaling_key, *scaling_type;
static double scaling_factor;

static void put_scaling(struct gguf_out *out)
{
    if (scaling_key) gguf_put_f32(out, scaling_key, scaling_factor);
    if (scaling_type) gguf_put_string(out, "deci.rope.scaling.type", scaling_type);
}

static void put_keys(struct gguf_out *out, const struct shape *s)
{
    int32_t heads[2], kv[2], ffn[2];
    for (int l = 0; l < 2; l++)
        heads[l] = s->layer[l].q_heads, kv[l] = s->layer[l].kv_heads, ffn[l] = s->layer[l].ffn;
    gguf_put_string(out, "general.architecture", "deci");
    gguf_put_u32(out, "deci.block_count", 2);
    gguf_put_u32(out, "deci.context_length", 77);
    gguf_put_u32(out, "deci.embedding_length", (uint32_t)s->hidden_size);
    gguf_put_i32s(out, "deci.feed_forward_length", ffn, 2);
    gguf_put_i32s(out, "deci.attention.head_count", heads, 2);
    gguf_put_i32s(out, "deci.attention.head_count_kv", kv, 2);
    gguf_put_u32(out, "deci.attention.key_length", (uint32_t)s->head_dim);
    gguf_put_u32(out, "deci.rope.dimension_count", (uint32_t)s->head_dim);
    gguf_put_f32(out, "deci.rope.freq_base", 100000);
    gguf_put_f32(out, "deci.attention.layer_norm_rms_epsilon", 1e-5);
    gguf_put_strings(out, "tokenizer.ggml.tokens", 2);
    gguf_put_item(out, "a", 1);
    gguf_put_item(out, "", 0);
    put_scaling(out);
}

static void write_file(const struct shape *s)
{
    struct error err = { 0 };
    struct writing w = { 0 };
    char sha256[HASH_HEX];
    gguf_out_init(&w.out);
    put_keys(&w.out, s);
    CHECK_OK(weights_each(s, &(struct weights_visit){ &w, put }, &err), err);
    CHECK_OK(gguf_out_start(&w.out, path, &err), err);
    w.data = true;
    CHECK_OK(weights_each(s, &(struct weights_visit){ &w, put }, &err), err);
    CHECK_OK(gguf_out_finish(&w.out, sha256, &err), err);
}

static enum status compare(void *user, const char *name, int rows, int cols, struct error *err)
{
    struct weights *w = user;
    float x[MAX_TENSOR];
    char stored[GGUF_NAME_ROOM];
    CHECK(gguf_name_of(name, stored), "%s has no name", name);
    CHECK_OK(w->read(w, name, rows, cols, x, err), *err);
    bool paired = strstr(name, "q_proj") || strstr(name, "k_proj");
    for (int r = 0; r < (rows ? rows : 1); r++)
        for (int c = 0; c < cols; c++) {
            int from = paired ? r / 8 * 8 + r % 4 * 2 + r % 8 / 4 : r; /* heads of 8 rows */
            CHECK_NEAR(x[r * cols + c], value(stored, from, c), 0);
        }
    return OK;
}

static void test_reads_what_it_wrote(void)
{
    struct error err = { 0 };
    struct weights *w;
    struct shape s = two_layers();
    write_file(&s);
    CHECK_OK(weights_open(&w, path, &err), err);
    s.rope_theta = 100000;
    CHECK(shape_equal(&w->shape, &s), "the shape differs: theta %g eps %g", w->shape.rope_theta,
          w->shape.norm_eps);
    CHECK_INT(w->max_position, 77);
    CHECK_OK(weights_each(&s, &(struct weights_visit){ w, compare }, &err), err);
    weights_close(w);
}

/* `words` NULL: it is no scaling. */
static void check_scaling(const char *key, double factor, const char *type, const char *words)
{
    struct error err = { 0 };
    struct weights *w = NULL;
    struct shape s = two_layers();
    scaling_key = key, scaling_factor = factor, scaling_type = type;
    write_file(&s);
    bool opened = !weights_open(&w, path, &err);
    CHECK(opened == !words, "%s %g %s: %s", key, factor, type ? type : "-", err.text);
    if (words) CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
    weights_close(w);
    remove(path);
    scaling_key = scaling_type = NULL;
}

static void test_scaling(void)
{
    check_scaling("deci.rope.scaling.factor", 4, "linear", "rope.scaling.type is 'linear'");
    check_scaling("deci.rope.scaling.factor", 4, NULL, "key deci.rope.scaling.factor is 4");
    check_scaling("deci.rope.scale_linear", 4, NULL, "key deci.rope.scale_linear is 4");
    check_scaling("deci.rope.scaling.factor", 1, NULL, NULL);
    check_scaling("deci.rope.scaling.factor", 0, "linear", NULL);
    check_scaling("deci.rope.scaling.factor", 4, "none", NULL);
}

/* ---- broken files -------------------------------------------------------------------------- */

static void refused(const char *bytes, size_t len, const char *words)
{
    struct error err = { 0 };
    struct gguf *g;
    CHECK(gguf_parse(&g, bytes, len, &err), "accepted, though '%s'", words);
    CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
}

static char *found(char *bytes, size_t len, const char *name)
{
    char *p = memmem(bytes, len, name, strlen(name));
    CHECK(p, "%s is not in the file", name);
    return p;
}

static void set_u64(char *p, uint64_t u) { memcpy(p, &u, sizeof u); }

static void test_refusals(void)
{
    struct error err = { 0 };
    char *file, *b;
    size_t n;
    CHECK_OK(file_read(&file, &n, path, 1 << 20, &err), err);
    b = malloc(n);
#define BROKEN(edit, words) memcpy(b, file, n), (edit), refused(b, n, words)
    BROKEN(b[0] = 'X', "not a GGUF file");
    BROKEN(b[4] = 2, "version 2");
    BROKEN(set_u64(b + 8, 1u << 30), "tensors and");
    BROKEN(set_u64(b + 16, UINT64_MAX), "tensors and");
    BROKEN(set_u64(b + 24, UINT64_MAX), "key 0: a string has");
    BROKEN(found(b, n, "deci.block_count")[16] = 99, "key deci.block_count: its value has type 99");
    BROKEN(memcpy(found(b, n, "deci.rope.freq_base"), "deci.context_length", 19),
           "key deci.context_length is there twice");
    BROKEN(memcpy(found(b, n, "blk.1.attn_q.weight"), "blk.0", 5),
           "tensor blk.0.attn_q.weight is there twice");
    BROKEN(set_u64(found(b, n, "blk.0.attn_q.weight") + 19 + 4, UINT64_MAX),
           "tensor blk.0.attn_q.weight: its dimensions");
    BROKEN(set_u64(found(b, n, "blk.0.attn_q.weight") + 19 + 4 + 8, INT64_MAX), "its dimensions");
    BROKEN(found(b, n, "blk.0.attn_q.weight")[19] = 9, "9 dimensions");
    BROKEN(found(b, n, "blk.0.attn_q.weight")[19 + 4 + 16] = 16, "ggml type 16");
    BROKEN(set_u64(found(b, n, "blk.0.attn_q.weight") + 19 + 4 + 16 + 4, 1), "not aligned");
    BROKEN(set_u64(found(b, n, "blk.0.attn_q.weight") + 19 + 4 + 16 + 4, 0), "overlap");
    BROKEN(set_u64(found(b, n, "blk.0.attn_q.weight") + 19 + 4 + 16 + 4, 1u << 30),
           "outside the file");
    free(b);
    free(file);
}

/* Every length and every changed byte ends in a value or a sentence. */
static void test_mutants(void)
{
    struct error err = { 0 };
    char *file;
    size_t n, head = 2200;
    CHECK_OK(file_read(&file, &n, path, 1 << 20, &err), err);
    for (size_t i = 0; i < head; i++) {
        struct gguf *g;
        struct error why = { 0 };
        CHECK(gguf_parse(&g, file, i, &why) && why.text[0], "%zu bytes were enough", i);
        for (int bit = 0; bit < 8; bit += 7) {
            why = (struct error){ 0 };
            file[i] ^= (char)(1 << bit);
            enum status status = gguf_parse(&g, file, n, &why);
            CHECK(!status == !why.text[0], "byte %zu: a status and no words", i);
            gguf_close(g);
            file[i] ^= (char)(1 << bit);
        }
    }
    free(file);
}

static void missing(const char *name, const char *to, const char *words)
{
    struct error err = { 0 }, none = { 0 };
    struct weights *w;
    char *file, other[80];
    size_t n;
    snprintf(other, sizeof other, "%s/broken.gguf", dir);
    CHECK_OK(file_read(&file, &n, path, 1 << 20, &none), none);
    memcpy(found(file, n, name), to, strlen(to));
    CHECK_OK(file_write(other, file, n, &none), none);
    CHECK(weights_open(&w, other, &err), "opened without %s", name);
    CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
    free(file);
    remove(other);
}

int main(void)
{
    CHECK(mkdtemp(dir), "mkdtemp");
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    test_scaling();
    test_reads_what_it_wrote();
    test_refusals();
    test_mutants();
    missing("blk.1.ffn_up.weight", "blk.1.ffn_xx.weight", "tensor blk.1.ffn_up.weight is missing");
    missing("deci.feed_forward_length", "deci.feed_forward_xxxxxx",
            "key deci.feed_forward_length is missing");
    missing("general.architecture", "general.architecturx", "general.architecture");
    remove(path);
    remove(dir);
    puts("ok");
    return 0;
}
