#include <string.h>
#include "server/api/action.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/estimate.h"
#include "server/api/origin.h"
#include "server/api/listing.h"
#include "server/api/report.h"
#include "server/api/runs.h"

/*
 * /v1/comparisons: arms x seeds of one architecture under one budget.
 *
 *     {"name": "...", "architecture": "arch_9", "arms": ["inherit", "reinit", "human"], "seeds":
 * [1], "budget_rule": "train_matched", "budget": {"tokens": 1000000}, "dataset": "data_1",
 *      "recipe": {...}}
 *
 * inherit keeps the search's weights, reinit starts the same shape afresh, human trains the
 * shape that the source scaled down to the same parameters has. train_matched: every arm
 * trains on the budget; pipeline_matched: the arms that start afresh get on top what the search had
 * spent by then. Differences are of final validation loss, seed by seed.
 */
#define COLUMNS                                                                                    \
    "'cmp_' || c.comparison_id as id, c.name, c.state, c.state::text as _etag,"                    \
    " 'arch_' || c.architecture_id as architecture, 'srch_' || a.search_id as search,"             \
    " 'data_' || c.dataset_id as dataset, c.budget_rule, c.budget_tokens as \"budget.tokens\","    \
    " c.created_at, c.finished_at"

#define PARTS                                                                                      \
    ", (select json_agg(json_build_object('arm', m.arm, 'seed', m.seed, 'run', 'run_' || "         \
    "r.run_id,"                                                                                    \
    "     'state', j.state, 'reason', j.reason, 'params', r.params, 'shape_hash', r.shape_hash,"   \
    "     'step', j.step, 'tokens', j.tokens, 'tokens_planned', coalesce(j.tokens_planned, "       \
    "r.budget_tokens),"                                                                            \
    "     'loss', j.loss, 'validation_loss', j.validation_loss,"                                   \
    "     'tokens_per_second', j.tokens_per_second)"                                               \
    "     order by array_position('{inherit,reinit,human}', m.arm), m.seed)"                       \
    "   from comparison_arm m join run r using (run_id) join job j using (job_id)"                 \
    "   where m.comparison_id = c.comparison_id) as arms,"                                         \
    " comparison_differences(c.comparison_id) as differences, c.spec -> 'recipe' as recipe"

#define FROM "comparison c join architecture a using (architecture_id)"

static const char select_comparison[] =
    "select " COLUMNS PARTS " from " FROM " where c.comparison_id = $1";
static struct listing comparisons = {
    .columns = COLUMNS,
    .from = FROM,
    .key = "c.comparison_id",
    .filters = { { "state", "c.state = @::job_state", .words = job_states },
                 { "architecture", "c.architecture_id = @::bigint", .prefix = "arch" },
                 { "search", "a.search_id = @::bigint", .prefix = "srch" } },
};

static const struct creation creation = {
    .create = "select comparison_create($1::jsonb)",
    .select = select_comparison,
    .prefix = "cmp",
    .path = "/v1/comparisons",
};

static const struct action action = {
    .prefix = "cmp",
    .what = "comparison",
    .select = select_comparison,
    .ask = "select comparison_ask_seen(comparison_id, $2, $3::text[]) from comparison"
           " where comparison_id = $1",
};

static const char *const arms[] = { "inherit", "reinit", "human", NULL };
static const char *const rules[] = { "train_matched", "pipeline_matched", NULL };
enum { INHERIT, REINIT, HUMAN, N_ARMS };
enum { MAX_SEEDS = 32 };

struct brief {
    struct origin origin;
    const char *name, *architecture, *dataset;
    bool arm[N_ARMS], dry_run;
    int n_seeds, rule;
    int64_t seed[MAX_SEEDS], budget_tokens;
    struct training training;
    struct shape human;
};

/* ---- reading ----------------------------------------------------------------------- */

static int find_arm(const char *name)
{
    for (int i = 0; arms[i] && name; i++)
        if (!strcmp(arms[i], name)) return i;
    return -1;
}

static void read_arms(struct brief *b, struct field *body)
{
    struct field list;
    size_t n = field_array(body, "arms", N_ARMS, &list);
    for (int i = 0; i < N_ARMS && !field_has(body, "arms"); i++) b->arm[i] = true;
    for (size_t i = 0; i < n; i++) {
        int arm = find_arm(field_item_string(&list, i, 16));
        if (arm < 0)
            field_fail(body, "arms", "may hold inherit, reinit and human");
        else if (b->arm[arm])
            field_fail(body, "arms", "names %s twice", arms[arm]);
        else
            b->arm[arm] = true;
    }
    if (field_has(body, "arms") && !n) field_fail(body, "arms", "is empty");
}

static void read_seeds(struct brief *b, struct field *body)
{
    struct field list;
    size_t n = field_array(body, "seeds", MAX_SEEDS, &list);
    for (size_t i = 0; i < n; i++) {
        b->seed[i] = field_item_int(&list, i, 0, INT64_C(9007199254740991));
        for (size_t k = 0; k < i; k++)
            if (b->seed[k] == b->seed[i]) field_fail(body, "seeds", "names one twice");
    }
    if (!n) b->seed[0] = 1;
    b->n_seeds = n ? (int)n : 1;
}

static enum status read_body(struct brief *b, struct field *body)
{
    struct field budget;
    memset(b->arm, 0, sizeof b->arm);
    b->name = create_name(body, "comparison");
    b->architecture = create_id(body, "architecture", "arch");
    b->dataset = create_id_or_null(body, "dataset", "data");
    read_arms(b, body);
    read_seeds(b, body);
    b->rule = field_choice_or(body, "budget_rule", rules, 0);
    if (field_object(body, "budget", &budget)) {
        b->budget_tokens = field_int(&budget, "tokens", 1, INT64_C(1) << 50);
        field_end(&budget);
    } else {
        field_fail(body, "budget", "is missing: {\"tokens\": how many every arm trains on}");
    }
    training_read(&b->training, body, false);
    training_refuse_lora(&b->training, body, "is for runs with init inherit");
    return field_end(body);
}

