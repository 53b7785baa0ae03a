#ifndef SERVER_SM_H
#define SERVER_SM_H

#include <assert.h>
#include <stdint.h>

/*
 * A state machine written down as a table: for each state its name and the states
 * it may move to. sm_move is the only way to change state, so one breakpoint shows
 * the whole life of a connection or a child. A move that is not in the table aborts.
 */
struct sm_state {
    const char *name;
    uint32_t next; /* SM_TO(a) | SM_TO(b) | ... */
};

struct sm {
    const struct sm_state *states;
    int at;
};

#define SM_TO(state) (1u << (state))

static inline void sm_init(struct sm *sm, const struct sm_state *states, int first)
{
    *sm = (struct sm){ .states = states, .at = first };
}

static inline void sm_move(struct sm *sm, int to)
{
    assert(sm->states[sm->at].next & SM_TO(to));
    sm->at = to;
}

#endif
