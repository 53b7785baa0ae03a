#ifndef TRAINER_ROPE_H
#define TRAINER_ROPE_H

#include "search/shape.h"

/*
 * The rotary table of a shape: (time, head_dim) floats, for each position D/2
 * cosines and then D/2 sines of position * frequency(i), frequency(i) =
 * theta^(-2i/D). With llama3 scaling, frequencies whose wavelength is longer than
 * original_max_position / low_freq_factor are divided by `factor`, those shorter
 * than original_max_position / high_freq_factor stay, and the ones between are
 * blended linearly in original_max_position / wavelength. (Formulas: Llama 3.1's
 * configuration in Hugging Face's terms.)
 */
void rope_table(const struct shape *shape, int time, float *to);

/* The frequency of pair i, in radians a position. */
double rope_frequency(const struct shape *shape, int i);

#endif
