#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_json.h"
#include "trainer/data/tokenizer.h"
#include "trainer/formats/file.h"

struct state {
    struct bpe bpe;
    struct bpe_encoder encoder;
    char *json;
    size_t n_json;
};

static enum status encode(struct tokenizer *t, const char *text, size_t len, struct ids *out,
                          struct error *err)
{
    struct state *state = t->state;
    return bpe_encode(&state->encoder, text, len, out, err);
}

static enum status decode(struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out,
                          struct error *err)
{
    struct state *state = t->state;
    return bpe_decode(&state->bpe, ids, n, false, out, err);
}

static enum status save(struct tokenizer *t, const char *dir, struct error *err)
{
    struct state *state = t->state;
    char path[PATH_ROOM];
    TRY(path_join(path, dir, "tokenizer.json", err));
    return file_write(path, state->json, state->n_json, err);
}

static void close_bpe(struct tokenizer *t)
{
    struct state *state = t->state;
    bpe_encoder_release(&state->encoder);
    bpe_release(&state->bpe);
    free(state->json);
    free(state);
    free(t);
}

/* What the post-processor puts behind a text, or a token that the field calls by such a name. */
static int32_t end_of_document(const struct bpe *bpe)
{
    static const char *const names[] = {
        "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>",
        "<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", /* DeepSeek's */
    };
    int id = bpe->eos;
    for (size_t i = 0; id < 0 && i < sizeof names / sizeof *names; i++)
        id = bpe_vocab_find(&bpe->vocab, names[i], strlen(names[i]));
    return id;
}

enum status tokenizer_bpe(struct tokenizer **out, const char *json, size_t len, struct error *err)
{
    struct state *state = calloc(1, sizeof *state);
    *out = calloc(1, sizeof **out);
    if (!state || !*out) abort();
    if (bpe_json_parse(&state->bpe, json, len, err)) {
        free(state);
        free(*out);
        *out = NULL;
        return err->status;
    }
    bpe_encoder_init(&state->encoder, &state->bpe);
    state->json = memcpy(malloc(len + 1), json, len);
    state->n_json = len;
    **out = (struct tokenizer){ .kind = "bpe",
                                .vocab_size = bpe_vocab_size(&state->bpe),
                                .eod = end_of_document(&state->bpe),
                                .encode = encode,
                                .decode = decode,
                                .save = save,
                                .close = close_bpe,
                                .state = state };
    hash_hex(json, len, (*out)->hash);
    return OK;
}

const struct bpe *tokenizer_bpe_of(const struct tokenizer *t)
{
    const struct state *state = t->state;
    return t->encode == encode ? &state->bpe : NULL;
}
