/* Hugging Face folders: stock classes where the shape allows it, modeling_lathe.py otherwise. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/export/export.h"
#include "trainer/export/modeling_lathe.h"
#include "trainer/formats/file.h"
#include "search/hf_config.h"

static const char *dtype_name(const struct quant_type *type)
{
    return type->type == GGML_F16 ? "float16" : type->type == GGML_BF16 ? "bfloat16" : "float32";
}

static json_t *config_of(const struct shape *shape, int max_position, struct export_ends ends)
{
    struct hf_config_extra extra = { max_position, ends.bos, ends.eos };
    struct buf text;
    struct emit e;
    buf_init(&text, HF_CONFIG_MAX_BYTES);
    emit_init(&e, &text);
    hf_config_emit(shape, &extra, &e);
    json_t *config = json_loadb(text.bytes, text.len, 0, NULL);
    buf_release(&text);
    if (!config) abort();
    return config;
}

/* transformers finds the classes in the file beside config.json. */
static void use_own_classes(json_t *config, const struct shape *shape)
{
    json_object_set_new(config, "architectures", json_pack("[s]", "LatheForCausalLM"));
    json_object_set_new(config, "model_type", json_string("lathe"));
    json_object_set_new(config, "attention_bias", json_boolean(shape->qkv_bias));
    json_object_set_new(config, "mlp_bias", json_false());
    json_object_set_new(
        config, "lathe",
        json_pack("{s:s, s:b}", "family", shape->family, "output_bias", (int)shape->output_bias));
    json_object_set_new(config, "auto_map",
                        json_pack("{s:s, s:s, s:s}", "AutoConfig", "modeling_lathe.LatheConfig",
                                  "AutoModel", "modeling_lathe.LatheModel", "AutoModelForCausalLM",
                                  "modeling_lathe.LatheForCausalLM"));
}

static enum status write_config(json_t *config, const char *dir, struct error *err)
{
    struct buf text;
    char *dump = json_dumps(config, JSON_INDENT(2));
    buf_init(&text, HF_CONFIG_MAX_BYTES);
    buf_puts(&text, dump);
    buf_putc(&text, '\n');
    free(dump);
    export_text(dir, "config.json", &text, err);
    buf_release(&text);
    return err->status;
}

static enum status write_modeling(const char *dir, struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, dir, "modeling_lathe.py", err));
    return file_write(path, modeling_lathe, strlen(modeling_lathe), err);
}

enum status export_hf(struct weights *w, const struct export_spec *spec, const char *dir,
                      struct export_result *out, struct error *err)
{
    struct export_ends ends;
    TRY(export_tokenizer(spec, dir, &ends, err));
    out->shape = w->shape;
    out->has_weights = true;
    out->is_stock = export_is_stock(&w->shape);
    strcpy(out->architecture, !out->is_stock      ? "LatheForCausalLM"
                              : w->shape.qkv_bias ? "Qwen2ForCausalLM"
                                                  : "LlamaForCausalLM");
    json_t *config = config_of(&w->shape, spec->max_position, ends);
    if (!out->is_stock) use_own_classes(config, &w->shape);
    json_object_set_new(config, "torch_dtype", json_string(dtype_name(spec->type)));
    write_config(config, dir, err);
    json_decref(config);
    TRY(err->status);
    if (!out->is_stock) TRY(write_modeling(dir, err));
    return export_tensors(w, spec->type, dir, err);
}