/* ---- writing ----------------------------------------------------------------------- */

static void emit_run(const struct brief *b, int arm, int64_t seed, struct emit *e)
{
    struct run_plan run = {
        .architecture = b->architecture,
        .dataset = b->origin.data_id,
        .init = arm == INHERIT ? 0 : 1,
        .shape = arm == HUMAN ? b->human : b->origin.replay.shape,
        .budget_tokens = b->budget_tokens,
        .training = b->training,
    };
    if (b->rule == 1 && arm != INHERIT) run.budget_tokens += b->origin.search_tokens;
    run.training.seed = seed;
    run.name =
        request_printf(b->origin.req, "%.150s, %s, seed %lld", b->name, arms[arm], (long long)seed);
    emit_begin(e, '{');
    emit_kv_string(e, "arm", arms[arm]);
    emit_kv_int(e, "seed", seed);
    emit_key(e, "run");
    run_emit(&run, e);
    emit_end(e);
}

static void emit_object(const struct brief *b, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", b->name);
    emit_kv_string(e, "architecture_id", b->architecture);
    emit_kv_string(e, "dataset_id", b->origin.data_id);
    emit_kv_string(e, "budget_rule", rules[b->rule]);
    emit_kv_int(e, "budget_tokens", b->budget_tokens);
    emit_key(e, "spec"), emit_begin(e, '{');
    training_emit(&b->training, e);
    emit_end(e);
    emit_key(e, "runs"), emit_begin(e, '[');
    for (int s = 0; s < b->n_seeds; s++)
        for (int arm = 0; arm < N_ARMS; arm++)
            if (b->arm[arm]) emit_run(b, arm, b->seed[s], e);
    emit_end(e), emit_end(e);
}

/* ---- the handlers ------------------------------------------------------------------ */

static enum status prepare(struct brief *b, struct field *body, struct error *err)
{
    struct human human;
    const struct origin *o = &b->origin;
    if (o->recipe) TRY(recipe_inherit(&b->training.recipe, o->recipe, strlen(o->recipe), err));
    TRY(read_body(b, body));
    if (!b->arm[HUMAN]) return OK;
    TRY(human_shape(&o->replay.source, shape_params(&o->replay.shape), &human, err));
    b->human = human.shape;
    return OK;
}

static int n_runs(const struct brief *b)
{
    return (b->arm[INHERIT] + b->arm[REINIT] + b->arm[HUMAN]) * b->n_seeds;
}

static void found(struct origin *origin)
{
    struct brief *b = origin->data;
    struct request *req = origin->req;
    struct error err;
    struct field body;
    struct buf object;
    struct emit e;
    if (!create_body(req, &body, &err)) return;
    if (prepare(b, &body, &err)) {
        reply_invalid(req, &err);
        return;
    }
    if (b->arm[INHERIT] && !origin->has_weights) {
        origin_refuse_inherit(origin, "/architecture");
        return;
    }
    if (!origin_vocabulary_fits(origin, &origin->replay.shape)) return;
    if (b->dry_run) {
        estimate_run(req, &origin->replay.shape, b->budget_tokens, n_runs(b), &b->training);
        return;
    }
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_object(b, &e);
    create_send(req, &creation, &object);
}

static void comparison_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct brief *b = request_new(req, struct brief);
    if (!create_dry_run(req, &b->dry_run)) return;
    training_init(&b->training, create_threads(req));
    if (read_body(b, &body)) {
        reply_invalid(req, &err);
        return;
    }
    training_init(&b->training, create_threads(req));
    b->origin = (struct origin){ .req = req,
                                 .architecture = b->architecture,
                                 .dataset = b->dataset,
                                 .found = found,
                                 .data = b };
    origin_find(&b->origin);
}

static void comparison_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_comparison, ask_one);
    ask_id(ask, "cmp", "comparison", request_param(req, "id"));
    ask_send(ask);
}

static void comparison_list(struct request *req) { listing_send(req, &comparisons); }

static void comparison_cancel(struct request *req) { action_send(req, &action, "cancel"); }
static void comparison_pause(struct request *req) { action_send(req, &action, "pause"); }
static void comparison_resume(struct request *req) { action_send(req, &action, "run"); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/comparisons",
      .handle = comparison_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createComparison",
      .summary = "Train an architecture inherited, afresh, and as a human would draw it" },
    { .method = "GET",
      .path = "/v1/comparisons",
      .handle = comparison_list,
      .scope = SCOPE_READ,
      .operation = "listComparisons",
      .summary = "Comparisons, the newest first" },
    { .method = "GET",
      .path = "/v1/comparisons/{id}",
      .handle = comparison_get,
      .scope = SCOPE_READ,
      .operation = "getComparison",
      .summary = "One comparison with its arms and their differences" },
    { .method = "GET",
      .path = "/v1/comparisons/{id}/report",
      .handle = comparison_report,
      .scope = SCOPE_READ,
      .operation = "getComparisonReport",
      .summary = "What it found, as Markdown" },
    { .method = "POST",
      .path = "/v1/comparisons/{id}/cancel",
      .handle = comparison_cancel,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "cancelComparison",
      .summary = "Stop all arms for good",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/comparisons/{id}/pause",
      .handle = comparison_pause,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "pauseComparison",
      .summary = "Stop all arms at a checkpoint",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/comparisons/{id}/resume",
      .handle = comparison_resume,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "resumeComparison",
      .summary = "Go on with all arms",
      .no_key = true },
};

void comparisons_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
