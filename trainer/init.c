#include "trainer/init.h"

#include <math.h>
#include "search/base/rng.h"

/* FNV-1a: the name decides which numbers a tensor gets, not its place in a table. */
uint64_t init_key(const char *name)
{
    uint64_t key = 0xcbf29ce484222325u;
    for (; *name; name++) key = (key ^ (unsigned char)*name) * 0x100000001b3u;
    return key;
}

/* Two independent standard normals by Box and Muller. */
static void normal_pair(uint64_t key, uint64_t counter, double pair[2])
{
    const double turn = 6.283185307179586477, unit = 0x1p-53;
    double a = ((double)(rng_mix(key, 2 * counter) >> 11) + 0.5) * unit;
    double b = (double)(rng_mix(key, 2 * counter + 1) >> 11) * unit;
    double radius = sqrt(-2 * log(a));
    pair[0] = radius * cos(turn * b);
    pair[1] = radius * sin(turn * b);
}

static double deviation(const struct shape *shape, enum slot_kind kind)
{
    double std = sqrt(2.0 / (5.0 * shape->hidden_size));
    return kind == SLOT_O || kind == SLOT_DOWN ? std / sqrt(2.0 * shape->n_layers) : std;
}

static void fill_row(const struct slot *slot, int r, double std, uint64_t key, float *to)
{
    double pair[2];
    for (int c = 0; c < slot->cols; c++) {
        if (c % 2 == 0) normal_pair(key, (uint64_t)r << 31 | (uint64_t)c / 2, pair);
        to[c] = (float)(std * pair[c % 2]);
    }
}

void init_rows(const struct layout *layout, const struct slot *slot, uint64_t seed, int from,
               int rows, float *to)
{
    uint64_t key = rng_mix(seed, init_key(slot->name));
    double std = deviation(&layout->current, slot->kind);
    bool gain = slot->kind == SLOT_ATTN_NORM || slot->kind == SLOT_FFN_NORM ||
                slot->kind == SLOT_FINAL_NORM;
    for (int r = 0; r < rows; r++) {
        float *row = to + (size_t)r * (size_t)slot->cols;
        if (slot->dims == 2)
            fill_row(slot, from + r, std, key, row);
        else
            for (int c = 0; c < slot->cols; c++) row[c] = gain ? 1 : 0;
    }
}
