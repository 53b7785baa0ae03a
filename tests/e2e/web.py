#!/usr/bin/env python3
"""The dashboard against the real service, in headless Chromium: a person signs in, brings text, starts
a search from the form, watches it while everything is restarted under them, winds it back,
re-initialises a shape, compares. Exit code 77 without Chromium or PostgreSQL."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "web"))
import access  # noqa: E402
import browser  # noqa: E402
from lathed import Lathed, skip_unless_possible, text  # noqa: E402

HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
SHOTS = os.environ.get("LATHE_SHOTS")  # a folder for screenshots of every view
FORM = {"n_layers": 3, "hidden": 32, "q_heads": 4, "kv_heads": 2, "head_dim": 8, "ffn": 48, "train": "20k",
        "stop_value": "0.5", "ratios": "0.1, 0.3", "warmup": 10, "unit": 6, "batch": 2, "seq_length": 32, "lr_warmup": 5}


class Person:
    def __init__(self, b, lathed):
        self.b, self.lathed = b, lathed
        self.base = f"http://{lathed.host}:{lathed.port}/"
        self.views = []

    def go(self, place, see, selector="main"):
        self.b.js("location.hash = arguments[0]", place)
        self.b.see(see, selector)
        self.views.append(place)

    def ok(self):
        bad = [line for line in self.b.console() if "Content Security" in line or "TypeError" in line or "ReferenceError" in line]
        assert not bad, bad
        assert not self.b.js("return Boolean(window.pwned || document.querySelector('main img, main script'))")


def headers(lathed):
    reply = lathed.ask("GET", "/", token=False)
    assert reply.status == 200 and "default-src 'self'" in reply.headers["Content-Security-Policy"], dict(reply.headers)
    assert reply.headers["X-Content-Type-Options"] == "nosniff" and "unsafe" not in reply.headers["Content-Security-Policy"]
    packed = lathed.ask("GET", "/web/main.js", headers={"Accept-Encoding": "gzip"}, token=False)
    assert packed.headers["Content-Encoding"] == "gzip" and packed.body[:2] == b"\x1f\x8b"
    again = lathed.ask("GET", "/web/main.js", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]}, token=False)
    assert again.status == 304 and not again.body
    assert lathed.ask("GET", "/web/..%2f..%2ftoken", token=False).status in (400, 404)


def sign_in(p):
    b = p.b
    b.open(p.base)
    b.type("input[name=token]", "wrong")
    b.click("button[type=submit]")
    b.see("does not know this token")
    b.type("input[name=token]", p.lathed.token)
    start = time.monotonic()
    b.click("button[type=submit]")
    b.see("No search yet")
    print(f"from signing in to the first view: {time.monotonic() - start:.2f} s")
    size = b.js("""return [performance.getEntriesByType('navigation'), performance.getEntriesByType('resource')].flat()
                   .filter((e) => !e.name.includes('/v1/')).reduce((a, e) => a + e.transferSize, 0)""")
    print(f"first view: {size / 1024:.1f} KiB over the wire, usable after {b.js('return performance.getEntriesByType(`navigation`)[0].domContentLoadedEventEnd'):.0f} ms")
    assert 0 < size < 200 * 1024
    assert p.lathed.token not in b.url()


def bring_text(p, name):
    path = p.lathed.dir / "words.txt"
    path.write_bytes(text())
    p.go("#/datasets", "No data set yet")
    p.b.click_text("Add a data set")
    p.b.type("dialog input[name=name]", name)
    p.b.type("dialog input[name=files]", str(path), clear=False)
    p.b.type("dialog input[name=share]", "0.2")
    p.b.click_text("Add")
    p.b.see("succeeded", "tbody", seconds=60)


def start_search(p, name, **changes):
    p.go("#/searches/new", "New search")
    for field, value in {"name": name, **FORM, **changes}.items():
        p.b.type(f"[name={field}]", str(value))
    p.b.see("of memory")
    p.b.click_text("Start the search")
    p.b.wait("return /searches.srch_/.test(location.hash)", what="the page of the new search")
    return p.b.js("return location.hash.match(/srch_\\d+/)[0]")


def refuse_nonsense(p):
    """What the service finds wrong stands at its field, before anything is made."""
    b = p.b
    p.go("#/searches/new", "New search")
    b.type("[name=kv_heads]", "4")
    b.type("[name=q_heads]", "6")
    b.wait("return /[qk]v?_heads/.test(document.querySelector('[aria-invalid]')?.closest('.field').innerText)", what="a finding at the heads")
    b.click_text("Start the search")
    b.wait("return document.querySelectorAll('[aria-invalid]').length > 0")
    assert not p.lathed.get("/v1/searches")["items"]


def watch_through_restarts(p, search):
    b = p.b
    newest = "return Number((document.querySelector('.log tbody td')?.textContent ?? '0').replace(',', ''))"
    b.see("Live", "#pulse")
    b.wait(f"return (() => {{ {newest} }})() >= 3", seconds=90, what="three removals, live")
    p.lathed.kill()
    b.see("Reconnecting", "#pulse")
    before = b.js(newest)
    port = p.lathed.port
    p.lathed.options[1] = f"127.0.0.1:{port}"
    p.lathed.start()
    b.see("Live", "#pulse", seconds=60)
    b.wait(f"return (() => {{ {newest} }})() > arguments[0]", before, seconds=120, what="removals after the restart")
    done = p.lathed.wait(f"/v1/searches/{search}", seconds=180)
    assert done["state"] == "succeeded", done
    b.see("succeeded", ".head", seconds=30)
    b.wait(f"return (() => {{ {newest} }})() === arguments[0]", done["removals"], what="the last removal")
    return done


def wind(p, search):
    b, path = p.b, f"/v1/searches/{search['id']}"
    p.go(f"#/searches/{search['id']}?tab=machine", f"Removal {search['removals']} of {search['removals']}")
    b.js("const r = document.querySelector('#by_ratio'); r.value = '0.3'; r.dispatchEvent(new Event('input'))")
    item = p.lathed.get(f"{path}/shapes?ratios=0.3")["items"][0]
    shape = item["shape"]
    b.see(f"Removal {item['ordinal']} of {search['removals']}")
    b.see(f"hidden {shape['hidden_size']} · heads {shape['layers'][0]['q_heads']} (KV {shape['layers'][0]['kv_heads']}) · FFN {shape['layers'][0]['ffn']}")
    for ordinal in (0, 1, search["removals"] // 2, search["removals"]):  # the page's replay is the service's
        b.js("const r = document.querySelector('#scrub'); r.value = arguments[0]; r.dispatchEvent(new Event('input'))", ordinal)
        at = p.lathed.get(f"/v1/architectures?search={search['id']}&page_size=1000")["items"][ordinal]
        want = p.lathed.get(f"/v1/architectures/{at['id']}")["shape"]
        b.see(f"Removal {ordinal} of")
        b.see(f"hidden {want['hidden_size']} · heads {want['layers'][0]['q_heads']} (KV {want['layers'][0]['kv_heads']}) · FFN {want['layers'][0]['ffn']}")
    b.js("const r = document.querySelector('#by_ratio'); r.value = '0.3'; r.dispatchEvent(new Event('input'))")
    b.see(f"Removal {item['ordinal']} of {search['removals']}")
    b.click("canvas.picture")
    b.see("Where the parameters are")
    b.see(f"{item['totals']['params']:,}")
    return item


def retrain_and_compare(p, item):
    b = p.b
    b.click_text("Re-initialise")
    b.type("dialog input[name=tokens]", "4k")
    b.click_text("Start")
    b.see("succeeded", ".head", seconds=120)
    b.wait("return document.querySelectorAll('.plot canvas').length === 2", what="the run's curve")
    run = b.js("return location.hash.match(/run_\\d+/)[0]")
    p.go(f"#/architectures/{item['architecture']}", "Where the parameters are")
    b.click_text("Auto versus human")
    b.type("dialog input[name=tokens]", "2k")
    b.type("dialog input[name=seeds]", "1, 2")
    b.click_text("Start")
    b.see("succeeded", ".head", seconds=180)
    b.see("Re-initialised − Human practice")
    comparison = b.js("return location.hash.match(/cmp_\\d+/)[0]")
    told = p.lathed.get(f"/v1/comparisons/{comparison}")
    d = next(x for x in told["differences"] if (x["a"], x["b"]) == ("reinit", "human"))
    b.see(f"{d['mean']:+.4f}".replace("-", "−"))
    return run, comparison


def export(p, run):
    """What was written is what the service says it is, and what arrives in the browser."""
    b = p.b
    p.go(f"#/runs/{run}", "Curves")
    b.click_text("Export")
    b.see("About", "dialog")
    b.click("input[name='gguf float16']")
    b.click_text("Export", "dialog button")
    b.see("succeeded", ".head", seconds=120)
    b.see("At a glance")
    made = b.js("return location.hash.match(/exp_\\d+/)[0]")
    told = p.lathed.get(f"/v1/exports/{made}")
    assert [(t["format"], t["dtype"]) for t in told["targets"]] == [("hf", "float32"), ("gguf", "float16")], told
    file = next(f for f in told["targets"][0]["files"] if f["name"] == "config.json")
    b.see(f"{file['sha256'][:16]}…")
    b.js("window.saved = null; URL.createObjectURL = (blob) => { blob.text().then((t) => { window.saved = t }); return 'blob:none' }")
    b.click("[aria-label='Download config.json']")
    got = b.wait("return window.saved", what="the file")
    assert hashlib.sha256(got.encode()).hexdigest() == file["sha256"]
    assert p.lathed.token not in b.url()
    return made


def compare_shapes(p, search):
    b = p.b
    items = p.lathed.get(f"/v1/searches/{search['id']}/shapes?ratios=0.1,0.3,0.5")["items"]
    p.go("#/compare?ids=" + ",".join(i["architecture"] for i in items), "Differences")
    b.wait("return document.querySelectorAll('.card canvas').length === 3", what="three pictures")
    for i in items:
        b.see(f"{i['totals']['params']:,}", "main")
    b.click("#human")
    b.wait("return document.querySelectorAll('.card canvas').length === 4", what="and the human one")


LONG = 10000
TEN_THOUSAND = """
    with j as (insert into job (kind, subject, state, document, finished_at) values ('search', 'srch_long', 'succeeded', '{}', now()) returning job_id),
    s as (insert into search (name, dataset_id, spec, options, seed, context, source_shape, source_hash, params_source, job_id, removals, hidden, head_dim, q_heads, kv_heads, ffn)
          select 'ten thousand', dataset_id, spec, options, seed, context,
                 jsonb_set(source_shape, '{layers}', (select jsonb_agg('{"q_heads": 4, "kv_heads": 2, "ffn": 12000}'::jsonb) from generate_series(1, 24))),
                 source_hash, 30000000, j.job_id, 10000, hidden, head_dim, array_fill(4, '{24}'), array_fill(2, '{24}'), array_fill(2000, '{24}')
            from search, j where search_id = 1 returning search_id)
    insert into architecture (search_id, ordinal, step, tokens, type, layer, positions, indices, min_heads, min_ffn, min_stem, params, params_non_embedding,
                              flops_per_token, kv_bytes_per_token, ratio, shape_hash)
    select s.search_id, i, i, i * 64, case when i > 0 then 'ffn' end, case when i > 0 then -1 end, case when i > 0 then array_fill(12000 - i, '{24}') end,
           case when i > 0 then (select array_agg((i * 7919 + l * 101) % 12000) from generate_series(1, 24) l) end, 2e-7, 1e-7, 3e-7,
           30000000 - i * 2304, 29000000 - i * 2304, 1, 1, i * 2304 / 30000000.0, md5(i::text) from s, generate_series(0, 10000) i"""


def ten_thousand(p):
    """A search with 10,000 removals, put straight into the database; the page reads it as any other."""
    b, lathed = p.b, p.lathed
    socket = next(lathed.dir.glob("pg/run"))
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", socket, "-U", "lathe", "postgres", "-c", TEN_THOUSAND], check=True, stdout=subprocess.DEVNULL)
    search = lathed.get("/v1/searches?page_size=1")["items"][0]
    start = time.monotonic()
    p.go(f"#/searches/{search['id']}?tab=machine", f"of {LONG:,}")
    b.see(f"Removal {LONG:,} of {LONG:,}")
    read = time.monotonic() - start
    rate = b.js(browser.FRAMES, "#scrub", LONG)
    print(f"{LONG} removals: read in {read:.1f} s; jumping at random {rate:.0f} frames/s")
    assert rate > 4, rate  # on busy cores; tests/bench/web_frames.py measures
    p.ok()


def fork(p, search):
    """The form filled in from a search; one change makes another search of the same source."""
    b = p.b
    p.go(f"#/searches/{search['id']}", "Course")
    b.click_text("Fork")
    b.see("Fork of from the form", "h1")
    assert b.js("return document.querySelector('[name=seq_length]').value") == str(FORM["seq_length"])
    b.type("[name=seed]", "2")
    b.see("of memory")
    b.click_text("Start the search")
    b.see("from the form, again", "h1")
    made = p.lathed.get("/v1/searches/" + b.js("return location.hash.match(/srch_\\d+/)[0]"))
    assert (made["seed"], made["source_hash"], made["recipe"], made["schedule"]) == (2, search["source_hash"], search["recipe"], search["schedule"]), made
    b.click_text("Cancel")
    b.click_text("Cancel it")
    b.see("cancelled", ".head", seconds=60)


def steer(p):
    """Pause, resume and cancel, by the buttons that are there for each state."""
    search = start_search(p, HOSTILE, unit=400)
    b = p.b
    b.see("running", ".head", seconds=60)
    b.click_text("Pause")
    b.see("paused", ".head", seconds=60)
    b.click_text("Resume")
    b.see("running", ".head", seconds=60)
    b.click_text("Cancel")
    b.click_text("Cancel it")
    b.see("cancelled", ".head", seconds=60)
    assert p.lathed.get(f"/v1/searches/{search}")["state"] == "cancelled"
    p.go("#/searches", HOSTILE)
    p.ok()


def look_around(p, search, item, run, comparison, exported):
    """Every view with real data: fit for everybody, and nothing wider than its window."""
    views = {"searches": "#/searches", "new": "#/searches/new", "search": f"#/searches/{search['id']}", "machine": f"#/searches/{search['id']}?tab=machine",
             "shapes": f"#/searches/{search['id']}?tab=shapes", "scores": f"#/searches/{search['id']}?tab=scores", "settings": f"#/searches/{search['id']}?tab=settings", "runs": "#/runs", "run": f"#/runs/{run}",
             "architecture": f"#/architectures/{item['architecture']}", "compare": f"#/compare?ids=arch_1,{item['architecture']}&human=1",
             "comparisons": "#/comparisons", "comparison": f"#/comparisons/{comparison}", "pareto": "#/pareto", "exports": "#/exports", "export": f"#/exports/{exported}", "fork": f"#/searches/new?fork={search['id']}", "datasets": "#/datasets", "queue": "#/queue"}
    bad = {}
    for name, view in views.items():
        p.b.size(1280, 900)
        p.b.js("location.hash = arguments[0]", view)
        p.b.settled()
        found = access.findings(p.b)
        p.b.scheme(True)
        found += access.contrast(p.b)
        for width in (1280, 390):
            p.b.size(width, 900)
            time.sleep(0.1)
            if p.b.js("return document.documentElement.scrollWidth > innerWidth"):
                found.append(f"wider than {width}")
            for dark in (True, False) if SHOTS else ():
                p.b.scheme(dark)
                p.b.screenshot(f"{SHOTS}/{name}-{width}-{'dark' if dark else 'light'}.png")
                p.b.size(width, 900)
        p.b.scheme(False)
        if found or p.b.js("return Boolean(document.querySelector('div.problem'))"):
            bad[name] = found or p.b.text("div.problem")
    assert not bad, bad
    print(f"looked at {len(views)} views, axe-core: {'yes' if access.AXE else 'not found; names and contrast only'}")
    p.ok()


def story(b, lathed):
    p = Person(b, lathed)
    headers(lathed)
    sign_in(p)
    bring_text(p, HOSTILE + " words")
    refuse_nonsense(p)
    search = start_search(p, "from the form")
    search = watch_through_restarts(p, search)
    item = wind(p, search)
    run, comparison = retrain_and_compare(p, item)
    exported = export(p, run)
    compare_shapes(p, search)
    fork(p, search)
    steer(p)
    look_around(p, search, item, run, comparison, exported)
    ten_thousand(p)


if __name__ == "__main__":
    skip_unless_possible()
    if browser.missing():
        print(f"skipped: {browser.missing()} is not installed")
        sys.exit(77)
    if SHOTS:
        shutil.rmtree(SHOTS, ignore_errors=True)
        os.makedirs(SHOTS)
    with Lathed(slots=1) as lathed, browser.Browser() as b:
        story(b, lathed)
    print("ok")
