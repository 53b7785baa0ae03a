#include "clients/cli/table.h"
#include "clients/cli/text.h"
#include "tests/support/check.h"

/* Numbers and tables as people see them. */

static void counts(void)
{
    char t[TEXT_MAX];
    CHECK_STR(text_count(t, 0), "0");
    CHECK_STR(text_count(t, 999), "999");
    CHECK_STR(text_count(t, 1000), "1.00k");
    CHECK_STR(text_count(t, 9994), "9.99k");
    CHECK_STR(text_count(t, 9996), "10.0k");
    CHECK_STR(text_count(t, 999600), "1.00M");
    CHECK_STR(text_count(t, 1.25e9), "1.25G");
    CHECK_STR(text_count(t, NAN), "-");
    CHECK_STR(text_bytes(t, 512), "512 B");
    CHECK_STR(text_bytes(t, 1536), "1.50 KiB");
    CHECK_STR(text_percent(t, 0.3125), "31.2%");
    CHECK_STR(text_duration(t, 4.25), "4.2s");
    CHECK_STR(text_duration(t, 59.6), "1m00s");
    CHECK_STR(text_duration(t, 192), "3m12s");
    CHECK_STR(text_duration(t, 7500), "2h05m");
    CHECK_STR(text_duration(t, NAN), "-");
}

static void parsed(void)
{
    static const char *const wrong[] = { "",     "k",   "-1",   "1.5", "1kk",
                                         "0x10", "nan", "1e30", "1 k", "inf" };
    double value = 0;
    CHECK(text_parse_count("400k", &value) && value == 400000, "%g", value);
    CHECK(text_parse_count("1.5M", &value) && value == 1500000, "%g", value);
    CHECK(text_parse_count("2g", &value) && value == 2e9, "%g", value);
    CHECK(text_parse_count("1e6", &value) && value == 1e6, "%g", value);
    CHECK(text_parse_count("1.234567M", &value) && value == 1234567, "%g", value);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!text_parse_count(wrong[i], &value), "'%s' was read as %g", wrong[i], value);
}

static void bars(void)
{
    char bar[64];
    CHECK_STR(text_bar(bar, 8, 0.5, false), "####....");
    CHECK_STR(text_bar(bar, 8, 2, false), "########");
    CHECK_STR(text_bar(bar, 4, NAN, false), "....");
    for (int i = 0; i <= 100; i++) CHECK_INT(text_columns(text_bar(bar, 7, i / 100.0, true)), 7);
}

static void tables(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    struct table t;
    table_init(&t);
    table_column(&t, "id", TABLE_LEFT);
    table_column(&t, "n", TABLE_RIGHT);
    table_cell(&t, "%s", "a\x1b[2Jé");
    table_cell(&t, "%d", 12345);
    table_cell(&t, "%s", "longer name");
    table_cell(&t, "%d", 7);
    table_cell(&t, "%s", "half a row");
    table_print(&t, out);
    table_release(&t);
    fclose(out);
    CHECK_STR(text, "id               n\na?[2Jé       12345\nlonger name      7\n");
    free(text);
}

int main(void)
{
    counts();
    parsed();
    bars();
    tables();
    puts("ok");
}
