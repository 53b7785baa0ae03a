#ifndef SEARCH_CATALOG_H
#define SEARCH_CATALOG_H

#include "search/shape.h"

/*
 * Shapes that people drew and published (methods.md, section 19), for comparison. Only those
 * that this kind of decoder can express: Pythia (two matrices in the FFN, biases everywhere)
 * is not among them; OLMo-1B is, though its norms have no gains of their own.
 */
struct catalog_entry {
    const char *name;
    int hidden_size, n_layers, q_heads, kv_heads, head_dim, ffn, vocab_size;
    bool tied;
    double rope_theta, norm_eps;
    const char *family;
};

int catalog_size(void);
const struct catalog_entry *catalog_at(int i);

/* NULL when there is none of that name. */
const struct catalog_entry *catalog_find(const char *name);

struct shape catalog_shape(const struct catalog_entry *entry);

/* The entry nearest in size (by ratio) among those with at least `least` parameters when they
 * had the vocabulary, tying and biases of `like`; NULL when all are smaller. */
const struct catalog_entry *catalog_nearest(const struct shape *like, int64_t params,
                                            int64_t least);

/* The entry's layers and widths with everything else of `like`. */
struct shape catalog_shape_like(const struct catalog_entry *entry, const struct shape *like);

#endif
