#include "trainer/checkpoint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "trainer/checkpoint_state.h"
#include "trainer/checkpoint_tensors.h"
#include "trainer/manifest.h"

enum { MAX_REMOVALS_BYTES = 1 << 30 };

static const char *const file_names[] = { "state.json", "removals.jsonl", "tensors.safetensors",
                                          NULL };

/* ---- writing ---------------------------------------------------------------------------- */

static enum status put_file(const char *dir, const char *name, const void *bytes, size_t len,
                            struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, dir, name, err));
    return file_write(path, bytes, len, err);
}

static enum status write_state(const struct checkpoint *cp, const char *dir, struct error *err)
{
    struct buf json;
    struct emit e;
    buf_init(&json, CHECKPOINT_MAX_STATE);
    emit_init(&e, &json);
    checkpoint_emit(cp, &e);
    if (json.failed)
        fail(err, E_LIMIT, "the state of the checkpoint is too large");
    else
        put_file(dir, "state.json", json.bytes, json.len, err);
    buf_release(&json);
    return err->status;
}

static enum status write_parts(const struct checkpoint *cp, struct model *model, const char *dir,
                               struct error *err)
{
    TRY(dir_make(dir, err));
    TRY(write_state(cp, dir, err));
    TRY(put_file(dir, "removals.jsonl", cp->removals ? cp->removals : "", cp->removals_len, err));
    TRY(checkpoint_write_tensors(cp, model, dir, err));
    return manifest_write(dir, cp->step, file_names, err);
}

/* ---- which there are ----------------------------------------------------------------------- */

static int64_t step_of(const char *name)
{
    long long step = -1;
    int used = 0;
    return sscanf(name, "step-%12lld%n", &step, &used) == 1 && !name[used] ? step : -1;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x > y ? -1 : x < y;
}

/* Steps of the checkpoints below `dir`, newest first; the caller frees. */
static int64_t *list_steps(const char *dir, int *n)
{
    int64_t *step = NULL;
    DIR *d = opendir(dir);
    *n = 0;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        int64_t found = step_of(entry->d_name);
        if (found < 0) continue;
        step = realloc(step, ((size_t)*n + 1) * sizeof *step);
        if (!step) abort();
        step[(*n)++] = found;
    }
    if (d) closedir(d);
    if (step) qsort(step, (size_t)*n, sizeof *step, newest_first);
    return step;
}

static enum status place_of(char path[PATH_ROOM], const char *dir, int64_t step, const char *suffix,
                            struct error *err)
{
    char name[64];
    snprintf(name, sizeof name, "step-%012lld%s", (long long)step, suffix);
    return path_join(path, dir, name, err);
}

bool checkpoint_stays(const struct checkpoint_keep *keep, int64_t step)
{
    if (keep->major_every > 0 && step % keep->major_every == 0) return true;
    for (int i = 0; i < keep->n_milestones; i++)
        if (keep->milestone[i] == step) return true;
    return false;
}

static void prune_old(const char *dir, const struct checkpoint_keep *keep, int64_t newest)
{
    int n, first = 0;
    int64_t *step = list_steps(dir, &n);
    while (first < n && step[first] > newest) first++; /* passed over when we started */
    for (int i = 0; i < n; i++) {
        if (i >= first && (i < first + keep->last || checkpoint_stays(keep, step[i]))) continue;
        char path[PATH_ROOM];
        struct error err = { 0 };
        if (place_of(path, dir, step[i], "", &err) || dir_remove(path, &err))
            log_warn("old checkpoint: %s", err.text);
    }
    free(step);
}

enum status checkpoint_save(const struct checkpoint *cp, struct model *model, const char *dir,
                            const struct checkpoint_keep *keep, char path[PATH_ROOM],
                            struct error *err)
{
    char tmp[PATH_ROOM];
    TRY(dir_make(dir, err));
    TRY(place_of(path, dir, cp->step, "", err));
    TRY(place_of(tmp, dir, cp->step, ".tmp", err));
    TRY(dir_remove(tmp, err));
    if (write_parts(cp, model, tmp, err) || dir_commit(tmp, path, err)) {
        struct error ignored = { 0 };
        dir_remove(tmp, &ignored); /* gives a full disk its space back */
        return fail_in(err, "checkpoint");
    }
    prune_old(dir, keep, cp->step);
    return OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

static enum status read_parts(struct checkpoint *out, const char *dir, struct error *err)
{
    struct manifest manifest;
    char path[PATH_ROOM], *text;
    size_t len;
    TRY(manifest_check(&manifest, dir, err));
    TRY(path_join(path, dir, "state.json", err));
    TRY(file_read(&text, &len, path, CHECKPOINT_MAX_STATE, err));
    checkpoint_parse(out, text, len, err);
    free(text);
    if (err->status) return fail_in(err, "%.200s", path);
    snprintf(out->path, sizeof out->path, "%s", dir);
    if (out->step != manifest.step) return fail(err, E_INPUT, "%.200s is of another step", path);
    TRY(path_join(path, dir, "removals.jsonl", err));
    TRY(file_read(&out->removals, &out->removals_len, path, MAX_REMOVALS_BYTES, err));
    return checkpoint_read_scores(out, err);
}

/* What a crash in the middle of a save left behind. */
static void remove_leftovers(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        char path[PATH_ROOM];
        struct error err = { 0 };
        size_t n = strlen(entry->d_name);
        if (n < 4 || strcmp(entry->d_name + n - 4, ".tmp")) continue;
        if (!path_join(path, dir, entry->d_name, &err)) dir_remove(path, &err);
    }
    if (d) closedir(d);
}

enum status checkpoint_load(struct checkpoint *out, bool *found, const char *dir, struct error *err)
{
    int n;
    *out = (struct checkpoint){ 0 };
    *found = false;
    remove_leftovers(dir);
    int64_t *step = list_steps(dir, &n);
    for (int i = 0; i < n && !*found; i++) {
        char path[PATH_ROOM];
        struct error bad = { 0 };
        if (place_of(path, dir, step[i], "", err)) break;
        if (!read_parts(out, path, &bad)) {
            *found = true;
        } else {
            log_warn("checkpoint passed over: %s", bad.text);
            checkpoint_release(out);
        }
    }
    free(step);
    return err->status;
}

void checkpoint_release(struct checkpoint *cp)
{
    free(cp->identity);
    free(cp->removals);
    free(cp->scores);
    *cp = (struct checkpoint){ 0 };
}
