#include "server/api/recipe.h"

#include <string.h>

const char *const recipe_schedules[] = { "wsd", "cosine", "linear", "constant", NULL };
const char *const training_backends[] = { "cpu", "ref", "cuda", "cuda-exact", NULL };
const char *const training_precisions[] = { "default", "float32", "bf16", "bf16x3", NULL };

const char *const lora_targets[] = { "q", "k", "v", "o", "gate", "up", "down", NULL };

enum { LORA_TARGETS = 7, LORA_NAME = 8, MAX_RANK = 1024 };
enum { MAX_BATCH = 65536, MAX_SEQUENCE = 131072, MAX_THREADS = 1024 };
enum { MAX_STEPS = 1000000000 };

void training_init(struct training *training, int threads)
{
    *training = (struct training){
        .recipe = { .batch_size = 16,
                    .sequence_length = 128,
                    .grad_accum = 1,
                    .warmup_steps = 20,
                    .learning_rate = 1e-3,
                    .decay_fraction = 0.2,
                    .weight_decay = 0.1,
                    .beta1 = 0.9,
                    .beta2 = 0.95,
                    .epsilon = 1e-8,
                    .clip_norm = 1.0 },
        .validate_every = 100,
        .validation_tokens = 16384,
        .checkpoint = { .every_steps = 200, .keep = 2 },
        .seed = 1,
        .threads = threads,
    };
}

static unsigned target_bit(const char *name)
{
    int i = 0;
    while (lora_targets[i] && strcmp(name, lora_targets[i])) i++;
    return lora_targets[i] ? 1u << i : 0;
}

static void read_targets(struct lora *lora, struct field *f)
{
    struct field targets;
    lora->targets = field_has(f, "targets") ? 0 : (1u << LORA_TARGETS) - 1;
    size_t n = field_array(f, "targets", LORA_TARGETS, &targets);
    for (size_t i = 0; i < n; i++) {
        const char *name = field_item_string(&targets, i, LORA_NAME);
        unsigned bit = name ? target_bit(name) : 0;
        if (!bit) field_fail(f, "targets", "takes q, k, v, o, gate, up and down");
        lora->targets |= bit;
    }
    if (!lora->targets) field_fail(f, "targets", "is empty");
}

static void read_lora(struct lora *lora, struct field *recipe)
{
    struct field f;
    if (!field_object(recipe, "lora", &f)) return;
    lora->rank = field_int(&f, "rank", 1, MAX_RANK);
    lora->alpha = field_double_or(&f, "alpha", 1e-6, 1e6, 2.0 * (double)lora->rank);
    read_targets(lora, &f);
    field_end(&f);
}

static void read_recipe(struct recipe *r, struct field *f)
{
    r->batch_size = field_int_or(f, "batch_size", 1, MAX_BATCH, r->batch_size);
    r->sequence_length = field_int_or(f, "sequence_length", 1, MAX_SEQUENCE, r->sequence_length);
    r->grad_accum = field_int_or(f, "grad_accum", 1, MAX_BATCH, r->grad_accum);
    r->learning_rate = field_double_or(f, "learning_rate", 0, 10, r->learning_rate);
    r->schedule = field_choice_or(f, "schedule", recipe_schedules, r->schedule);
    r->warmup_steps = field_int_or(f, "warmup_steps", 0, MAX_STEPS, r->warmup_steps);
    r->decay_fraction = field_double_or(f, "decay_fraction", 0, 1, r->decay_fraction);
    r->min_lr_ratio = field_double_or(f, "min_lr_ratio", 0, 1, r->min_lr_ratio);
    r->weight_decay = field_double_or(f, "weight_decay", 0, 10, r->weight_decay);
    r->beta1 = field_double_or(f, "beta1", 0, 0.999999, r->beta1);
    r->beta2 = field_double_or(f, "beta2", 0, 0.999999, r->beta2);
    r->epsilon = field_double_or(f, "epsilon", 1e-16, 1, r->epsilon);
    r->clip_norm = field_double_or(f, "clip_norm", 0, 1e9, r->clip_norm);
    r->recompute = field_bool_or(f, "recompute", r->recompute);
    r->shard_moments = field_bool_or(f, "shard_moments", r->shard_moments);
    r->z_loss = field_double_or(f, "z_loss", 0, 10, r->z_loss);
    read_lora(&r->lora, f);
    field_end(f);
}

void training_refuse_lora(const struct training *t, struct field *body, const char *why)
{
    struct field f;
    if (t->recipe.lora.rank && field_object(body, "recipe", &f)) field_fail(&f, "lora", "%s", why);
}

enum status recipe_inherit(struct recipe *recipe, const char *json, size_t len, struct error *err)
{
    struct field f;
    json_t *root = field_parse(json, len, err);
    if (!root) return err->status;
    field_root(&f, root, err);
    read_recipe(recipe, &f);
    json_decref(root);
    return err->status;
}

