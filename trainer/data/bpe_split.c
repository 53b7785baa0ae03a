#define PCRE2_CODE_UNIT_WIDTH 8
#include "trainer/data/bpe_split.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "search/base/buf.h"
#include "trainer/data/bpe_bytes.h"
#include "trainer/data/bpe_scan.h"

const char bpe_regex_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char bpe_regex_qwen2[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char bpe_regex_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* ---- steps ------------------------------------------------------------------------ */

/* \s and \S in terms of White_Space = Z, U+0009..U+000D, U+0085. */
static void put_pattern(struct buf *out, const char *regex)
{
    bool in_class = false;
    for (const char *p = regex; *p; p++) {
        if (*p == '\\' && p[1] == 's') {
            buf_puts(out, in_class ? "\\p{Z}\\t-\\r\\x{85}" : "[\\p{Z}\\t-\\r\\x{85}]");
            p++;
        } else if (*p == '\\' && p[1] == 'S' && !in_class) {
            buf_puts(out, "[^\\p{Z}\\t-\\r\\x{85}]");
            p++;
        } else if (*p == '\\' && p[1]) {
            buf_put(out, p++, 2);
        } else {
            if (*p == '[')
                in_class = true;
            else if (*p == ']')
                in_class = false;
            buf_putc(out, *p);
        }
    }
}

static enum status compile(struct bpe_step *step, const char *regex, struct error *err)
{
    int code;
    size_t at;
    struct buf pattern;
    buf_init(&pattern, 16 * BPE_MAX_PATTERN);
    put_pattern(&pattern, regex);
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern.bytes, pattern.len,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    buf_release(&pattern);
    if (!re) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return fail(err, E_INPUT, "the expression '%.60s' does not compile: %s", regex,
                    (char *)why);
    }
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without JIT it only is slower */
    step->code = re;
    return OK;
}

enum status bpe_split_add(struct bpe_split *split, enum bpe_step_kind kind, const char *regex,
                          struct error *err)
{
    if (split->n == BPE_MAX_STEPS)
        return fail(err, E_LIMIT, "more than %d pre-tokenizer steps", BPE_MAX_STEPS);
    struct bpe_step step = { .kind = kind };
    if (regex) {
        if (strlen(regex) > BPE_MAX_PATTERN || !*regex)
            return fail(err, E_INPUT, "an expression has 0 or more than %d bytes", BPE_MAX_PATTERN);
        TRY(compile(&step, regex, err));
        if (kind == BPE_STEP_REGEX) step.scanner = bpe_scanner_of(regex);
        step.regex = strdup(regex);
        if (!step.regex) abort();
    }
    split->step[split->n++] = step;
    return OK;
}

void bpe_split_release(struct bpe_split *split)
{
    for (int i = 0; i < split->n; i++) {
        pcre2_code_free(split->step[i].code);
        free(split->step[i].regex);
    }
    *split = (struct bpe_split){ 0 };
}

/* ---- running ------------------------------------------------------------------------ */

struct walk {
    const struct bpe_split *split;
    pcre2_match_context *limits;
    pcre2_match_data *match;
    bpe_word_seen *word;
    void *data;
    struct error *err;
};

static enum status run_from(struct walk *w, int i, const char *text, size_t len);

static enum status keep(struct walk *w, int i, bool wanted, const char *text, size_t len)
{
    return wanted && len ? run_from(w, i + 1, text, len) : OK;
}

/* One match from `at` on: 1 and its ends, 0 for none, negative for PCRE2's failure. */
static int match_at(struct walk *w, const struct bpe_step *step, const char *text, size_t len,
                    size_t at, size_t ends[2])
{
    int n =
        pcre2_match(step->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, w->match, w->limits);
    if (n < 0) return n == PCRE2_ERROR_NOMATCH ? 0 : n;
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(w->match);
    ends[0] = found[0];
    ends[1] = found[1];
    return 1;
}

