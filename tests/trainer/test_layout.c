#include "tests/trainer/fixture.h"

static int between(struct rng *rng, int from, int to)
{
    return from + (int)rng_below(rng, (uint64_t)(to - from + 1));
}

static struct shape random_shape(struct rng *rng)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = between(rng, 1, 90), s.head_dim = 2 * between(rng, 1, 8);
    s.vocab_size = between(rng, 1, 300), s.tie_word_embeddings = between(rng, 0, 1);
    s.qkv_bias = between(rng, 0, 1);
    s.output_bias = between(rng, 0, 1);
    shape_set_layers(&s, between(rng, 1, 7), (struct layer_shape){ 1, 1, 1 });
    for (int l = 0; l < s.n_layers; l++) {
        int kv = between(rng, 1, 5);
        s.layer[l] = (struct layer_shape){ kv * between(rng, 1, 4), kv, between(rng, 1, 200) };
    }
    return s;
}

/* A shape that fits in it. */
static struct shape smaller(struct rng *rng, struct shape s)
{
    s.hidden_size = between(rng, 1, s.hidden_size);
    for (int l = 0; l < s.n_layers; l++) {
        int queries = s.layer[l].q_heads / s.layer[l].kv_heads,
            kv = between(rng, 1, s.layer[l].kv_heads);
        s.layer[l] = (struct layer_shape){ kv * between(rng, 1, queries), kv,
                                           between(rng, 1, s.layer[l].ffn) };
    }
    return s;
}

static void no_overlap(const struct layout *layout, int multiple)
{
    size_t end = 0;
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        CHECK(slot->offset >= end, "%s overlaps the one before", slot->name);
        CHECK(slot->ld >= slot->cols && slot->ld % multiple == 0, "%s: ld %d", slot->name,
              slot->ld);
        CHECK(layout_find(layout, slot->name) == slot, "%s", slot->name);
        end = slot->offset + (size_t)slot->rows * (size_t)slot->ld;
    }
    CHECK(end <= layout->n_floats, "%zu beyond %zu", end, layout->n_floats);
}

/* What reads the same input lies in one piece, at every shape. */
static void neighbours(const struct layout *layout)
{
    static const enum slot_kind pairs[][2] = { { SLOT_Q, SLOT_K }, { SLOT_K, SLOT_V },
                                               { SLOT_GATE, SLOT_UP } };
    for (int l = 0; l < layout->current.n_layers; l++)
        for (int i = 0; i < 3; i++) {
            const struct slot *a = layout_slot(layout, pairs[i][0], l),
                              *b = layout_slot(layout, pairs[i][1], l);
            if (b != a + 1) continue; /* a bias in between */
            size_t rows = (size_t)layout_padded_rows(layout, a);
            CHECK(b->offset == a->offset + rows * (size_t)a->ld, "%s", b->name);
        }
}

static void params_are_slots(void)
{
    struct rng rng;
    rng_init(&rng, 5);
    for (int i = 0; i < 500; i++) {
        struct shape shape = random_shape(&rng), small = smaller(&rng, shape);
        struct layout layout;
        struct error err = { 0 };
        int multiple = i % 2 ? 16 : 1;
        CHECK_OK(layout_init(&layout, &shape, multiple, &err), err);
        no_overlap(&layout, multiple);
        CHECK_INT(layout_params(&layout), shape_params(&shape));
        CHECK_OK(layout_set_shape(&layout, &small, &err), err);
        no_overlap(&layout, multiple);
        neighbours(&layout);
        CHECK_INT(layout_params(&layout), shape_params(&small));
        layout_release(&layout);
    }
}

static void refuses(void)
{
    struct shape shape = fixture_shape(2, true, false), other = shape;
    struct layout layout;
    struct error err = { 0 };
    CHECK_OK(layout_init(&layout, &shape, 16, &err), err);
    other.layer[1].ffn++;
    CHECK_INT(layout_set_shape(&layout, &other, &err), E_INPUT);
    CHECK(strstr(err.text, "layer 1"), "%s", err.text);
    other = shape, other.head_dim = 4, err = (struct error){ 0 };
    CHECK_INT(layout_set_shape(&layout, &other, &err), E_INPUT);
    CHECK_INT(layout_params(&layout), shape_params(&shape));
    layout_release(&layout);
}

/* More memory than any machine has is a refusal that names the bytes; so is it at once. */
static void too_large(void)
{
    struct shape shape = fixture_shape(1, true, false);
    struct backend *be;
    struct model *model = NULL;
    struct model_bytes bytes;
    struct error err = { 0 };
    struct model_options options = { .batch_size = 4096, .sequence_length = 16384, .train = true };
    shape.hidden_size = 16384;
    CHECK_OK(backend_open(&be, "cpu", 1, &err), err);
    CHECK_OK(model_measure(&bytes, be, &shape, &options, &err), err);
    CHECK(bytes.total > (size_t)1 << 42, "%zu", bytes.total);
    CHECK_INT(model_open(&model, be, &shape, &shape, &options, &err), E_MEMORY);
    CHECK(!model && strstr(err.text, "GB"), "%s", err.text);
    printf("%s\n", err.text);
    options.batch_size = 0, err = (struct error){ 0 };
    CHECK_INT(model_open(&model, be, &shape, &shape, &options, &err), E_INPUT);
    backend_close(be);
}

static void backends(void)
{
    struct backend *be;
    struct error err = { 0 };
    CHECK_INT(backend_open(&be, "tpu", 1, &err), E_INPUT);
    CHECK(strstr(err.text, "tpu"), "%s", err.text);
    err = (struct error){ 0 };
    CHECK_INT(backend_open(&be, "cpu", 0, &err), E_INPUT);
}

int main(void)
{
    params_are_slots();
    refuses();
    too_large();
    backends();
    return 0;
}
