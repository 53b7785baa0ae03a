/* Files as others wrote them, and the documents that come of them. */
#include <stdbool.h>
#include "search/base/buf.h"
#include "tests/support/check.h"
#include "trainer/data/documents.h"

static char dir[] = "/tmp/lathe-documents-XXXXXX";
static struct error err;
static struct buf said;

static const char *put(const char *name, const void *bytes, size_t len)
{
    static char path[PATH_ROOM];
    err = (struct error){ 0 };
    CHECK_OK(path_join(path, dir, name, &err), err);
    CHECK_OK(file_write(path, bytes, len, &err), err);
    return path;
}

/* Every document with a bar behind it, or what was said of the file. */
static const char *read_all(const char *path, enum document_format format, int32_t eod)
{
    struct documents *docs;
    struct document doc;
    buf_clear(&said);
    if (!documents_open(&docs, path, format, 100, eod, &err)) {
        while (documents_next(docs, &doc, &err)) {
            buf_put(&said, doc.text ? doc.text : "", doc.len);
            for (size_t i = 0; i < doc.n_ids; i++) buf_printf(&said, "%d ", doc.ids[i]);
            buf_puts(&said, "|");
        }
        CHECK(err.status || documents_done(docs) == documents_size(docs), "not read to the end");
        documents_close(docs);
    }
    return err.status ? err.text : said.bytes ? said.bytes : "";
}

static void says(const char *line, const char *text)
{
    const char *path = put("one.jsonl", line, strlen(line));
    CHECK_STR(read_all(path, DOCUMENT_JSONL, -1), text);
}

static void refuses(const char *line, const char *sentence)
{
    const char *path = put("one.jsonl", line, strlen(line));
    const char *text = read_all(path, DOCUMENT_JSONL, -1);
    CHECK(err.status == E_INPUT && strstr(text, sentence), "%s: %s", line, text);
}

/* ---- text ------------------------------------------------------------------------------------ */

static int count(const struct buf *text)
{
    int n = 0;
    for (const char *at = read_all(put("text", text->bytes, text->len), DOCUMENT_TEXT, -1);
         (at = strchr(at, '|')); at++) {
        CHECK(!strchr("\r\n", at[1]) || !at[1], "a document begins with an empty line");
        n++;
    }
    return n;
}

/* A gap is a gap, however lines end; 30 paragraphs of 50 lines. */
static void test_line_ends(void)
{
    struct buf text[2];
    for (int crlf = 0; crlf < 2; crlf++) {
        const char *end = crlf ? "\r\n" : "\n";
        buf_init(&text[crlf], 1 << 20);
        buf_printf(&text[crlf], "%s%s", end, end);
        for (int i = 0; i < 30 * 50; i++)
            buf_printf(&text[crlf], "line %d has a length of one hundred letters%40s%s%s%s", i, "",
                       end, i % 50 == 49 ? end : "", i % 100 == 99 ? end : "");
    }
    CHECK_INT(count(&text[0]), 30);
    CHECK_INT(count(&text[1]), 30);
    buf_release(&text[0]), buf_release(&text[1]);
}

/* ---- jsonl ----------------------------------------------------------------------------------- */

/* What Python reads and other members may hold; the line before and behind is not touched by it. */
static void test_other_members(void)
{
    static const char *const others[] = {
        "12345678901234567890",
        "-12345678901234567890123456789012345678901234567890",
        "1e999",
        "[NaN, Infinity, -Infinity, 1e-999, -1.5E+3]",
        "{\"a\": 1, \"a\": 2}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "\"\\u0000\"",
        "\"\\udc00 \\\" NaN\"",
        "null",
    };
    char line[512];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(line, sizeof line, "{\"x\":%s,\"text\":\"NaN\\\\\"}\n{\"text\":\"b\",\"x\":%s}\n",
                 others[i], others[i]);
        says(line, "NaN\\|b|");
    }
    says("{\"text\":\"a\",\"text\":\"b\"}", "b|");
}

