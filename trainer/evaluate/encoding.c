#include <stdlib.h>
#include <string.h>

#include "search/base/field.h"
#include "trainer/data/bpe.h"
#include "trainer/evaluate/requests.h"
#include "trainer/formats/gguf.h"

/* Which token begins a text: what the tokenizer puts there, else what its files call bos_token,
 * else what ends one. */

enum { MAX_CONFIG = 16 << 20 };

/* The id of a special token's text; -1 when that is not one token. */
static int id_of(struct tokenizer *t, const char *text)
{
    struct ids ids = { 0 };
    struct error ignored = { 0 };
    int id = text && !t->encode(t, text, strlen(text), &ids, &ignored) && ids.n == 1 ? ids.id[0]
                                                                                      : -1;
    ids_release(&ids);
    return id;
}

/* tokenizer_config.json's bos_token: a string, or an object with its content. */
static int bos_beside(struct tokenizer *t, const char *dir)
{
    char path[PATH_ROOM], *text = NULL;
    size_t len;
    struct error ignored = { 0 };
    if (path_join(path, dir, "tokenizer_config.json", &ignored)) return -1;
    if (file_read(&text, &len, path, MAX_CONFIG, &ignored)) return -1;
    json_t *json = field_parse(text, len, &ignored), *bos = json_object_get(json, "bos_token");
    if (json_is_object(bos)) bos = json_object_get(bos, "content");
    int id = id_of(t, json_string_value(bos));
    json_decref(json);
    free(text);
    return id;
}

static int bos_inside(const char *path)
{
    struct gguf *g;
    struct error ignored = { 0 };
    if (gguf_open(&g, path, &ignored)) return -1;
    int64_t id = gguf_int_or(g, "tokenizer.ggml.bos_token_id", 0, INT32_MAX, -1, &ignored);
    gguf_close(g);
    return ignored.status ? -1 : (int)id;
}

void eval_encoding_init(struct eval_encoding *e, struct tokenizer *t, const char *path, int context,
                        int vocab_size)
{
    const struct bpe *bpe = tokenizer_bpe_of(t);
    *e = (struct eval_encoding){ t, bpe ? bpe->bos : -1, -1, context, vocab_size };
    e->prefix = e->bos;
    if (e->prefix < 0) e->prefix = bos_inside(path);
    if (e->prefix < 0) e->prefix = bos_beside(t, path);
    if (e->prefix < 0) e->prefix = t->eod;
}
