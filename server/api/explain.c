#include "server/api/explain.h"

#include "server/api/page.h"

static const char list_explanations[] =
    "select e.ordinal as _key, e.ordinal, e.step, e.tokens, e.ratio,"
    " 'arch_' || a.architecture_id as architecture, e.body -> 'influence' as influence,"
    " e.body -> 'quantiles' as quantiles, e.body -> 'heads' as heads, e.body -> 'ffn' as ffn,"
    " e.body -> 'stem' as stem"
    " from explanation e left join architecture a using (search_id, ordinal)"
    " where e.search_id = $3 and e.ordinal > $1::int order by e.ordinal limit $2";

void search_explain(struct request *req)
{
    struct ask *ask = page_new(req, list_explanations, "-1");
    page_within(ask, "srch", "search", "select from search where search_id = $1");
    page_send(ask);
}
