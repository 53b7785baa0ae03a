#include "trainer/evaluate/requests.h"

#include <stdlib.h>
#include <string.h>

struct maker {
    struct eval_requests *r;
    const struct eval_encoding *e;
    struct ids context, whole; /* of the text at hand */
    struct error *err;
};

static struct eval_request *add(struct eval_requests *r)
{
    if (r->n == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 1024;
        r->request = realloc(r->request, (size_t)r->capacity * sizeof *r->request);
        if (!r->request) abort();
    }
    return &r->request[r->n++];
}

/* `before` tokens that are seen and n that are asked for, of which at most context + 1 count. */
static void ask(struct maker *m, int item, int choice, const int32_t *before, size_t n_before,
                const int32_t *asked, size_t n)
{
    size_t most = (size_t)m->e->context + 1;
    if (n_before + n > most) {
        before += n_before + n - most;
        n_before = most - n;
    }
    int32_t *to = ids_reserve(&m->r->ids, n_before + n);
    memcpy(to, before, n_before * sizeof *to);
    memcpy(to + n_before, asked, n * sizeof *to);
    *add(m->r) = (struct eval_request){ item, choice, m->r->ids.n, (int)n_before, (int)n };
    m->r->ids.n += n_before + n;
}

/* The ids of a text; with what the tokenizer puts before one unless `bare`. */
static enum status encode(struct maker *m, struct text t, bool bare, struct ids *out)
{
    struct tokenizer *tokenizer = m->e->tokenizer;
    int bos = m->e->bos;
    out->n = 0;
    if (!bare && bos >= 0) ids_put(out, bos);
    size_t start = out->n;
    TRY(tokenizer->encode(tokenizer, t.at, t.len, out, m->err));
    for (size_t i = start; i < out->n; i++)
        if (out->id[i] >= m->e->vocab_size)
            return fail(m->err, E_INPUT, "token %d is outside the model's vocabulary of %d",
                        out->id[i], m->e->vocab_size);
    if (start && out->n > start && out->id[start] == bos) { /* the text says it itself */
        memmove(out->id, out->id + 1, (out->n - 1) * sizeof *out->id);
        out->n--;
    }
    return OK;
}

static enum status need_prefix(const struct maker *m)
{
    if (m->e->prefix >= 0 && m->e->prefix < m->e->vocab_size) return OK;
    return fail(m->err, E_INPUT,
                "the tokenizer has no token that begins or ends a text, which a text without a "
                "context starts from");
}

/* ---- choices --------------------------------------------------------------------------------- */

/* Without a context: the prefix, or the continuation's own first token where that is the prefix. */
static enum status ask_bare(struct maker *m, int item, int i, const struct eval_choice *c)
{
    int32_t prefix = m->e->prefix;
    TRY(need_prefix(m));
    TRY(encode(m, c->continuation, true, &m->whole));
    size_t skip = m->whole.n && m->whole.id[0] == prefix;
    if (m->whole.n <= skip)
        return fail(m->err, E_INPUT, "continuation %d has no tokens", i);
    if (m->whole.n - skip > (size_t)m->e->context)
        return fail(m->err, E_INPUT, "continuation %d is longer than the context", i);
    ask(m, item, i, &prefix, 1, m->whole.id + skip, m->whole.n - skip);
    return OK;
}

static enum status encode_pair(struct maker *m, const struct eval_choice *c)
{
    struct buf text;
    struct text context = text_rstrip(c->context);
    buf_init(&text, (size_t)2 * EVALUATE_MAX_LINE);
    buf_put(&text, c->context.at, c->context.len);
    buf_put(&text, c->continuation.at, c->continuation.len);
    if (text.failed)
        fail(m->err, E_LIMIT, "context and continuation are too long");
    else if (!encode(m, (struct text){ text.bytes, text.len }, false, &m->whole))
        encode(m, context, false, &m->context);
    buf_release(&text);
    return m->err->status;
}

static enum status ask_choice(struct maker *m, int item, int i, const struct eval_choice *c)
{
    if (!c->context.len) return ask_bare(m, item, i, c);
    TRY(encode_pair(m, c));
    size_t before = m->context.n;
    if (m->whole.n <= before)
        return fail(m->err, E_INPUT, "continuation %d has no tokens of its own", i);
    if (m->whole.n - before > (size_t)m->e->context)
        return fail(m->err, E_INPUT, "continuation %d has %zu tokens, the model sees %d", i,
                    m->whole.n - before, m->e->context);
    if (!before) { /* a context of nothing but white space */
        TRY(need_prefix(m));
        ids_put(&m->context, m->e->prefix);
        ask(m, item, i, m->context.id, 1, m->whole.id, m->whole.n);
        return OK;
    }
    ask(m, item, i, m->context.id, before, m->whole.id + before, m->whole.n - before);
    return OK;
}

/* ---- documents ------------------------------------------------------------------------------- */

static enum status ask_document(struct maker *m, int item, struct text t)
{
    size_t most = (size_t)m->e->context;
    TRY(need_prefix(m));
    TRY(encode(m, t, false, &m->whole));
    const int32_t *id = m->whole.id;
    size_t n = m->whole.n, done = n < most ? n : most;
    m->r->tokens[item] = (int64_t)n;
    if (!n) return OK;
    int32_t prefix = m->e->prefix;
    ask(m, item, 0, &prefix, 1, id, done);
    for (int window = 1; done < n; window++) {
        size_t asked = n - done < most ? n - done : most, end = done + asked;
        size_t start = end > most + 1 ? end - most - 1 : 0;
        ask(m, item, window, id + start, done - start, id + done, asked);
        done = end;
    }
    return OK;
}

/* ---- all --------------------------------------------------------------------------------------- */

static enum status ask_item(struct maker *m, const struct eval_items *items, int i)
{
    const struct eval_item *item = &items->item[i];
    if (items->form == FORM_TEXT) return ask_document(m, i, item->choice[0].continuation);
    for (int c = 0; c < item->n_choices; c++) TRY(ask_choice(m, i, c, &item->choice[c]));
    return OK;
}

enum status eval_requests_make(struct eval_requests *r, const struct eval_items *items,
                               const struct eval_encoding *e, struct error *err)
{
    struct maker m = { .r = r, .e = e, .err = err };
    *r = (struct eval_requests){ 0 };
    r->tokens = calloc((size_t)items->n, sizeof *r->tokens);
    if (!r->tokens) abort();
    for (int i = 0; i < items->n; i++)
        if (ask_item(&m, items, i)) {
            fail_in(err, "item %d", i);
            break;
        }
    ids_release(&m.context);
    ids_release(&m.whole);
    return err->status;
}

void eval_requests_release(struct eval_requests *r)
{
    free(r->request);
    free(r->tokens);
    ids_release(&r->ids);
    *r = (struct eval_requests){ 0 };
}
