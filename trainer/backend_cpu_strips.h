#ifndef TRAINER_BACKEND_CPU_STRIPS_H
#define TRAINER_BACKEND_CPU_STRIPS_H

/*
 * Cutting the results of matrix products into strips for a team whose members take the next
 * one when they are done: wide ones first, since a strip reads all of the operand that is
 * shared, narrow ones at the end, so that all are done at about the same time.
 */
enum { STRIP_MAPS = 3, STRIPS = 1024 };

/* `size` columns from `from` on of result `map`. */
struct strip {
    int map, from, size;
};

struct strips {
    int n;
    struct strip at[STRIPS];
};

/* n <= STRIP_MAPS results of size[k] columns, laid end to end. Strips start at multiples of `unit`
 * in their result; `shares` (1 or more) is for how many members. */
void strips_cut(struct strips *strips, const int *size, int n, int unit, int shares);

#endif
