/* What comes along with the weights: tokenizer, generation settings, model card. */
#include "trainer/data/ends.h"
#include "trainer/export/export.h"
#include "trainer/formats/file.h"

enum status export_tokenizer(const struct export_spec *spec, const char *dir,
                             struct export_ends *out, struct error *err)
{
    struct tokenizer *t;
    struct ends ends;
    *out = (struct export_ends){ -1, -1 };
    if (!spec->tokenizer_dir) return OK;
    TRY(tokenizer_open(&t, spec->tokenizer_dir, err));
    ends_read(&ends, t, spec->tokenizer_dir);
    *out = (struct export_ends){ ends.bos >= 0 ? ends.bos : ends.eos, ends.eos };
    if (!t->save(t, dir, err)) ends_write(&ends, t, spec->max_position, dir, err);
    tokenizer_close(t);
    return err->status;
}

/* ---- the card ------------------------------------------------------------------------------ */

static void put_row(struct buf *text, const char *what, const char *value)
{
    if (!value) return;
    buf_printf(text, "| %s | ", what);
    for (; *value; value++) buf_putc(text, *value == '|' || *value == '\n' ? ' ' : *value);
    buf_puts(text, " |\n");
}

static void put_layers(struct buf *text, const struct shape *s)
{
    if (shape_is_uniform(s)) {
        buf_printf(text, "%d layers, each of %d query heads, %d KV heads and %d FFN channels.\n\n",
                   s->n_layers, s->layer[0].q_heads, s->layer[0].kv_heads, s->layer[0].ffn);
        return;
    }
    buf_puts(text, "| layer | query heads | KV heads | FFN channels |\n|---|---|---|---|\n");
    for (int l = 0; l < s->n_layers; l++)
        buf_printf(text, "| %d | %d | %d | %d |\n", l, s->layer[l].q_heads, s->layer[l].kv_heads,
                   s->layer[l].ffn);
    buf_putc(text, '\n');
}

static void put_loading(struct buf *text, const struct export_spec *spec,
                        const struct export_result *result)
{
    static const char python[] =
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(\".\"%s)\n"
        "tokenizer = AutoTokenizer.from_pretrained(\".\")\n```\n";
    buf_puts(text, "## How to load it\n\n");
    switch (spec->format) {
    case EXPORT_HF:
    case EXPORT_HF_PADDED:
        buf_printf(text, python, result->is_stock ? "" : ", trust_remote_code=True");
        break;
    case EXPORT_DECILM:
        buf_puts(text, "`vllm serve . --trust-remote-code`, or mlx-lm; transformers as below.\n\n");
        buf_printf(text, python, ", trust_remote_code=True");
        break;
    case EXPORT_GGUF:
        buf_puts(text, "`llama-cli -m model.gguf`, or whatever is built on llama.cpp.\n");
        break;
    case EXPORT_SAFETENSORS:
        buf_puts(text, "Tensors have Hugging Face's names; shape.json says how they fit.\n");
        break;
    case EXPORT_SHAPE: buf_puts(text, "There are no weights here, only the shape.\n"); break;
    }
}

enum status export_card(const struct weights *source, const struct export_spec *spec,
                        const struct export_result *result, const char *dir, struct error *err)
{
    const struct export_card *card = &spec->card;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_printf(
        &text,
        "---\nlibrary_name: %s\npipeline_tag: text-generation\n---\n# %s\n\n| | |\n|---|---|\n",
        spec->format == EXPORT_GGUF ? "gguf" : "transformers", card->name ? card->name : "model");
    put_row(&text, "source", card->source);
    put_row(&text, "data", card->data);
    put_row(&text, "search", card->search);
    put_row(&text, "removed share of the parameters", card->ratio);
    put_row(&text, "budget", card->budget);
    put_row(&text, "scores", card->scores);
    buf_printf(&text, "| parameters | %lld |\n", (long long)shape_params(&source->shape));
    if (!shape_equal(&source->shape, &result->shape))
        buf_printf(&text, "| parameters as stored, zeros included | %lld |\n",
                   (long long)shape_params(&result->shape));
    buf_printf(
        &text,
        "| hidden size | %d |\n| head size | %d |\n| vocabulary | %d |\n| stored as | %s |\n\n",
        source->shape.hidden_size, source->shape.head_dim, source->shape.vocab_size,
        spec->type->name);
    put_layers(&text, &source->shape);
    put_loading(&text, spec, result);
    export_text(dir, "README.md", &text, err);
    buf_release(&text);
    return err->status;
}
