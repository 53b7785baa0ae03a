#include <math.h>
#include <string.h>
#include "trainer/backend_host.h"

struct softmax {
    double most, temperature, log_total;
};

static struct softmax softmax_of(const float *logit, int n, double temperature)
{
    struct softmax s = { -INFINITY, temperature, 0 };
    double total = 0;
    for (int v = 0; v < n; v++) s.most = fmax(s.most, logit[v]);
    for (int v = 0; v < n; v++) total += exp((logit[v] - s.most) / temperature);
    s.log_total = log(total);
    return s;
}

static double log_of(struct softmax s, float logit)
{
    return (logit - s.most) / s.temperature - s.log_total;
}

/* Returns the loss of one row; the row becomes scale times its gradient,
 *     (1 - weight) (softmax - one_hot) + weight T (q - p). */
static double distill_row(float *logit, const float *teacher, int n, int target, struct distill d,
                          double scale)
{
    struct softmax plain = softmax_of(logit, n, 1);
    struct softmax q = softmax_of(logit, n, d.temperature);
    struct softmax p = softmax_of(teacher, n, d.temperature);
    double kl = 0, entropy = -log_of(plain, logit[target]);
    for (int v = 0; v < n; v++) {
        double log_p = log_of(p, teacher[v]), log_q = log_of(q, logit[v]);
        double hard = exp(log_of(plain, logit[v])) - (v == target);
        double soft = exp(log_q) - exp(log_p);
        kl += exp(log_p) * (log_p - log_q);
        logit[v] = (float)(scale * ((1 - d.weight) * hard + d.weight * d.temperature * soft));
    }
    return (1 - d.weight) * entropy + d.weight * d.temperature * d.temperature * kl;
}

void host_distill(struct backend *be, struct view losses, struct view logits, struct view teacher,
                  struct view targets, struct distill d, double scale)
{
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int n = 0; n < logits.rows; n++) {
        int target = host_ids(targets)[n];
        float *loss = host_row(losses, 0) + n, *logit = host_row(logits, n);
        *loss = 0;
        if (target >= 0)
            *loss = (float)distill_row(logit, host_row(teacher, n), logits.cols, target, d, scale);
        else
            memset(logit, 0, (size_t)logits.cols * sizeof *logit);
    }
}

static double z_row(float *logit, int n, int target, double z, double scale)
{
    struct softmax s = softmax_of(logit, n, 1);
    double log_sum = s.most + s.log_total, entropy = log_sum - logit[target];
    for (int v = 0; v < n; v++) {
        double p = exp(log_of(s, logit[v]));
        logit[v] = (float)(scale * (p * (1 + 2 * z * log_sum) - (v == target)));
    }
    return entropy + z * log_sum * log_sum;
}

void host_z_cross_entropy(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double z, double scale)
{
    for (int n = 0; n < logits.rows; n++) {
        int target = host_ids(targets)[n];
        float *loss = host_row(losses, 0) + n, *logit = host_row(logits, n);
        *loss = 0;
        if (target >= 0)
            *loss = (float)z_row(logit, logits.cols, target, z, scale);
        else
            memset(logit, 0, (size_t)logits.cols * sizeof *logit);
    }
    (void)be;
}