static enum status run_regex(struct walk *w, int i, const char *text, size_t len)
{
    const struct bpe_step *step = &w->split->step[i];
    size_t done = 0, at = 0, ends[2];
    int n = 0, rune;
    while (at <= len && (n = match_at(w, step, text, len, at, ends)) > 0) {
        if (ends[1] == ends[0]) { /* an empty match cuts nothing; go on behind it */
            if (ends[1] == len) break;
            at = ends[1] + bpe_rune(text + ends[1], len - ends[1], &rune);
            continue;
        }
        TRY(keep(w, i, step->kind != BPE_STEP_MATCHES, text + done, ends[0] - done));
        TRY(keep(w, i, step->kind != BPE_STEP_GAPS, text + ends[0], ends[1] - ends[0]));
        at = done = ends[1];
    }
    if (n < 0)
        return fail(w->err, E_LIMIT, "the pre-tokenizer's expression gave up on a text (%d)", n);
    return keep(w, i, step->kind != BPE_STEP_MATCHES, text + done, len - done);
}

static enum status run_scanner(struct walk *w, int i, const char *text, size_t len)
{
    enum bpe_scanner scanner = (enum bpe_scanner)w->split->step[i].scanner;
    bool last = i + 1 == w->split->n;
    for (size_t n; len; text += n, len -= n) {
        n = bpe_scan(scanner, text, len);
        if (last)
            w->word(w->data, text, n);
        else
            TRY(run_from(w, i + 1, text, n));
    }
    return OK;
}

static enum status run_digits(struct walk *w, int i, const char *text, size_t len)
{
    bool alone = w->split->step[i].kind == BPE_STEP_DIGIT, inside = false;
    size_t done = 0, n;
    for (size_t at = 0; at < len; at += n) {
        bool digit = bpe_is_numeric(text + at, len - at, &n);
        if (at > done && (digit != inside || (digit && alone))) {
            TRY(run_from(w, i + 1, text + done, at - done));
            done = at;
        }
        inside = digit;
    }
    return run_from(w, i + 1, text + done, len - done);
}

static enum status run_prefix(struct walk *w, int i, const char *text, size_t len)
{
    if (*text == ' ') return run_from(w, i + 1, text, len);
    char *longer = malloc(len + 1);
    if (!longer) return fail(w->err, E_MEMORY, "no memory for a text of %zu bytes", len);
    longer[0] = ' ';
    memcpy(longer + 1, text, len);
    enum status status = run_from(w, i + 1, longer, len + 1);
    free(longer);
    return status;
}

static enum status run_meta(struct walk *w, int i, const char *text, size_t len)
{
    static const char meta[] = "\xe2\x96\x81";
    size_t done = 0;
    bool inside = true; /* in a run of U+2581 or at the start */
    for (size_t at = 0; at < len; at += inside ? 3 : 1) {
        bool here = len - at >= 3 && !memcmp(text + at, meta, 3);
        if (here && !inside) {
            TRY(run_from(w, i + 1, text + done, at - done));
            done = at;
        }
        inside = here;
    }
    return run_from(w, i + 1, text + done, len - done);
}

static enum status run_from(struct walk *w, int i, const char *text, size_t len)
{
    if (i == w->split->n) {
        w->word(w->data, text, len);
        return OK;
    }
    switch (w->split->step[i].kind) {
    case BPE_STEP_DIGIT:
    case BPE_STEP_DIGITS: return run_digits(w, i, text, len);
    case BPE_STEP_PREFIX: return run_prefix(w, i, text, len);
    case BPE_STEP_META: return run_meta(w, i, text, len);
    case BPE_STEP_REGEX:
    case BPE_STEP_MATCHES:
    case BPE_STEP_GAPS: break;
    }
    bool scan = w->split->step[i].scanner && !w->split->no_scanners;
    return scan ? run_scanner(w, i, text, len) : run_regex(w, i, text, len);
}

enum status bpe_split_run(const struct bpe_split *split, const char *text, size_t len,
                          bpe_word_seen *word, void *data, struct error *err)
{
    if (!len) return OK;
    struct walk w = {
        split, pcre2_match_context_create(NULL), pcre2_match_data_create(1, NULL), word, data, err
    };
    if (!w.limits || !w.match) abort();
    pcre2_set_match_limit(w.limits, BPE_MATCH_LIMIT);
    enum status status = run_from(&w, 0, text, len);
    pcre2_match_data_free(w.match);
    pcre2_match_context_free(w.limits);
    return status;
}
