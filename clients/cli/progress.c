#include "clients/cli/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "clients/cli/look.h"
#include "clients/cli/text.h"

const char *const progress_type_names[] = { "heads", "ffn", "stem", NULL };

void progress_init(struct progress *p, bool is_search)
{
    memset(p, 0, sizeof *p);
    p->is_search = is_search;
    p->step = p->tokens = p->tokens_planned = p->loss = p->validation_loss = NAN;
    p->tokens_per_second = p->params = p->params_source = p->stop_params = p->eta_seconds = NAN;
    p->done = p->total = NAN;
    for (int t = 0; t < PROGRESS_TYPES; t++) p->min_score[t] = NAN;
}

static void take_text(char *to, size_t size, json_t *json, const char *path, bool *changed)
{
    const char *text = look_string(json, path, NULL);
    if (!text || !strncmp(to, text, size - 1)) return;
    snprintf(to, size, "%s", text);
    if (changed) *changed = true;
}

static void take_number(double *to, json_t *json, const char *path)
{
    double value = look_number(json, path);
    if (!isnan(value)) *to = value;
}

static void take_stop(struct progress *p, json_t *resource)
{
    double ratio = look_number(resource, "stop.ratio");
    take_number(&p->stop_params, resource, "stop.params");
    if (!isnan(ratio) && !isnan(p->params_source)) p->stop_params = p->params_source * (1 - ratio);
}

void progress_resource(struct progress *p, json_t *resource)
{
    take_text(p->id, sizeof p->id, resource, "id", NULL);
    take_text(p->name, sizeof p->name, resource, "name", NULL);
    take_text(p->state, sizeof p->state, resource, "state", &p->changed);
    take_text(p->phase, sizeof p->phase, resource, "phase", &p->changed);
    take_text(p->reason, sizeof p->reason, resource, "reason", NULL);
    take_number(&p->step, resource, "step");
    take_number(&p->tokens, resource, "tokens");
    take_number(&p->tokens_planned, resource, "tokens_planned");
    take_number(&p->tokens_planned, resource, "budget.tokens");
    take_number(&p->tokens_planned, resource, "source.train.tokens"); /* the rest is pruning */
    take_number(&p->loss, resource, "loss");
    take_number(&p->validation_loss, resource, "validation_loss");
    take_number(&p->tokens_per_second, resource, "tokens_per_second");
    take_number(&p->params, resource, p->is_search ? "params_now" : "params");
    take_number(&p->params_source, resource, "params_source");
    p->eta_seconds = look_number(resource, "eta_seconds");
    take_stop(p, resource);
}

static int type_of(json_t *removal)
{
    const char *name = look_string(removal, "type", "");
    int t = 0;
    while (t < PROGRESS_TYPES && strcmp(name, progress_type_names[t])) t++;
    return t;
}

void progress_removal(struct progress *p, json_t *removal)
{
    int64_t ordinal = look_int(removal, "ordinal", 0);
    int type = type_of(removal);
    if (ordinal <= p->ordinal) return;
    p->behind = ordinal > p->ordinal + 1;
    if (p->behind) return;
    p->ordinal = ordinal;
    if (type < PROGRESS_TYPES) p->removed[type]++;
    take_number(&p->params, removal, "params");
    json_t *scores = look_at(removal, "min_score");
    for (int t = 0; t < PROGRESS_TYPES; t++)
        take_number(&p->min_score[t], scores, progress_type_names[t]);
}

static void take_step(struct progress *p, json_t *data)
{
    take_number(&p->step, data, "step");
    take_number(&p->tokens, data, "tokens");
    take_number(&p->loss, data, "loss");
    take_number(&p->tokens_per_second, data, "tokens_per_second");
    take_number(&p->params, data, "params");
    take_text(p->phase, sizeof p->phase, data, "phase", &p->changed);
}

