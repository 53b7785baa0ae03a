#ifndef SEARCH_PADDING_H
#define SEARCH_PADDING_H

#include "search/shape.h"

/*
 * The shape a smaller model is padded to (with zeros, its function unchanged) for runtimes that
 * cannot hold its own. Same layers, head_dim and vocabulary, at least as many of everything else,
 * and in every layer at least as many queries per KV head.
 */
enum { PAD_STOCK_FFN = 32, PAD_DECILM_FFN = 256 }; /* FFN widths are rounded up to multiples */

/* The cheapest uniform shape that `shape` fits into and that Hugging Face's stock models take: q
 * heads divide the hidden size, which grows where nothing else helps. */
void pad_to_stock(const struct shape *shape, struct shape *out);

/* DeciLM: query heads alike, whatever divides them as KV heads; the hidden size stays. */
void pad_to_decilm(const struct shape *shape, struct shape *out);

#endif