static void read_checkpoint(struct kept_checkpoints *c, struct field *f)
{
    struct field steps;
    c->every_steps = field_int_or(f, "every_steps", 1, MAX_STEPS, c->every_steps);
    c->keep = field_int_or(f, "keep", 1, 100, c->keep);
    c->major_every = field_int_or(f, "major_every", 0, MAX_STEPS, c->major_every);
    c->n_milestones = (int)field_array(f, "milestones", TRAINING_MILESTONES, &steps);
    for (int i = 0; i < c->n_milestones; i++)
        c->milestone[i] = field_item_int(&steps, (size_t)i, 1, MAX_STEPS);
    field_end(f);
}

void training_read(struct training *t, struct field *body, bool with_seed)
{
    struct field f;
    if (field_object(body, "recipe", &f)) read_recipe(&t->recipe, &f);
    if (field_object(body, "validation", &f)) {
        t->validate_every = field_int_or(&f, "every_steps", 1, MAX_STEPS, t->validate_every);
        t->validation_tokens =
            field_int_or(&f, "tokens", 1, INT64_C(1) << 40, t->validation_tokens);
        field_end(&f);
    }
    if (field_object(body, "checkpoint", &f)) read_checkpoint(&t->checkpoint, &f);
    t->backend = field_choice_or(body, "backend", training_backends, t->backend);
    t->precision = field_choice_or(body, "precision", training_precisions, t->precision);
    t->threads = (int)field_int_or(body, "threads", 1, MAX_THREADS, t->threads);
    t->priority = (int)field_int_or(body, "priority", -100, 100, t->priority);
    if (with_seed) t->seed = field_int_or(body, "seed", 0, INT64_C(9007199254740991), t->seed);
}

static void emit_lora(const struct lora *lora, struct emit *e)
{
    if (!lora->rank) return;
    emit_key(e, "lora"), emit_begin(e, '{');
    emit_kv_int(e, "rank", lora->rank);
    emit_kv_double(e, "alpha", lora->alpha);
    emit_key(e, "targets"), emit_begin(e, '[');
    for (int i = 0; i < LORA_TARGETS; i++)
        if (lora->targets >> i & 1) emit_string(e, lora_targets[i]);
    emit_end(e), emit_end(e);
}

static void emit_recipe(const struct recipe *r, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_int(e, "batch_size", r->batch_size);
    emit_kv_int(e, "sequence_length", r->sequence_length);
    emit_kv_int(e, "grad_accum", r->grad_accum);
    emit_kv_double(e, "learning_rate", r->learning_rate);
    emit_kv_string(e, "schedule", recipe_schedules[r->schedule]);
    emit_kv_int(e, "warmup_steps", r->warmup_steps);
    emit_kv_double(e, "decay_fraction", r->decay_fraction);
    emit_kv_double(e, "min_lr_ratio", r->min_lr_ratio);
    emit_kv_double(e, "weight_decay", r->weight_decay);
    emit_kv_double(e, "beta1", r->beta1);
    emit_kv_double(e, "beta2", r->beta2);
    emit_kv_double(e, "epsilon", r->epsilon);
    emit_kv_double(e, "clip_norm", r->clip_norm);
    emit_kv_bool(e, "recompute", r->recompute);
    if (r->shard_moments) emit_kv_bool(e, "shard_moments", true);
    if (r->z_loss > 0) emit_kv_double(e, "z_loss", r->z_loss);
    emit_lora(&r->lora, e);
    emit_end(e);
}

static void emit_checkpoint(const struct kept_checkpoints *c, struct emit *e)
{
    emit_key(e, "checkpoint"), emit_begin(e, '{');
    emit_kv_int(e, "every_steps", c->every_steps);
    emit_kv_int(e, "keep", c->keep);
    emit_kv_int(e, "major_every", c->major_every);
    emit_key(e, "milestones"), emit_begin(e, '[');
    for (int i = 0; i < c->n_milestones; i++) emit_int(e, c->milestone[i]);
    emit_end(e), emit_end(e);
}

void training_emit(const struct training *t, struct emit *e)
{
    emit_key(e, "recipe");
    emit_recipe(&t->recipe, e);
    emit_key(e, "validation"), emit_begin(e, '{');
    emit_kv_int(e, "every_steps", t->validate_every);
    emit_kv_int(e, "tokens", t->validation_tokens);
    emit_end(e);
    emit_checkpoint(&t->checkpoint, e);
    emit_kv_string(e, "backend", training_backends[t->backend]);
    if (t->precision) emit_kv_string(e, "precision", training_precisions[t->precision]);
    emit_kv_int(e, "threads", t->threads);
    emit_kv_int(e, "seed", t->seed);
}

int64_t recipe_tokens_per_step(const struct recipe *recipe)
{
    return recipe->batch_size * recipe->sequence_length * recipe->grad_accum;
}
