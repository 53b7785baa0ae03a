#include "server/api/estimate.h"

#include "search/cost.h"
#include "server/api/ask.h"

static const char select_rate[] =
    "select avg(m.tokens_per_second * 6.0 * m.params) from"
    " (select tokens_per_second, params from metric where tokens_per_second > 0 and params > 0"
    "   and job_id = (select max(job_id) from job where kind in ('train', 'search') and step > 0)"
    "   order by step desc limit 100) m";

struct estimate {
    int64_t params, tokens, steps, memory;
    double flops;
};

/* Of all seven matrices of a layer. */
static int64_t adapter_params(const struct shape *shape, int64_t rank)
{
    int64_t sum = 0, c = shape->hidden_size, h = shape->head_dim;
    for (int l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layer[l];
        sum += 7 * c + h * (2 * layer->q_heads + 2 * layer->kv_heads) + 3 * (int64_t)layer->ffn;
    }
    return rank * sum;
}

int64_t estimate_memory(const struct shape *shape, const struct recipe *r)
{
    int64_t rows = r->batch_size * r->sequence_length, floats = 0, h = shape->head_dim;
    for (int l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layer[l];
        floats += 6 * (int64_t)shape->hidden_size + 3 * (int64_t)layer->ffn;
        floats += h * (2 * layer->q_heads + 4 * layer->kv_heads);
        floats += (int64_t)layer->q_heads * r->sequence_length; /* attention weights */
    }
    floats += 2 * (int64_t)shape->vocab_size + 4 * (int64_t)shape->hidden_size;
    int64_t weights = r->lora.rank ? 4 : 16; /* bytes: no gradients and moments of frozen ones */
    return weights * shape_params(shape) + 16 * adapter_params(shape, r->lora.rank) +
           4 * rows * floats;
}

static void got_rate(struct ask *ask, const PGresult *rows)
{
    const struct estimate *it = ask->data;
    double rate = pg_double(rows, 0, 0);
    struct buf out;
    struct emit e;
    buf_init(&out, 4096);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_kv_bool(&e, "dry_run", true);
    emit_kv_int(&e, "params", it->params);
    emit_kv_int(&e, "tokens", it->tokens);
    emit_kv_int(&e, "steps", it->steps);
    emit_kv_double(&e, "flops", it->flops);
    emit_kv_int(&e, "memory_bytes", it->memory);
    emit_key(&e, "seconds");
    if (rate > 0)
        emit_double(&e, it->flops / rate);
    else
        emit_null(&e);
    emit_key(&e, "flops_per_second");
    if (rate > 0)
        emit_double(&e, rate);
    else
        emit_null(&e);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

static void estimate_send(struct request *req, struct estimate it)
{
    struct ask *ask = ask_new(req, select_rate, got_rate);
    struct estimate *copy = request_new(req, struct estimate);
    *copy = it;
    ask->data = copy;
    ask_send(ask);
}

void estimate_search(struct request *req, const struct search *search,
                     const struct training *training)
{
    int64_t steps = search_steps_planned(search);
    int64_t tokens = steps * recipe_tokens_per_step(&training->recipe);
    struct cost cost = cost_of(&search->source, (int)training->recipe.sequence_length);
    estimate_send(
        req, (struct estimate){ .params = cost.params,
                                .tokens = tokens,
                                .steps = steps,
                                .flops = (double)tokens * (double)cost.flops_per_token,
                                .memory = estimate_memory(&search->source, &training->recipe) });
}

void estimate_run(struct request *req, const struct shape *shape, int64_t tokens, int n_runs,
                  const struct training *training)
{
    int64_t per_step = recipe_tokens_per_step(&training->recipe);
    int64_t steps = (tokens + per_step - 1) / per_step;
    struct cost cost = cost_of(shape, (int)training->recipe.sequence_length);
    estimate_send(req, (struct estimate){ .params = cost.params,
                                          .tokens = n_runs * tokens,
                                          .steps = n_runs * steps,
                                          .flops = (double)n_runs * (double)tokens *
                                                   (double)cost.flops_per_token,
                                          .memory = estimate_memory(shape, &training->recipe) });
}
