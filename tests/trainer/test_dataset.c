/* From files to batches: the split is by document and depends on contents and seed only, windows
 * are a permutation, foreign shards read, broken ones get a sentence. */
#include "tests/support/check.h"
#include <stdbool.h>
#include "trainer/data/build.h"
#include "trainer/data/feed.h"
#include "trainer/data/mixture.h"
#include "trainer/data/permute.h"

static char dir[] = "/tmp/lathe-dataset-XXXXXX";

static const char *at(const char *name)
{
    static char path[4][PATH_ROOM];
    static int turn;
    struct error err = { 0 };
    turn = (turn + 1) % 4;
    CHECK_OK(path_join(path[turn], dir, name, &err), err);
    return path[turn];
}

static void put(const char *name, const void *bytes, size_t len)
{
    struct error err = { 0 };
    CHECK_OK(file_write(at(name), bytes, len, &err), err);
}

/* ---- permutation -------------------------------------------------------------------- */

static void test_permute(void)
{
    static bool seen[5000];
    for (uint64_t n = 1; n < 5000; n = n * 3 + 1) {
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t p = permute(7, n, i);
            CHECK(p < n && !seen[p], "n %d: %d comes twice", (int)n, (int)p);
            seen[p] = true;
        }
    }
    int same = 0;
    for (uint64_t i = 0; i < 1000; i++) same += permute(7, 1000, i) == permute(8, 1000, i);
    CHECK(same < 20, "%d of 1000 equal under another key", same);
}

/* ---- documents ------------------------------------------------------------------------ */

static int count(const char *name, enum document_format format, struct error *err)
{
    struct documents *docs;
    struct document doc;
    int n = 0;
    if (documents_open(&docs, at(name), format, 100, 9, err)) return -1;
    while (documents_next(docs, &doc, err)) n++;
    CHECK(err->status || documents_done(docs) == documents_size(docs), "not read to the end");
    documents_close(docs);
    return n;
}

static void test_documents(void)
{
    char text[20000];
    struct error err = { 0 };
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 100 == 98 || i % 100 == 99 ? '\n' : 'a';
    put("gaps.txt", text, sizeof text);
    CHECK_INT(count("gaps.txt", DOCUMENT_TEXT, &err), 5); /* 4 of 4100 bytes and the rest */

    const char *lines =
        "{\"text\":\"one\"}\n\n{\"meta\":{\"a\":[1]},\"text\":\"t\\u00e9\"}\r\n{\"text\":\"\"}\n"
        "{\"text\":\"last\"}";
    put("good.jsonl", lines, strlen(lines));
    CHECK_INT(count("good.jsonl", DOCUMENT_JSONL, &err), 3);

    put("bad.jsonl", "{\"text\":\"a\"}\n{\"txt\":1}\n", 23);
    count("bad.jsonl", DOCUMENT_JSONL, &err);
    CHECK(err.status == E_INPUT && strstr(err.text, "line 2: text: is missing"), "%s", err.text);
    err = (struct error){ 0 };
    put("bad.jsonl", "{\"text\":\"a\"}\nnonsense\n", 22);
    count("bad.jsonl", DOCUMENT_JSONL, &err);
    CHECK(err.status == E_INPUT && strstr(err.text, "line 2: not JSON"), "%s", err.text);
    err = (struct error){ 0 };
    CHECK(count("none.jsonl", DOCUMENT_JSONL, &err) < 0 && err.status == E_MISSING, "%s", err.text);
}

/* ---- shards ------------------------------------------------------------------------------ */

static void test_shards(void)
{
    struct error err = { 0 };
    struct shard shard;
    const unsigned char ids16[] = { 1, 0, 2, 0, 9, 0, 3, 0, 9, 0 };
    put("nano.bin", ids16, sizeof ids16);
    CHECK_INT(count("nano.bin", DOCUMENT_NANOGPT, &err), 2);

    err = (struct error){ 0 };
    CHECK(shard_open(&shard, at("nano.bin"), SHARD_LLMC, &err) == E_INPUT, "short header accepted");
    unsigned char llmc[1024 + 4] = { 0x88, 0xd8, 0x34, 0x01, 1, 0, 0, 0, 3, 0, 0, 0 };
    err = (struct error){ 0 };
    put("llmc.bin", llmc, sizeof llmc);
    CHECK(shard_open(&shard, at("llmc.bin"), SHARD_LLMC, &err) == E_INPUT &&
              strstr(err.text, "should hold 3 ids, its size fits 2"),
          "%s", err.text);
    llmc[8] = 2;
    llmc[1026] = 101;
    err = (struct error){ 0 };
    put("llmc.bin", llmc, sizeof llmc);
    CHECK(count("llmc.bin", DOCUMENT_LLMC, &err) == 0 && strstr(err.text, "token 1 has id 101"),
          "%s", err.text);
}

