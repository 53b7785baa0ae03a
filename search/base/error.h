#ifndef SEARCH_BASE_ERROR_H
#define SEARCH_BASE_ERROR_H

/*
 * How anything in this house fails.
 *
 * A function that can fail returns `enum status` and takes a `struct error *`
 * as its last parameter. It returns OK and leaves the error alone, or it
 * returns the kind of failure and leaves one line a person can act on.
 * The status is for programs (HTTP code, exit code, retry or not); the text is
 * for people.
 *
 *     if (d_model % n_head)
 *         return fail(err, E_INPUT, "n_head %d does not divide d_model %d",
 *                     n_head, d_model);
 *
 * On the way up, a caller that knows something the callee could not adds it:
 *
 *     if (shape_parse(&s, text, err))
 *         return fail_in(err, "candidate %lld", id);
 *
 * which reads, at the top: "candidate 41: n_head 7 does not divide d_model 64".
 * The first failure wins: setting an error twice keeps the first.
 */

enum status {
    OK = 0,
    E_INPUT,    /* the caller's data is wrong; trying again will not help */
    E_MISSING,  /* the thing named does not exist */
    E_CONFLICT, /* it exists already, or somebody else changed it first */
    E_STALE,    /* it is no longer what the caller saw and builds on */
    E_LIMIT,    /* more than we agreed to hold: a body, a queue, a quota */
    E_BUSY,     /* not now; the same call may succeed later */
    E_CANCELLED, /* somebody asked us to stop, and we did */
    E_MEMORY,   /* a tensor did not fit; small allocations abort instead */
    E_IO,       /* disk, network or child process */
    E_DB,       /* Postgres said no, and none of the above fits */
};

struct error {
    enum status status;
    char text[376];
    char pointer[120]; /* JSON pointer to the offending member, or "" (see field.h) */
};

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PRINTF_LIKE(fmt, args)
#endif

/* Records a failure and returns its status. `err` is never NULL. */
enum status fail(struct error *err, enum status status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Puts "context: " before the text already there; returns the same status. */
enum status fail_in(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The name a client sees in JSON: "input", "missing", "conflict"... */
const char *status_name(enum status status);

/* How a program ends: 0 done, 2 bad input (or too much of it), 75 (EX_TEMPFAIL) try again, 1 otherwise. */
int status_exit_code(enum status status);

/* Returns early with the callee's status. Only for functions that hold nothing. */
#define TRY(call)                           \
    do {                                    \
        enum status try_status = (call);    \
        if (try_status) return try_status;  \
    } while (0)

#endif
