#ifndef SERVER_API_DATASETS_H
#define SERVER_API_DATASETS_H

struct request;

/*
 * /v1/datasets: text made into token shards with a held-out part, by a job.
 *
 *     {"name": "gcide", "files": [{"upload": "upl_1", "format": "text", "domain": "prose"}],
 *      "tokenizer": "bytes", "validation_fraction": 0.05, "seed": 1}
 *
 * format is text, jsonl, or that of token shards: llmc, nanogpt, megatron (with "index", the upload
 * of its .idx), whose ids must be those of the tokenizer. tokenizer is one of
 *
 *     "bytes"
 *     {"upload": "upl_2"}                   a tokenizer.json, tokenizer.model or GGUF file
 *     {"model": "mod_1"}                    the model's own, from the files it was made of
 *     {"train": {"vocab_size": 4096, "family": "smollm", "min_count": 2}}   trained on the files
 */
extern const char dataset_select[]; /* one by its number as $1 */

void dataset_create(struct request *req);

#endif
