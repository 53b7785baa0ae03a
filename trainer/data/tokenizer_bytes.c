#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/emit.h"
#include "trainer/data/tokenizer.h"
#include "trainer/formats/file.h"

static const char EOD_TEXT[] = "<|endoftext|>";

static enum status encode(struct tokenizer *t, const char *text, size_t len, struct ids *out,
                          struct error *err)
{
    (void)t, (void)err;
    int32_t *to = ids_reserve(out, len);
    for (size_t i = 0; i < len; i++) to[i] = (unsigned char)text[i];
    out->n += len;
    return OK;
}

static enum status decode(struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out,
                          struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->vocab_size)
            return fail(err, E_INPUT, "token id %d is outside 0..%d", ids[i], t->vocab_size - 1);
        if (ids[i] == t->eod)
            buf_puts(out, EOD_TEXT);
        else
            buf_putc(out, (char)ids[i]);
    }
    return OK;
}

/* ---- tokenizer.json ------------------------------------------------------------- */

/* Byte-level BPE shows bytes as letters: printable Latin-1 stands for itself, the other 68
 * bytes for U+0100 and on, in order. */
static void byte_letter(char out[5], int byte, int *next)
{
    bool plain = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    int c = plain ? byte : 0x100 + (*next)++;
    memset(out, 0, 5);
    if (c < 0x80) {
        out[0] = (char)c;
    } else {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
    }
}

static void emit_vocab(struct emit *e)
{
    char letter[5];
    int next = 0;
    emit_key(e, "vocab");
    emit_begin(e, '{');
    for (int byte = 0; byte < 256; byte++) {
        byte_letter(letter, byte, &next);
        emit_kv_int(e, letter, byte);
    }
    emit_end(e);
}

static void emit_eod(struct emit *e)
{
    emit_key(e, "added_tokens");
    emit_begin(e, '[');
    emit_begin(e, '{');
    emit_kv_int(e, "id", TOKENIZER_BYTES_EOD);
    emit_kv_string(e, "content", EOD_TEXT);
    emit_kv_bool(e, "single_word", false);
    emit_kv_bool(e, "lstrip", false);
    emit_kv_bool(e, "rstrip", false);
    emit_kv_bool(e, "normalized", false);
    emit_kv_bool(e, "special", true);
    emit_end(e);
    emit_end(e);
}

static void emit_byte_level(struct emit *e, const char *key)
{
    emit_key(e, key);
    emit_begin(e, '{');
    emit_kv_string(e, "type", "ByteLevel");
    emit_kv_bool(e, "add_prefix_space", false);
    emit_kv_bool(e, "trim_offsets", true);
    emit_kv_bool(e, "use_regex", false);
    emit_end(e);
}

static void emit_model(struct emit *e)
{
    emit_key(e, "model");
    emit_begin(e, '{');
    emit_kv_string(e, "type", "BPE");
    emit_kv_string(e, "dropout", NULL);
    emit_kv_string(e, "unk_token", NULL);
    emit_kv_string(e, "continuing_subword_prefix", NULL);
    emit_kv_string(e, "end_of_word_suffix", NULL);
    emit_kv_bool(e, "fuse_unk", false);
    emit_kv_bool(e, "byte_fallback", false);
    emit_vocab(e);
    emit_key(e, "merges");
    emit_begin(e, '[');
    emit_end(e);
    emit_end(e);
}

static void put_json(struct buf *out)
{
    struct emit e;
    emit_init(&e, out);
    emit_begin(&e, '{');
    emit_kv_string(&e, "version", "1.0");
    emit_kv_string(&e, "truncation", NULL);
    emit_kv_string(&e, "padding", NULL);
    emit_eod(&e);
    emit_kv_string(&e, "normalizer", NULL);
    emit_byte_level(&e, "pre_tokenizer");
    emit_kv_string(&e, "post_processor", NULL);
    emit_byte_level(&e, "decoder");
    emit_model(&e);
    emit_end(&e);
}

static enum status save(struct tokenizer *t, const char *dir, struct error *err)
{
    (void)t;
    char path[PATH_ROOM];
    struct buf json;
    TRY(path_join(path, dir, "tokenizer.json", err));
    buf_init(&json, 64 * 1024);
    put_json(&json);
    file_write(path, json.bytes, json.len, err);
    buf_release(&json);
    return err->status;
}

static void close_bytes(struct tokenizer *t) { free(t); }

void tokenizer_bytes(struct tokenizer **out)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) abort();
    *t = (struct tokenizer){ .kind = "bytes",
                             .vocab_size = TOKENIZER_BYTES_VOCAB,
                             .eod = TOKENIZER_BYTES_EOD,
                             .encode = encode,
                             .decode = decode,
                             .save = save,
                             .close = close_bytes };
    struct buf json;
    buf_init(&json, 64 * 1024);
    put_json(&json);
    hash_hex(json.bytes, json.len, t->hash);
    buf_release(&json);
    *out = t;
}
