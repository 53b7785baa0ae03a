/* Strips cover every result once, in whole tiles, wide ones first, and never more than there is
 * room for. */
#include "trainer/backend_cpu_strips.h"

#include <stdbool.h>
#include "search/base/rng.h"
#include "tests/support/check.h"

static void test_cut(const int *size, int n, int unit, int shares)
{
    static struct strips strips;
    int map = 0, at = 0, before = 1 << 30;
    strips_cut(&strips, size, n, unit, shares);
    CHECK(strips.n <= STRIPS, "%d", strips.n);
    for (int i = 0; i < strips.n; i++) {
        struct strip s = strips.at[i];
        bool last = s.from + s.size == size[s.map];
        CHECK(s.map == map && s.from == at && s.size > 0, "strip %d of %d", i, size[map]);
        CHECK(last || s.size % unit == 0, "%d columns, tiles of %d", s.size, unit);
        CHECK(last || s.size <= before, "wider than the one before");
        if (!last) before = s.size;
        at = last ? 0 : at + s.size, map += last;
    }
    CHECK_INT(map, n);
}

/* Members that are all as fast are done within a narrow strip of one another. */
static void test_balance(void)
{
    static struct strips strips;
    int size = 576, done[2] = { 0 };
    strips_cut(&strips, &size, 1, 32, 2);
    for (int i = 0; i < strips.n; i++) done[done[1] < done[0]] += strips.at[i].size;
    CHECK(done[0] - done[1] <= 32 && done[1] - done[0] <= 32, "%d, %d", done[0], done[1]);
    CHECK(strips.at[0].size >= 128, "the first is %d wide", strips.at[0].size);
}

int main(void)
{
    static const int units[] = { 1, 6, 12, 16, 32 };
    struct rng rng;
    rng_init(&rng, 5);
    for (int round = 0; round < 3000; round++) {
        int most = 1 << (1 + rng_below(&rng, 19)), size[STRIP_MAPS];
        int n = 1 + (int)rng_below(&rng, STRIP_MAPS);
        for (int k = 0; k < n; k++) size[k] = 1 + (int)rng_below(&rng, (uint64_t)most);
        test_cut(size, n, units[rng_below(&rng, 5)], 1 + (int)rng_below(&rng, 1024));
    }
    test_balance();
    return 0;
}
