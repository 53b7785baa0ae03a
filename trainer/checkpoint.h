#ifndef TRAINER_CHECKPOINT_H
#define TRAINER_CHECKPOINT_H

#include "search/score.h"
#include "trainer/data/dataset.h"
#include "trainer/model.h"

/*
 * What a trainer needs to go on as if nothing had happened. A checkpoint is a folder
 * below `dir`, complete or absent (file.h):
 *
 *     step-000000000400/
 *         manifest.json        {"schema", "step", "files": [{"name", "bytes", "sha256"}]}
 *         state.json           the struct below
 *         removals.jsonl       the removals so far, one a line (trajectory.h)
 *         tensors.safetensors  "weights.NAME", "m.NAME", "v.NAME" of every tensor at the
 *                              current shape, and "scores" (float64). With adapters there are
 *                              no moments of the tensors but "a.NAME", "m.a.NAME", "v.a.NAME"
 *                              and "s.NAME", "m.s.NAME", "v.s.NAME" (lora.h)
 *
 * The capacity is in it: the model is opened with the same layout again, since the
 * order of sums, and so the last bit, may depend on it. Whatever else decides the
 * numbers (recipe, seed, data) is in `identity`, which must be the job's.
 */
struct checkpoint {
    int64_t step, tokens;
    double loss;    /* of the last step; NAN before the first */
    char *identity; /* struct job's */
    struct shape capacity, shape;
    uint64_t samples, taken[DATASET_MAX_DOMAINS]; /* of the feed */
    double weight[DATASET_MAX_DOMAINS];
    int n_domains;
    char *removals; /* text of removals.jsonl */
    size_t removals_len;
    double *scores; /* scores_get of the unit that had begun */
    int64_t n_scores;
    double scores_weight;
    char path[PATH_ROOM]; /* of a loaded one */
};

/* Which checkpoints stay: the newest `last`, those whose step is a multiple of `major_every` (0:
 * none) and the milestones. */
enum { CHECKPOINT_MAX_MILESTONES = 64 };

struct checkpoint_keep {
    int last;
    int64_t major_every, milestone[CHECKPOINT_MAX_MILESTONES];
    int n_milestones;
};

bool checkpoint_stays(const struct checkpoint_keep *keep, int64_t step);

/* Writes it, then removes all that need not stay. On failure what was there still is:
 * E_BUSY when the disk is full. `path` gets its place. */
enum status checkpoint_save(const struct checkpoint *cp, struct model *model, const char *dir,
                            const struct checkpoint_keep *keep, char path[PATH_ROOM],
                            struct error *err);

/* Where the ranks share the moments (model.h) rank 0 asks for those it lacks while it saves: the
 * others attend until it dismisses them, which it does however the saving went. */
enum status checkpoint_attend(struct model *model, struct error *err);
void checkpoint_dismiss(void);

/* The newest complete checkpoint below `dir`, all but its tensors. *found is false when there is
 * none. One whose files do not have the size and SHA-256 of its manifest is passed over with a
 * warning. Leftovers of a crash are removed. */
enum status checkpoint_load(struct checkpoint *out, bool *found, const char *dir,
                            struct error *err);

/* Its tensors, into a model of that capacity and shape; of the moments those that are kept here.
 * Checkpoints do not tell who had which. */
enum status checkpoint_read_model(const struct checkpoint *cp, struct model *model,
                                  struct error *err);

/* Frees what checkpoint_load allocated. */
void checkpoint_release(struct checkpoint *cp);

/* state.json's object, for tests and fuzzing. */
enum status checkpoint_parse(struct checkpoint *out, const char *text, size_t len,
                             struct error *err);

#endif