static void test_odd_text(void)
{
    const char *path = put("nul.jsonl", "{\"text\":\"a\\u0000b\"}", 19);
    read_all(path, DOCUMENT_JSONL, -1);
    CHECK(!err.status && said.len == 4 && !memcmp(said.bytes, "a\0b|", 4), "%s", err.text);

    says("{\"text\":\"\\ud83d \\ud83d\\ude00 \\ude00\\ud83d\\ud83d\\ude00\"}",
         "\xef\xbf\xbd \xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80|");
    says("{\"text\":\"\\\\ud83d\",\"x\":NaN}", "\\ud83d|");
}

static void test_no_json(void)
{
    refuses("{\"text\":\"a\"}\n{\"text\":NaN}", "line 2: text: is missing");
    refuses("{\"text\":\"a\",\"x\":nan}", "line 1: not JSON");
    refuses("{\"text\":\"a\",\"x\":NaN", "line 1: not JSON");
    refuses("{\"text\":\"a\",\"x\":99999999999999999999", "line 1: not JSON");
    refuses("{\"text\":\"a\",\"x\":99999999999999999999x}", "line 1: not JSON");
    refuses("{\"text\":\"\\ud83d", "line 1: not JSON");
    refuses("{\"text\":\"\\", "line 1: not JSON");
    refuses("{\"text\":\"\xff\"}", "line 1: not JSON");
}

/* ---- what is no text, and what stands in front of it ----------------------------------------- */

static void refuses_file(const char *bytes, size_t len, const char *sentence)
{
    for (int format = DOCUMENT_TEXT; format <= DOCUMENT_JSONL; format++) {
        const char *text = read_all(put("no_text", bytes, len), (enum document_format)format, -1);
        CHECK(err.status == E_INPUT && strstr(text, sentence), "'%s' lacks '%s'", text, sentence);
        CHECK(strstr(text, "/no_text "), "no name in '%s'", text);
    }
}

static void test_no_text(void)
{
    refuses_file("\xfd\x37zXZ\0\0", 7, "is packed; unpack it first: xz -dk FILE");
    refuses_file("\x1f\x8b\x08", 3, "gunzip -k FILE");
    refuses_file("\x28\xb5\x2f\xfd..", 6, "zstd -d FILE");
    refuses_file("BZh91AY&SY...", 13, "bunzip2 -k FILE");
    refuses_file("PK\3\4..", 6, "unzip FILE");
    refuses_file("\xff\xfe{\0", 4, "is in UTF-16; make it UTF-8 first: iconv -f UTF-16");
    refuses_file("\xfe\xff\0{", 4, "is in UTF-16");
    refuses_file("{\0}\0", 4, "has NUL bytes, as no text has; if it is in UTF-16");
}

static void test_byte_order_mark(void)
{
    const char *path = put("bom.jsonl", "\xef\xbb\xbf{\"text\":\"a\"}", 15);
    CHECK_STR(read_all(path, DOCUMENT_JSONL, -1), "a|");
    CHECK_STR(read_all(path, DOCUMENT_TEXT, -1), "{\"text\":\"a\"}|");
    CHECK_STR(read_all(put("bom.txt", "\xef\xbb\xbf\n", 4), DOCUMENT_TEXT, -1), "");
    CHECK_STR(read_all(put("empty.txt", "", 0), DOCUMENT_TEXT, -1), "");
}

/* ---- Megatron's index ------------------------------------------------------------------------ */

struct index {
    int code, n_lengths, n_marks;
    int32_t length[4];
    int64_t offset[4], mark[4];
};

/* Eleven ids of two bytes; 9 ends a document. */
static const struct index plain = { 8, 4, 4, { 3, 2, 4, 2 }, { 0, 6, 10, 18 }, { 0, 1, 3, 4 } };

