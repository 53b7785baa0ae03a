#include "trainer/data/bpe_gguf.h"
#include "trainer/data/bpe_write.h"
#include "trainer/data/tokenizer.h"

static enum status from_gguf(struct tokenizer **out, const struct gguf *g, struct error *err)
{
    struct bpe bpe;
    struct buf json;
    TRY(bpe_gguf_read(&bpe, g, err));
    buf_init(&json, BPE_WRITE_MAX);
    if (!bpe_write(&bpe, &json, err)) tokenizer_bpe(out, json.bytes, json.len, err);
    buf_release(&json);
    bpe_release(&bpe);
    return err->status;
}

enum status tokenizer_gguf(struct tokenizer **out, const char *path, struct error *err)
{
    struct gguf *g;
    *out = NULL;
    TRY(gguf_open(&g, path, err));
    from_gguf(out, g, err);
    gguf_close(g);
    return err->status;
}
