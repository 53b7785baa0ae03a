#include "trainer/backend_ref.h"
#include "trainer/backend_host.h"

#include <math.h>
#include <string.h>

/* Returns the loss of one row; the row becomes scale * (softmax - one_hot). */
static double cross_entropy_row(float *logit, int n, int target, double scale)
{
    double most = -INFINITY, total = 0;
    for (int v = 0; v < n; v++) most = fmax(most, logit[v]);
    for (int v = 0; v < n; v++) total += exp(logit[v] - most);
    double loss = most + log(total) - logit[target];
    for (int v = 0; v < n; v++)
        logit[v] = (float)(scale * (exp(logit[v] - most) / total - (v == target)));
    return loss;
}

static void cross_entropy(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double scale)
{
    (void)be;
    for (int n = 0; n < logits.rows; n++) {
        int target = host_ids(targets)[n];
        float *loss = host_row(losses, 0) + n, *logit = host_row(logits, n);
        *loss = 0;
        if (target >= 0)
            *loss = (float)cross_entropy_row(logit, logits.cols, target, scale);
        else
            memset(logit, 0, (size_t)logits.cols * sizeof *logit);
    }
}

static struct view view_of(struct block *block, const struct param *p)
{
    return (struct view){ block, p->at, p->rows, p->cols, p->ld };
}

static struct view moments_of(const struct adamw *a, struct block *block, const struct param *p)
{
    return (struct view){ block, p->at - a->moments_at, p->rows, p->cols, p->ld };
}

static void sum_squares(struct backend *be, struct block *sums, int at, struct block *grads,
                        const struct param *param, int n_params, double times, bool add)
{
    (void)be;
    double sum = 0;
    for (int i = 0; i < n_params; i++)
        for (int r = 0; r < param[i].rows; r++) {
            const float *g = host_row(view_of(grads, &param[i]), r);
            for (int c = 0; c < param[i].cols; c++) sum += (double)g[c] * g[c];
        }
    host_sums(sums)[at] = add ? host_sums(sums)[at] + times * sum : times * sum;
}

static void adamw_element(const struct adamw *a, double scale, float *w, float g, float *m, float *v, bool decay)
{
    double grad = scale * g, keep = decay ? 1 - a->lr * a->weight_decay : 1;
    *m = (float)(a->beta1 * *m + (1 - a->beta1) * grad);
    *v = (float)(a->beta2 * *v + (1 - a->beta2) * grad * grad);
    double m_hat = *m / (1 - pow(a->beta1, (double)a->step));
    double v_hat = *v / (1 - pow(a->beta2, (double)a->step));
    *w = (float)(*w * keep - a->lr * m_hat / (sqrt(v_hat) + a->epsilon));
}

static void adamw_param(const struct adamw *a, double scale, const struct param *p)
{
    for (int r = 0; r < p->rows; r++) {
        float *w = host_row(view_of(a->weights, p), r);
        float *m = host_row(moments_of(a, a->m, p), r), *v = host_row(moments_of(a, a->v, p), r);
        const float *g = host_row(view_of(a->grads, p), r);
        for (int c = 0; c < p->cols; c++) {
            double saliency = fabs((double)w[c] * g[c]);
            if (a->sums && p->row_sum >= 0)
                host_sums(a->sums)[p->row_sum + r / p->row_span] += saliency;
            if (a->sums && p->col_sum >= 0)
                host_sums(a->sums)[p->col_sum + c / p->col_span] += saliency;
            adamw_element(a, scale, &w[c], g[c], &m[c], &v[c], p->decay);
        }
    }
}

static void adamw(struct backend *be, const struct adamw *step)
{
    (void)be;
    double scale = host_grad_scale(step);
    for (int i = 0; i < step->n_params && !isnan(scale); i++)
        adamw_param(step, scale, &step->param[i]);
}

void ref_step_functions(struct backend *be)
{
    be->cross_entropy = cross_entropy;
    be->sum_squares = sum_squares;
    be->adamw = adamw;
}