static const char *read_index(struct index x, size_t cut)
{
    static const unsigned char ids[22] = { 1, 0, 2, 0, 3, 0, 4, 0, 9, 0, 5,
                                           0, 9, 0, 6, 0, 7, 0, 8, 0, 9, 0 };
    static const char magic[9] = "MMIDIDX";
    unsigned char idx[256];
    uint64_t words[2] = { (uint64_t)x.n_lengths, (uint64_t)x.n_marks }, version = 1;
    size_t n = 0;
#define PUT(from, bytes) (memcpy(idx + n, from, bytes), n += bytes)
    PUT(magic, 9);
    PUT(&version, 8);
    idx[n++] = (unsigned char)x.code;
    PUT(words, 16);
    PUT(x.length, 4 * (size_t)x.n_lengths);
    PUT(x.offset, 8 * (size_t)x.n_lengths);
    PUT(x.mark, 8 * (size_t)x.n_marks);
#undef PUT
    put("m.idx", idx, n - cut);
    return read_all(put("m.bin", ids, sizeof ids), DOCUMENT_MEGATRON, 9);
}

/* Ended by an id, by the index or by both, which is one end. */
static void test_index(void)
{
    struct index x = plain;
    CHECK_STR(read_index(x, 0), "1 2 3 |4 |5 |6 7 |8 |");
    x.mark[1] = x.mark[2] = 0; /* two without a sequence */
    CHECK_STR(read_index(x, 0), "1 2 3 4 |5 |6 7 8 |");
    x = plain, x.n_marks = 1;
    CHECK_STR(read_index(x, 0), "1 2 3 |4 |5 |6 7 |8 |");
    x = plain, x.n_marks = 2;
    CHECK_STR(read_index(x, 0), "1 2 3 |4 |5 |6 7 |8 |");
    x = plain, x.n_marks = 0;
    CHECK_STR(read_index(x, 0), "1 2 3 |4 |5 |6 7 |8 |");
    x = plain, x.n_marks = 2, x.mark[1] = 3;
    CHECK_STR(read_index(x, 0), "1 2 3 4 |5 |6 7 |8 |");
}

static void refuses_index(struct index x, size_t cut, const char *sentence)
{
    const char *text = read_index(x, cut);
    CHECK(err.status == E_INPUT && strstr(text, sentence), "'%s' lacks '%s'", text, sentence);
}

static void test_bad_index(void)
{
    struct index x = plain;
    refuses_index(x, 1, "too few for 4 sequences and 4 documents");
    refuses_index(x, 81, "is not a Megatron index");
    x.code = 7, refuses_index(x, 0, "type code 7");
    x.code = 4, refuses_index(x, 0, "ids take 4 bytes, the shard has 22");
    x = plain, x.length[3] = 1, refuses_index(x, 0, "its sequences have 10 ids, the shard 11");
    x = plain, x.length[3] = 3, refuses_index(x, 0, "sequence 3 does not lie");
    x = plain, x.length[1] = -1, refuses_index(x, 0, "sequence 1 does not lie");
    x = plain, x.offset[2] = 11, refuses_index(x, 0, "sequence 2 does not lie");
    x = plain, x.mark[2] = 0, refuses_index(x, 0, "document 2 does not begin");
    x = plain, x.mark[3] = 5, refuses_index(x, 0, "document 3 does not begin");
    x = plain, x.mark[0] = 1, refuses_index(x, 0, "document 0 does not begin");
}

int main(void)
{
    CHECK(mkdtemp(dir), "mkdtemp");
    buf_init(&said, 1 << 20);
    test_line_ends();
    test_other_members();
    test_odd_text();
    test_no_json();
    test_no_text();
    test_byte_order_mark();
    test_index();
    test_bad_index();
    buf_release(&said);
    err = (struct error){ 0 };
    CHECK_OK(dir_remove(dir, &err), err);
    puts("ok documents");
    return 0;
}
