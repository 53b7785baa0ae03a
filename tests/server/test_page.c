#include "server/api/page.h"

#include "tests/support/check.h"

/* A list's statement holds the conditions that were asked for, and no others. */

static const char sql[] = "select x from t where x > $1 and ($3::int is null or t.a = $3)"
                          " and ($4::text is null or lower(b) = $4) and (c or d) limit $2";

int main(void)
{
    CHECK_STR(page_statement(sql, 0x3),
              "select x from t where x > $1 and ($3::int is null)"
              " and ($4::text is null) and (c or d) limit $2");
    CHECK_STR(page_statement(sql, 0xb),
              "select x from t where x > $1 and ($3::int is null)"
              " and (lower(b) = $4) and (c or d) limit $2");
    CHECK_STR(page_statement(sql, 0xf),
              "select x from t where x > $1 and (t.a = $3)"
              " and (lower(b) = $4) and (c or d) limit $2");
    CHECK(page_statement(sql, 0xb) == page_statement(sql, 0xb), "not kept");

    static char others[PAGE_STATEMENTS][4];
    for (int i = 0; i < PAGE_STATEMENTS; i++) page_statement(strcpy(others[i], "a"), 0);
    CHECK(page_statement(others[PAGE_STATEMENTS - 1], 0) == others[PAGE_STATEMENTS - 1], "bound");
    CHECK(page_statement(sql, 0x3) != sql, "forgotten");
    puts("ok");
}