void progress_event(struct progress *p, const char *name, json_t *data)
{
    if (!strcmp(name, "step")) {
        take_step(p, data);
    } else if (!strcmp(name, "removal")) {
        progress_removal(p, data);
    } else if (!strcmp(name, "validation")) {
        take_number(&p->validation_loss, data, "loss");
    } else if (!strcmp(name, "progress")) {
        take_number(&p->done, data, "done");
        take_number(&p->total, data, "total");
    } else if (!strcmp(name, "state")) {
        take_text(p->state, sizeof p->state, data, "state", &p->changed);
        take_text(p->reason, sizeof p->reason, data, "reason", NULL);
    }
}

bool progress_is_over(const struct progress *p)
{
    return !strcmp(p->state, "succeeded") || !strcmp(p->state, "failed") ||
           !strcmp(p->state, "cancelled");
}

static bool is_pruning(const struct progress *p)
{
    return p->is_search && (p->ordinal > 0 || !strcmp(p->phase, "prune"));
}

double progress_share(const struct progress *p)
{
    double share = p->tokens / p->tokens_planned;
    if (!strcmp(p->state, "succeeded"))
        share = 1;
    else if (is_pruning(p))
        share = (p->params_source - p->params) / (p->params_source - p->stop_params);
    else if (!isnan(p->total))
        share = p->done / p->total;
    return share > 1 ? 1 : share;
}

static const char *doing(const struct progress *p)
{
    if (strcmp(p->state, "running")) return p->state;
    if (is_pruning(p)) return "pruning";
    if (!strcmp(p->phase, "source")) return "training the source";
    if (!strcmp(p->phase, "warmup")) return "gathering scores";
    return "running";
}

/* ", 12.3k tok/s" for what is known, nothing for what is not. */
static void put(struct buf *out, const char *before, double value,
                char *(*text)(char *out, double value), const char *after)
{
    char t[TEXT_MAX];
    if (!isnan(value)) buf_printf(out, "%s%s%s", before, text(t, value), after);
}

static char *text_loss(char *out, double value) { return text_number(out, value, 4); }

static void put_removals(const struct progress *p, struct buf *out)
{
    if (!p->ordinal) return;
    buf_printf(out, "  removed");
    for (int t = 0; t < PROGRESS_TYPES; t++)
        buf_printf(out, " %s %lld", progress_type_names[t], (long long)p->removed[t]);
}

static void put_numbers(const struct progress *p, struct buf *out)
{
    put(out, "  loss ", p->loss, text_loss, "");
    put(out, "  validation ", p->validation_loss, text_loss, "");
    put(out, "  ", p->tokens_per_second, text_count, " tok/s");
    put(out, "  params ", p->params, text_count, "");
    if (p->is_search && p->params_source > 0)
        put(out, " (", p->params / p->params_source, text_percent, " left)");
}

void progress_line(struct progress *p, struct buf *out)
{
    p->changed = false;
    buf_printf(out, "%s %s", p->id, doing(p));
    put(out, " ", progress_share(p), text_percent, "");
    put_numbers(p, out);
    put_removals(p, out);
    if (!progress_is_over(p)) put(out, "  eta ", p->eta_seconds, text_duration, "");
    if (*p->reason) buf_printf(out, "  reason: %s", p->reason);
}

static void put_bar(const struct progress *p, int columns, bool utf8, struct buf *out)
{
    enum { LONGEST = 60 };
    char bar[3 * LONGEST + 1], percent[TEXT_MAX];
    int width = columns - 40 < 10 ? 10 : columns - 40 > LONGEST ? LONGEST : columns - 40;
    double share = progress_share(p);
    buf_printf(out, "  %s %6s", text_bar(bar, width, share, utf8), text_percent(percent, share));
    put(out, "  ", p->tokens, text_count, " tokens");
    if (!progress_is_over(p)) put(out, "  eta ", p->eta_seconds, text_duration, "");
    buf_putc(out, '\n');
}

void progress_block(const struct progress *p, int columns, bool utf8, struct buf *out)
{
    buf_printf(out, "%s %s  %s\n", p->id, p->name, doing(p));
    put_bar(p, columns, utf8, out);
    put_numbers(p, out);
    buf_putc(out, '\n');
    if (p->ordinal) {
        put_removals(p, out);
        buf_putc(out, '\n');
    }
    if (*p->reason) buf_printf(out, "  %s\n", p->reason);
}
