#include "trainer/backend_cpu_strips.h"

#include <assert.h>

/* The widest; rounds in which each member gets one when all are of one size; members that count:
 * with these there are never more than STRIPS. */
enum { WIDEST = 320, ROUNDS = 2, MOST_SHARES = 32 };

static int up(int n, int unit) { return (n + unit - 1) / unit * unit; }
static int least(int a, int b) { return a < b ? a : b; }

static int widest(int total, int unit)
{
    int few = up(total / (STRIPS / 4), unit);
    return few > WIDEST ? few : WIDEST / unit * unit;
}

void strips_cut(struct strips *strips, const int *size, int n, int unit, int shares)
{
    int left = 0;
    assert(n <= STRIP_MAPS);
    for (int k = 0; k < n; k++) left += size[k];
    int most = widest(left, unit), rounds = ROUNDS * least(shares, MOST_SHARES);
    strips->n = 0;
    for (int k = 0; k < n; k++)
        for (int from = 0, width; from < size[k]; from += width) {
            width = least(least(up((left + rounds - 1) / rounds, unit), most), size[k] - from);
            assert(strips->n < STRIPS);
            strips->at[strips->n++] = (struct strip){ k, from, width };
            left -= width;
        }
}
