#include "clients/cli/arms.h"
#include "clients/cli/progress.h"
#include "clients/cli/shapes.h"
#include "tests/support/check.h"

/* What a watcher shows for the events it gets. */

static json_t *json(const char *text)
{
    json_error_t why;
    json_t *parsed = json_loads(text, 0, &why);
    CHECK(parsed, "%s: %s", why.text, text);
    return parsed;
}

static void event(struct progress *p, const char *name, const char *text)
{
    json_t *data = json(text);
    progress_event(p, name, data);
    json_decref(data);
}

static void resource(struct progress *p, const char *text)
{
    json_t *it = json(text);
    progress_resource(p, it);
    json_decref(it);
}

static void check_line(struct progress *p, const char *expected)
{
    struct buf line;
    buf_init(&line, 4096);
    progress_line(p, &line);
    CHECK_STR(line.bytes, expected);
    buf_release(&line);
}

static void a_search(void)
{
    struct progress p;
    progress_init(&p, true);
    resource(&p, "{\"id\":\"srch_1\",\"name\":\"n\",\"state\":\"running\",\"params_source\":1000,"
                 "\"stop\":{\"ratio\":0.5},\"tokens_planned\":5000,\"source\":{\"train\":{"
                 "\"tokens\":800}}}");
    event(&p, "step",
          "{\"step\":3,\"tokens\":200,\"loss\":5.5,\"tokens_per_second\":1234,"
          "\"phase\":\"source\",\"params\":1000}");
    check_line(
        &p,
        "srch_1 training the source 25.0%  loss 5.5000  1.23k tok/s  params 1.00k (100.0% left)");
    event(&p, "removal", "{\"ordinal\":1,\"type\":\"ffn\",\"params\":900}");
    event(&p, "removal", "{\"ordinal\":1,\"type\":\"ffn\",\"params\":900}");
    event(&p, "removal", "{\"ordinal\":2,\"type\":\"heads\",\"params\":800}");
    CHECK(!p.behind, "nothing was missed");
    CHECK_NEAR(progress_share(&p), 0.4, 1e-12);
    event(&p, "removal", "{\"ordinal\":4,\"type\":\"stem\",\"params\":600}");
    CHECK(p.behind && p.ordinal == 2, "ordinal 3 was missed");
    event(&p, "removal", "{\"ordinal\":3,\"type\":\"stem\",\"params\":700}");
    event(&p, "removal", "{\"ordinal\":4,\"type\":\"stem\",\"params\":600}");
    CHECK(!p.behind && !progress_is_over(&p), "caught up");
    event(&p, "state", "{\"state\":\"failed\",\"reason\":\"the disk is full\"}");
    CHECK(progress_is_over(&p) && p.changed, "over");
    check_line(&p, "srch_1 failed 80.0%  loss 5.5000  1.23k tok/s  params 600 (60.0% left)"
                   "  removed heads 1 ffn 1 stem 2  reason: the disk is full");
    CHECK(!p.changed, "the line was the change");
}

static void a_dataset(void)
{
    struct progress p;
    progress_init(&p, false);
    resource(&p, "{\"id\":\"data_1\",\"state\":\"running\"}");
    event(&p, "progress", "{\"done\":50,\"total\":200,\"unit\":\"bytes\"}");
    check_line(&p, "data_1 running 25.0%");
}

static char *printed(void (*print)(json_t *it, FILE *out), const char *text)
{
    char *out = NULL;
    size_t len;
    FILE *file = open_memstream(&out, &len);
    json_t *it = json(text);
    print(it, file);
    json_decref(it);
    fclose(file);
    return out;
}

static void honest_words(void)
{
    char *text = printed(
        arms_print,
        "{\"id\":\"cmp_1\",\"architecture\":\"arch_9\",\"state\":\"succeeded\",\"arms\":["
        "{\"arm\":\"inherit\",\"seed\":1,\"validation_loss\":2.5}],\"differences\":["
        "{\"a\":\"inherit\",\"b\":\"human\",\"mean\":-0.25,\"per_seed\":[-0.25],\"ci95\":null}]}");
    CHECK(strstr(text,
                 "inherit - human: -0.2500 nats a token (inherit is lower), 1 seed: no interval"),
          "%s", text);
    CHECK(strstr(text, "One seed says little"), "%s", text);
    free(text);
    text = printed(arms_print, "{\"arms\":[],\"differences\":[{\"a\":\"x\",\"b\":\"y\",\"mean\":0."
                               "1,\"per_seed\":[0.3,-0.1],"
                               "\"ci95\":[-0.2,0.4]}]}");
    CHECK(
        strstr(text,
               "(y is lower), 2 seeds, 95 % interval -0.2000 to +0.4000: no measurable difference"),
        "%s", text);
    CHECK(!strstr(text, "One seed"), "%s", text);
    free(text);
}

static void side_by_side(void)
{
    char *text = printed(shapes_print, "[{\"ratio\":0.1,\"architecture\":\"arch_2\",\"totals\":{"
                                       "\"params\":900},\"shape\":{\"hidden_size\":8,"
                                       "\"layers\":[{\"q_heads\":2,\"kv_heads\":1,\"ffn\":20},{\"q_"
                                       "heads\":2,\"kv_heads\":1,\"ffn\":20}]}},"
                                       "{\"ratio\":0.5,\"architecture\":\"arch_7\",\"totals\":{"
                                       "\"params\":500},\"shape\":{\"hidden_size\":8,"
                                       "\"layers\":[{\"q_heads\":2,\"kv_heads\":1,\"ffn\":9},{\"q_"
                                       "heads\":1,\"kv_heads\":1,\"ffn\":20}]}}]");
    CHECK(strstr(text, "10.0%"), "%s", text);
    CHECK(strstr(text, "  layer 0              2/1 20   2/1 9\n"), "%s", text);
    CHECK(strstr(text, "  layer 1              2/1 20  1/1 20\n"), "%s", text);
    free(text);
}

static void print_order(json_t *it, FILE *out) { shapes_print_order(it, 1000, 2, out); }

static void order_of_types(void)
{
    char *text = printed(print_order, "[{\"step\":1,\"type\":\"ffn\",\"params\":900,\"min_score\":{"
                                      "\"heads\":0.5,\"ffn\":0.1,\"stem\":null}},"
                                      "{\"step\":2,\"type\":\"ffn\",\"params\":800,\"min_score\":{"
                                      "\"heads\":0.5,\"ffn\":0.2,\"stem\":null}},"
                                      "{\"step\":3,\"type\":\"heads\",\"params\":600,\"min_score\":"
                                      "{\"heads\":0.5,\"ffn\":0.9,\"stem\":null}}]");
    CHECK(
        strstr(text, "  20.0%          2      0    2     0     5.00e-01   2.00e-01           -\n"),
        "%s", text);
    CHECK(
        strstr(text, "  40.0%          3      1    0     0     5.00e-01   9.00e-01           -\n"),
        "%s", text);
    free(text);
}

int main(void)
{
    a_search();
    a_dataset();
    honest_words();
    side_by_side();
    order_of_types();
    puts("ok");
}