static void test_wide_shard(void)
{
    struct error err = { 0 };
    struct shard_out *out;
    struct shard shard;
    int32_t ids[5000], got[5000];
    for (int i = 0; i < 5000; i++) ids[i] = i * 37;
    CHECK_OK(shard_create(&out, at("wide.bin"), 200000, &err), err);
    for (int i = 0; i < 5000; i += 100) shard_put(out, ids + i, 100);
    CHECK_OK(shard_finish(out, &err), err);
    CHECK_OK(shard_open(&shard, at("wide.bin"), SHARD_LLMC, &err), err);
    CHECK_INT(shard.n, 5000);
    CHECK_INT(shard.width, 4);
    CHECK_OK(shard_read(&shard, 0, 5000, 200000, got, &err), err);
    CHECK(!memcmp(ids, got, sizeof ids), "ids differ");
    CHECK(shard_read(&shard, 4999, 2, 200000, got, &err) == E_INPUT, "read beyond the end");
    shard_close(&shard);
}

/* ---- datasets ------------------------------------------------------------------------------ */

static void write_stories(void)
{
    FILE *f = fopen(at("stories.jsonl"), "w");
    for (int i = 0; i < 400; i++) fprintf(f, "{\"text\":\"story %d, story %d\"}\n", i, i * i);
    fprintf(f, "{\"text\":\"story 7, story 49\"}\n"); /* again */
    fclose(f);
    f = fopen(at("facts.jsonl"), "w");
    for (int i = 0; i < 100; i++) fprintf(f, "{\"text\":\"FACT %d\"}\n", i);
    fclose(f);
}

static void build(struct dataset *ds, const char *name, uint64_t seed, double fraction,
                  struct error *err)
{
    struct build_file file[2] = { { .format = DOCUMENT_JSONL },
                                  { .format = DOCUMENT_JSONL, .domain = "facts" } };
    struct build_spec spec = { name, file, 2, fraction, seed };
    struct tokenizer *bytes;
    snprintf(file[0].path, PATH_ROOM, "%s", at("stories.jsonl"));
    snprintf(file[1].path, PATH_ROOM, "%s", at("facts.jsonl"));
    CHECK_OK(dir_make(at(name), err), *err);
    tokenizer_bytes(&bytes);
    dataset_build(ds, at(name), &spec, bytes, NULL, err);
    tokenizer_close(bytes);
}

/* Every document of a split, as text, one call each. */
static char *split_text(const struct dataset *ds, enum split split)
{
    uint64_t n = ds->shard[split].n;
    int32_t *ids = calloc(n, sizeof *ids);
    char *text = calloc(n + 1, 1);
    struct error err = { 0 };
    CHECK_OK(shard_read(&ds->shard[split], 0, n, 257, ids, &err), err);
    for (uint64_t i = 0; i < n; i++) text[i] = ids[i] == 256 ? '\n' : (char)ids[i];
    free(ids);
    return text;
}

static void test_split(void)
{
    struct dataset a, b;
    struct error err = { 0 };
    build(&a, "a", 1, 0.2, &err);
    CHECK_OK(err.status, err);
    build(&b, "b", 1, 0.2, &err);
    CHECK_OK(dataset_open(&a, at("a"), &err), err);
    CHECK_OK(dataset_open(&b, at("b"), &err), err);
    CHECK_INT(a.documents, 501);
    CHECK_INT(a.n_domains, 2);
    CHECK_STR(a.domain[1].name, "facts");

    char *train = split_text(&a, SPLIT_TRAIN), *valid = split_text(&a, SPLIT_VALID),
         *again = split_text(&b, SPLIT_VALID);
    CHECK_STR(again, valid);
    int held = 0;
    for (char *line = strtok(valid, "\n"); line; line = strtok(NULL, "\n"), held++) {
        char whole[64];
        snprintf(whole, sizeof whole, "\n%s\n", line);
        CHECK(!strstr(train, whole), "'%s' is in both splits", line);
    }
    CHECK(held > 70 && held < 130, "%d of 501 held out at 0.2", held);
    CHECK_INT(dataset_tokens(&a, SPLIT_TRAIN) + dataset_tokens(&a, SPLIT_VALID), a.bytes + 501);
    free(train), free(valid), free(again);
    dataset_close(&a), dataset_close(&b);

    build(&b, "b", 2, 0.2, &err);
    CHECK(dataset_tokens(&a, SPLIT_VALID) != dataset_tokens(&b, SPLIT_VALID),
          "the seed does not matter");
    build(&b, "b", 2, 1e-9, &err);
    CHECK(err.status == E_INPUT && strstr(err.text, "none of the 501"), "%s", err.text);
}

