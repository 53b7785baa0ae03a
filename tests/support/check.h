#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test is a main() that aborts with both values printed, or says ok. */
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n    ", __FILE__, __LINE__, #cond);                         \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_INT(got, want)                                                                       \
    CHECK((long long)(got) == (long long)(want), "got %lld, want %lld", (long long)(got), (long long)(want))
#define CHECK_STR(got, want) CHECK(!strcmp((got), (want)), "got  '%s'\n    want '%s'", (got), (want))
#define CHECK_NEAR(got, want, tolerance)                                                           \
    CHECK(fabs((double)(got) - (double)(want)) <= (tolerance), "got %.9g, want %.9g", (double)(got), (double)(want))
#define CHECK_OK(call, err) CHECK(!(call), "%s", (err).text)

/* Leaves the test as skipped; ctest shows why. */
#define SKIP(why) do { printf("skipped: %s\n", why); exit(77); } while (0)

#endif
