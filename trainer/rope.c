#include "trainer/rope.h"

#include <math.h>

static double scaled(const struct rope_scaling *s, double frequency)
{
    const double turn = 6.283185307179586477;
    double turns = s->original_max_position * frequency / turn; /* original length / wavelength */
    if (turns < s->low_freq_factor) return frequency / s->factor;
    if (turns > s->high_freq_factor) return frequency;
    double keep = (turns - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
    return keep * frequency + (1 - keep) * frequency / s->factor;
}

double rope_frequency(const struct shape *shape, int i)
{
    double frequency = pow(shape->rope_theta, -2.0 * i / shape->head_dim);
    return shape->rope_scaling.llama3 ? scaled(&shape->rope_scaling, frequency) : frequency;
}

void rope_table(const struct shape *shape, int time, float *to)
{
    int half = shape->head_dim / 2;
    for (int i = 0; i < half; i++) {
        double frequency = rope_frequency(shape, i);
        for (int t = 0; t < time; t++) {
            float *row = to + (size_t)t * (size_t)shape->head_dim;
            row[i] = (float)cos(t * frequency);
            row[half + i] = (float)sin(t * frequency);
        }
    }
}