/* ---- batches -------------------------------------------------------------------------------- */

enum { T = 16 };

static void test_feed(void)
{
    struct dataset ds;
    struct error err = { 0 };
    struct feed feed, later;
    int32_t ids[8 * T], targets[8 * T], ids2[8 * T], targets2[8 * T];
    CHECK_OK(dataset_open(&ds, at("a"), &err), err);
    CHECK_OK(feed_init(&feed, &ds, T, 3, NULL, &err), err);
    for (int i = 0; i < 100; i++) CHECK_OK(feed_next(&feed, 8, ids, targets, &err), err);
    CHECK_INT(feed.samples, 800);
    CHECK(feed.taken[1] > 20 && feed.taken[0] > 400, "domains are not mixed");
    for (int i = 0; i + 1 < T; i++) CHECK_INT(targets[i], ids[i + 1]);

    CHECK_OK(feed_init(&later, &ds, T, 3, NULL, &err), err);
    later.samples = feed.samples;
    memcpy(later.taken, feed.taken, sizeof feed.taken);
    CHECK_OK(feed_next(&feed, 8, ids, targets, &err), err);
    CHECK_OK(feed_next(&later, 8, ids2, targets2, &err), err);
    CHECK(!memcmp(ids, ids2, sizeof ids) && !memcmp(targets, targets2, sizeof ids),
          "resumed feed differs");

    double facts_only[] = { 0, 3 };
    CHECK_OK(feed_init(&feed, &ds, T, 3, facts_only, &err), err);
    CHECK_OK(feed_next(&feed, 8, ids, targets, &err), err);
    CHECK_INT(feed.taken[1], 8);
    CHECK(feed_init(&feed, &ds, 100000, 3, NULL, &err) == E_INPUT &&
              strstr(err.text, "sequence_length"),
          "%s", err.text);
    dataset_close(&ds);
}

static void test_held_out(void)
{
    struct dataset ds;
    struct error err = { 0 };
    struct held_out held;
    int32_t ids[T], targets[T];
    CHECK_OK(dataset_open(&ds, at("a"), &err), err);
    CHECK_OK(held_out_init(&held, &ds, T, -1, 1 << 30, &err), err);
    CHECK_INT(held.n, (dataset_tokens(&ds, SPLIT_VALID) - 1) / T);
    CHECK_OK(held_out_read(&held, held.n - 1, ids, targets, &err), err);
    CHECK_OK(held_out_init(&held, &ds, T, 1, 5 * T, &err), err);
    CHECK_INT(held.n, 5);
    CHECK_OK(held_out_read(&held, 0, ids, targets, &err), err);
    CHECK(ids[0] == 'F', "domain 1 starts with %c", ids[0]);
    dataset_close(&ds);
}

/* Against the rule written out: softmax(log w + D), then a little for everybody. */
static void test_mixture(void)
{
    struct mixture m = { 3, { 2.0, 1.0, 3.0 } };
    double loss[] = { 2.5, 1.0, 2.0 }, w[] = { 0.5, 0.25, 0.25 }, a[3], sum = 0;
    for (int d = 0; d < 3; d++) sum += a[d] = exp(log(w[d]) + loss[d] - m.target[d]);
    mixture_update(&m, loss, w);
    for (int d = 0; d < 3; d++) CHECK_NEAR(w[d], (1 - 1e-4) * a[d] / sum + 1e-4 / 3, 1e-15);
    CHECK_NEAR(w[0] + w[1] + w[2], 1, 1e-15);
    for (int i = 0; i < 2000; i++) mixture_update(&m, loss, w);
    CHECK(w[2] >= 1e-4 / 3 && w[0] > 0.99, "a domain died: %g", w[2]);
}

int main(void)
{
    CHECK(mkdtemp(dir), "mkdtemp");
    test_permute();
    test_documents();
    test_shards();
    test_wide_shard();
    write_stories();
    test_split();
    test_feed();
    test_held_out();
    test_mixture();
    struct error err = { 0 };
    CHECK_OK(dir_remove(dir, &err), err);
    puts("ok");
    return 0;
}
