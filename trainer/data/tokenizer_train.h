#ifndef TRAINER_DATA_TOKENIZER_TRAIN_H
#define TRAINER_DATA_TOKENIZER_TRAIN_H

#include "trainer/data/bpe_train.h"
#include "trainer/data/build.h"

/*
 * Trains a byte-level BPE on the files of a dataset that is about to be built, so that a
 * small model can have a small vocabulary. Held-out documents do not count. Deterministic:
 * the same files and options give the same tokenizer.
 *
 * E_INPUT for token shards, which have no text. `watch` may be NULL.
 */
enum status tokenizer_train(struct tokenizer **out, const struct build_spec *spec,
                            const struct bpe_train_options *options,
                            const struct build_watch *watch, struct error *err);

#endif
