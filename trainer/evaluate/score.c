#include "trainer/evaluate/score.h"

#include <stdlib.h>
#include <string.h>

/* One token that is asked for, by the place of its row among the rows that go through the head. */
struct want {
    int row, id, request; /* request: from the batch's first */
};

struct batch {
    const struct eval_scorer *s;
    const struct eval_requests *r;
    int from, n;               /* requests */
    int rows, n_pieces;        /* so far */
    int context, context_rows; /* the request whose context stands at context_row.. */
    int context_row, context_want;
    int32_t *ids;
    struct packed_piece *piece;
    int *row; /* those that go through the head */
    int n_row;
    struct want *want;
    int n_want, want_room;
    int *same; /* of each request: the earlier one that asks the same, or itself */
    struct eval_score *score;
};

static const int32_t *ids_of(const struct batch *b, int request)
{
    return b->r->ids.id + b->r->request[request].at;
}

/* Does the request see the context that stands in the batch last? */
static bool shares(const struct batch *b, int request)
{
    if (b->context < 0) return false;
    const struct eval_request *a = &b->r->request[b->context], *c = &b->r->request[request];
    return a->item == c->item && a->n_context == c->n_context &&
           !memcmp(ids_of(b, b->context), ids_of(b, request),
                   (size_t)a->n_context * sizeof(int32_t));
}

/* An earlier request with the shared context that asks for the same tokens, or `request`. */
static int twin(const struct batch *b, int request)
{
    const struct eval_request *c = &b->r->request[request];
    for (int i = b->context; i < request; i++) {
        const struct eval_request *a = &b->r->request[i];
        if (a->n == c->n && !memcmp(ids_of(b, i) + a->n_context, ids_of(b, request) + c->n_context,
                                    (size_t)c->n * sizeof(int32_t)))
            return i;
    }
    return request;
}

static void add_want(struct batch *b, int row, int id, int request)
{
    if (b->n_want == b->want_room) {
        b->want_room = b->want_room ? 2 * b->want_room : 1024;
        b->want = realloc(b->want, (size_t)b->want_room * sizeof *b->want);
        if (!b->want) abort();
    }
    b->want[b->n_want++] = (struct want){ row, id, request - b->from };
}

static void add_piece(struct batch *b, const int32_t *ids, struct packed_piece piece)
{
    piece.row = b->rows;
    memcpy(b->ids + b->rows, ids, (size_t)piece.rows * sizeof *ids);
    b->piece[b->n_pieces++] = piece;
    b->rows += piece.rows;
}

static void add_context(struct batch *b, int request)
{
    int n = b->r->request[request].n_context;
    b->context = request;
    b->context_row = b->rows;
    b->context_rows = n;
    add_piece(b, ids_of(b, request), (struct packed_piece){ .rows = n });
    b->context_want = b->n_row;
    b->row[b->n_row++] = b->rows - 1;
}

/* The last row of the context predicts the first token; each token of the continuation but the last
 * is a row that predicts the next. */
static void add_continuation(struct batch *b, int request)
{
    const struct eval_request *c = &b->r->request[request];
    const int32_t *asked = ids_of(b, request) + c->n_context;
    add_want(b, b->context_want, asked[0], request);
    if (c->n == 1) return;
    int row = b->rows;
    add_piece(b, asked,
              (struct packed_piece){ .rows = c->n - 1,
                                     .position = b->context_rows,
                                     .past_at = b->context_row,
                                     .past = b->context_rows });
    for (int i = 1; i < c->n; i++) {
        add_want(b, b->n_row, asked[i], request);
        b->row[b->n_row++] = row + i - 1;
    }
}

/* False when the batch is full. */
static bool add_request(struct batch *b, int request)
{
    const struct eval_request *c = &b->r->request[request];
    bool shared = shares(b, request);
    int earlier = shared ? twin(b, request) : request;
    int rows = (earlier < request ? 0 : c->n - 1) + (shared ? 0 : c->n_context);
    if (b->rows + rows > b->s->max_rows) return false;
    b->same[request - b->from] = earlier - b->from;
    b->score[request - b->from] = (struct eval_score){ 0, true };
    if (!shared) add_context(b, request);
    if (earlier == request) add_continuation(b, request);
    b->n++;
    return true;
}

/* ---- what the model says ------------------------------------------------------------------------ */

static void see(void *user, int first, int n, const float *logits)
{
    struct batch *b = user;
    int vocab = b->s->vocab_size;
    struct eval_row *row = calloc((size_t)n, sizeof *row);
    if (!row) abort();
#pragma omp parallel for num_threads(b->s->threads) schedule(static)
    for (int i = 0; i < n; i++)
        row[i] = eval_row_of(logits + (size_t)i * (size_t)vocab, vocab);
    for (int i = 0; i < b->n_want; i++) {
        const struct want *w = &b->want[i];
        int at = w->row - first;
        if (at < 0 || at >= n) continue;
        struct eval_score *score = &b->score[w->request];
        score->log_likelihood +=
            logits[(size_t)at * (size_t)vocab + (size_t)w->id] - row[at].log_sum;
        score->greedy = score->greedy && row[at].best == w->id;
    }
    free(row);
}

static void *room(int n, size_t size)
{
    void *p = calloc((size_t)n, size);
    if (!p) abort();
    return p;
}

int eval_score_batch(const struct eval_scorer *s, const struct eval_requests *r, int from,
                     struct eval_score *score)
{
    int most = s->max_rows;
    struct batch b = { .s = s, .r = r, .from = from, .context = -1, .score = score };
    b.ids = room(most, sizeof *b.ids);
    b.piece = room(most + 1, sizeof *b.piece);
    b.row = room(most + 1, sizeof *b.row);
    b.same = room(r->n - from, sizeof *b.same);
    while (from + b.n < r->n && add_request(&b, from + b.n)) continue;
    packed_run(s->packed, b.ids, b.piece, b.n_pieces);
    packed_logits(s->packed, b.row, b.n_row, see, &b);
    for (int i = 0; i < b.n; i++) score[i] = score[b.same[i]];
    free(b.ids);
    free(b.piece);
    free(b.row);
    free(b.same);
    free(b.want);
    return from + b.n;
}
