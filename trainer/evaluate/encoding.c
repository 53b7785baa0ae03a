#include "trainer/data/bpe.h"
#include "trainer/data/ends.h"
#include "trainer/evaluate/requests.h"

void eval_encoding_init(struct eval_encoding *e, struct tokenizer *t, const char *path, int context,
                        int vocab_size)
{
    const struct bpe *bpe = tokenizer_bpe_of(t);
    struct ends ends;
    ends_read(&ends, t, path);
    *e = (struct eval_encoding){ .tokenizer = t,
                                 .bos = bpe ? bpe->bos : -1,
                                 .prefix = ends.bos >= 0 ? ends.bos : ends.eos,
                                 .context = context,
                                 .vocab_size = vocab_size };
}
