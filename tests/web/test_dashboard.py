#!/usr/bin/env python3
"""The dashboard in headless Chromium against a made-up service (fake.py).

    test_dashboard.py SOURCE_DIR [unittest arguments]

Exit code 77 when there is no Chromium.
"""
import pathlib
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import access  # noqa: E402
import browser  # noqa: E402
import fake  # noqa: E402

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[1])
LONG = 10000
VIEWS = ["#/searches", "#/searches/new", "#/searches/srch_1", "#/searches/srch_2?tab=machine&at=300", "#/searches/srch_1?tab=shapes", "#/searches/srch_1?tab=settings",
         "#/runs", "#/runs/run_4", "#/architectures/arch_200700", "#/compare?ids=arch_200300,arch_200700&human=1", "#/comparisons", "#/comparisons/cmp_1",
         "#/searches/new?fork=srch_1", "#/comparisons/cmp_1?rule=found&loss=loss", "#/pareto", "#/pareto?x=flops_per_token&y=eval&by=search", "#/evaluations", "#/evaluations/eval_1", "#/evaluations/eval_3",
         "#/exports", "#/exports/exp_1", "#/exports/exp_2", "#/datasets", "#/queue"]


class Dashboard(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.service = fake.Service(ROOT / "clients/web", removals=LONG)
        cls.addClassCleanup(cls.service.close)
        cls.b = browser.Browser()
        cls.addClassCleanup(cls.b.close)

    def setUp(self):
        self.b.size(1280, 900)
        self.b.open(self.service.url)
        self.b.js("sessionStorage.clear(); localStorage.clear()")
        self.b.console()

    def sign_in(self, place="#/searches"):
        self.b.js("sessionStorage.setItem('lathe.token', arguments[0])", fake.TOKEN)
        self.b.open("about:blank")
        self.b.open(self.service.url + place)
        self.settled()

    def settled(self):
        self.b.settled()

    def go(self, place):
        self.b.js("location.hash = arguments[0]", place)
        self.settled()

    def refuse_complaints(self):
        severe = [line for line in self.b.console() if "Content Security" in line or "Refused" in line or "Error" in line]
        self.assertEqual(severe, [])

    # ---- signing in

    def test_units(self):
        found = self.b.js("return import('/test/unit.js').then((m) => m.run())")
        self.assertEqual(found["failures"], [])
        self.assertGreater(found["count"], 15)

    def test_a_wrong_token_is_refused_and_the_right_one_stays_out_of_addresses(self):
        b = self.b
        b.open("about:blank")
        b.open(self.service.url + "#/runs")
        b.type("input[name=token]", "wrong")
        b.click("button[type=submit]")
        b.see("does not know this token")
        b.type("input[name=token]", fake.TOKEN)
        b.click("button[type=submit]")
        b.see("Runs", "h1")
        self.assertNotIn(fake.TOKEN, b.url())
        self.assertEqual(b.js("return [sessionStorage.getItem('lathe.token'), localStorage.getItem('lathe.token')]"), [fake.TOKEN, None])
        asked = b.js("return performance.getEntriesByType('resource').map((e) => e.name).join(' ')")
        self.assertNotIn(fake.TOKEN, asked)
        b.click_text("Sign out")
        b.see("Sign in")
        self.assertIsNone(b.js("return sessionStorage.getItem('lathe.token')"))

    def test_the_token_is_kept_in_the_browser_only_when_asked(self):
        b = self.b
        b.type("input[name=token]", fake.TOKEN)
        b.click("#remember")
        b.click("button[type=submit]")
        b.see("Searches", "h1")
        self.assertEqual(b.js("return localStorage.getItem('lathe.token')"), fake.TOKEN)

    def test_a_token_that_stopped_working_leads_back_to_the_login(self):
        self.sign_in()
        self.b.js("sessionStorage.setItem('lathe.token', 'revoked')")
        self.b.js("location.hash = '#/runs'")
        self.b.see("Sign in")

    # ---- what is shown

    def test_every_view_is_whole_at_both_widths_and_fit_for_everybody(self):
        self.sign_in()
        bad = {}
        for view in VIEWS:
            self.b.size(1280, 900)
            self.go(view)
            found = access.findings(self.b)
            self.b.scheme(True)
            found += access.contrast(self.b)
            self.b.size(390, 900)
            self.settled()
            found += access.contrast(self.b)
            self.b.scheme(False)
            found += access.nameless(self.b)
            wide = self.b.js("return document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                found.append(f"{wide} px wider than a window of 390")
            if self.b.js("return Boolean(document.querySelector('div.problem'))"):
                found.append(self.b.text("div.problem"))
            if found:
                bad[view] = found
        self.assertEqual(bad, {})
        self.refuse_complaints()
        print(f"looked at {len(VIEWS)} views; axe-core: {'yes' if access.AXE else 'not found, tree of names only'}", file=sys.stderr)

    def test_hostile_names_stay_text(self):
        self.sign_in()
        for view in ["#/searches", "#/searches/srch_4", "#/searches/srch_4?tab=machine", "#/searches/new", "#/datasets", "#/compare?ids=arch_400001,arch_400002", "#/pareto", "#/queue", "#/exports", "#/evaluations",
                     "#/architectures/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "#/runs?q=%3Cscript%3Ealert(1)%3C/script%3E"]:
            self.go(view)
            self.assertFalse(self.b.js("return Boolean(window.pwned || document.querySelector('main img, main script'))"), view)
        self.go("#/searches")
        self.b.see(fake.HOSTILE, "main")
        self.refuse_complaints_but_404()

    def refuse_complaints_but_404(self):
        lines = [line for line in self.b.console() if "Content Security" in line or "Refused" in line]
        self.assertEqual(lines, [])

    def test_the_first_view_is_light(self):
        self.sign_in()
        scripts = self.b.js("return performance.getEntriesByType('resource').map((e) => new URL(e.name).pathname).filter((p) => p.startsWith('/web/'))")
        import gzip
        size = sum(len(gzip.compress((ROOT / "clients/web" / p.removeprefix("/web/")).read_bytes(), 9)) for p in set(scripts) | {"/web/index.html"})
        print(f"first view: {len(set(scripts))} files, {size / 1024:.1f} KiB in gzip", file=sys.stderr)
        self.assertLess(size, 200 * 1024)
        self.assertFalse(any("dygraph" in p for p in scripts))

    def test_lists_filter_sort_and_keep_it_in_the_address(self):
        self.sign_in()
        b = self.b
        rows = "return [...document.querySelectorAll('tbody tr th .id')].map((x) => x.textContent)"
        b.type("input[type=search]", "uniform")
        b.wait(f"return (() => {{ {rows} }})().join() === 'srch_1'", what="one row")
        self.assertIn("q=uniform", b.url())
        self.go("#/searches?state=failed")
        self.assertEqual(b.js(rows), ["srch_6"])
        self.go("#/searches")
        b.click("th[data-key=params] button")
        b.wait(f"return (() => {{ {rows} }})()[0] === 'srch_7' || (() => {{ {rows} }})()[0] === 'srch_6'", what="the largest first")
        self.assertEqual(b.js("return document.querySelector('th[data-key=params]').getAttribute('aria-sort')"), "descending")
        b.click("th[data-key=params] button")
        b.wait(f"return (() => {{ {rows} }})()[0] === 'srch_2'", what="the smallest first")

    def test_verbs_are_offered_by_state_and_only_those_of_the_service(self):
        self.service.server.without.add("/v1/searches/0/pause")
        try:
            self.sign_in()
            self.b.wait("return document.querySelectorAll('.verbs button').length > 3")
            texts = self.b.js("return [...document.querySelectorAll('.verbs button')].map((x) => x.getAttribute('aria-label'))")
            self.assertIn("Cancel live", texts)
            self.assertIn("Resume out of disk", texts)
            self.assertFalse([t for t in texts if t.startswith("Pause")])
            self.assertNotIn("Cancel long", texts)
        finally:
            self.service.server.without.clear()

    def test_cancel_asks_first(self):
        self.sign_in("#/searches/srch_7")
        self.b.click_text("Cancel")
        self.b.click_text("Keep it")
        self.assertEqual(self.service.world.searches["srch_7"]["state"], "queued")
        self.b.click_text("Cancel")
        self.b.click_text("Cancel it")
        self.b.see("cancelled", ".head")
        self.service.world.searches["srch_7"]["state"] = "queued"

    # ---- live

    def test_a_search_is_followed_live_also_through_an_outage(self):
        self.sign_in("#/searches/srch_3")
        b, world = self.b, self.service.world
        b.see("Live", "#pulse")
        for _ in range(3):
            world.advance()
        n = len(world.trajectories["srch_3"].removals)
        b.wait("return document.querySelector('.log tbody td')?.textContent === String(arguments[0])", n, what=f"removal {n} in the log")
        world.down = True
        b.see("Reconnecting", "#pulse")
        for _ in range(5):
            world.advance()
        world.down = False
        b.see("Live", "#pulse", seconds=20)
        b.wait("return document.querySelector('.log tbody td')?.textContent === String(arguments[0])", n + 5, what="what happened meanwhile")
        world.advance()
        b.wait("return document.querySelector('.log tbody td')?.textContent === String(arguments[0])", n + 6, what="the next removal")

    def test_eight_tabs_share_one_stream(self):
        b, world, first = self.b, self.service.world, self.b.tab()
        b.js("localStorage.setItem('lathe.token', arguments[0])", fake.TOKEN)
        b.open("about:blank")
        tabs = [b.new_tab() for _ in range(8)]
        try:
            for tab in tabs:
                b.use(tab)
                b.open(self.service.url + "#/searches/srch_3")
                b.see("Live", "#pulse")
            self.until(lambda: len(self.service.server.streams) == 1, "one stream")
            b.use(tabs[0])
            b.close_tab(then=tabs[5])
            world.advance()
            n = len(world.trajectories["srch_3"].removals)
            for tab in tabs[1:]:
                b.use(tab)
                b.wait("return document.querySelector('.log tbody td')?.textContent === String(arguments[0])", n, what=f"removal {n} in every tab")
            self.until(lambda: len(self.service.server.streams) == 1, "one stream again")
        finally:
            for tab in tabs[1:]:
                b.use(tab)
                b.close_tab(then=first)

    def until(self, true, what):
        end = time.monotonic() + 20
        while not true():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.1)

    def test_without_locks_a_tab_has_a_stream_of_its_own(self):
        """As on plain HTTP from another machine, where pages get no locks."""
        b, world = self.b, self.service.world
        script = b.cdp("Page.addScriptToEvaluateOnNewDocument", source="Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined }); delete Crypto.prototype.randomUUID")
        try:
            self.sign_in("#/searches/srch_3")
            self.assertTrue(b.js("return navigator.locks === undefined"))
            b.see("Live", "#pulse")
            world.advance()
            n = len(world.trajectories["srch_3"].removals)
            b.wait("return document.querySelector('.log tbody td')?.textContent === String(arguments[0])", n, what=f"removal {n}")
        finally:
            b.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])

    def test_charts_are_drawn_and_have_their_numbers(self):
        self.sign_in("#/searches/srch_1")
        self.b.wait("return document.querySelectorAll('.plot canvas').length === 6", what="three charts of two canvases")
        self.b.click("figure.chart .numbers summary")
        self.b.wait("return document.querySelectorAll('.numbers tbody tr').length > 20", what="the numbers of a chart")
        self.refuse_complaints()

    # ---- the time machine

    def test_ten_thousand_removals_move_smoothly(self):
        """Loosely: on busy cores. tests/bench/web_frames.py measures."""
        self.sign_in("#/searches/srch_5?tab=machine")
        b = self.b
        b.wait("return document.querySelector('#scrub')?.max === String(arguments[0])", LONG, seconds=60, what="all removals")
        rate = b.js(browser.FRAMES, "#scrub", LONG)
        print(f"time machine, {LONG} removals, 24 layers, jumping at random: {rate:.0f} frames/s", file=sys.stderr)
        self.assertGreater(rate, 4)

    def test_the_machine_by_keyboard_by_ratio_and_by_address(self):
        self.sign_in("#/searches/srch_1?tab=machine&at=100")
        b = self.b
        b.see("Removal 100 of 380")
        b.js("document.querySelector('#scrub').focus()")
        b.keys("\ue014", "\ue014")  # arrow right
        b.see("Removal 102 of 380")
        b.wait("return location.hash.includes('at=102')")
        b.js("const r = document.querySelector('#by_ratio'); r.value = '0.5'; r.dispatchEvent(new Event('input'))")
        want = self.service.world.trajectories["srch_1"].ordinal_of(0.5)
        b.see(f"Removal {want} of 380")
        shape = self.service.world.trajectories["srch_1"].shape_at(want)
        b.see(f"hidden {shape['hidden_size']} · heads {shape['layers'][0]['q_heads']} (KV {shape['layers'][0]['kv_heads']}) · FFN {shape['layers'][0]['ffn']}")
        b.click("canvas.picture")
        b.see("Where the parameters are")
        self.assertIn(f"arch_{100000 + want}", b.url())

    # ---- making things

    def test_the_form_says_what_is_wrong_where_it_is_wrong(self):
        self.sign_in("#/searches/new")
        b = self.b
        b.click_text("Start the search")
        b.see("must have 1 to 200 characters")
        self.assertEqual(b.js("return document.activeElement.name"), "name")
        b.type("input[name=name]", "from the form")
        b.type("input[name=kv_heads]", "4")
        b.wait("return document.querySelector('[name=kv_heads]').getAttribute('aria-invalid') === 'true'", what="a finding while typing")
        self.assertIn("does not divide", b.js("return document.querySelector('[name=kv_heads]').closest('.field').innerText"))
        b.type("input[name=kv_heads]", "3")
        b.wait("return !document.querySelector('[aria-invalid]')", what="no finding any more")
        b.see("of memory")
        b.click_text("Start the search")
        b.see("from the form", "h1")
        sent = self.service.world.posted[-1]
        self.assertEqual((sent["space"], sent["criterion"]), ({"types": ["heads", "ffn", "stem"], "scope": "uniform", "head_unit": "kv_group", "floors": {}, "frozen_layers": []}, {"name": "param_first"}))
        self.assertEqual((sent["source"]["shape"]["layers"][0], sent["stop"], sent["snapshots"], sent["source"]["train"]),
                         ({"q_heads": 6, "kv_heads": 3, "ffn": 512}, {"ratio": 0.7}, {"ratios": [0.3, 0.5, 0.7]}, {"tokens": 1000000}))

    def test_runs_and_comparisons_start_from_an_architecture(self):
        self.sign_in("#/architectures/arch_100200")
        b = self.b
        b.click_text("Re-initialise")
        b.type("dialog input[name=tokens]", "200k")
        b.click_text("Start")
        b.see("run_", ".note")
        self.assertEqual({k: self.service.world.posted[-1][k] for k in ("architecture", "init", "budget", "dataset", "seed")},
                         {"architecture": "arch_100200", "init": "reinit", "budget": {"tokens": 200000}, "dataset": "data_1", "seed": 1})
        self.go("#/architectures/arch_100201")
        self.assertNotIn("Keep weights", b.text("main"))
        self.assertIn("No weights were kept here", b.text("main"))
        b.click_text("Auto versus human")
        b.type("dialog input[name=seeds]", "1, 2")
        b.click_text("Start")
        b.wait("return location.hash.startsWith('#/comparisons/')")
        self.assertEqual((self.service.world.posted[-1]["arms"], self.service.world.posted[-1]["seeds"]), (["reinit", "human"], [1, 2]))

    def test_shapes_set_aside_are_compared(self):
        self.sign_in("#/searches/srch_1?tab=shapes")
        b = self.b
        b.wait("return document.querySelectorAll('tbody [aria-pressed]').length > 5")
        b.js("[...document.querySelectorAll('tbody [aria-pressed]')].slice(1, 4).forEach((x) => x.click())")
        b.see("3 of 6 shapes set aside", "#basket")
        b.click("#basket a")
        b.wait("return document.querySelectorAll('.card canvas').length === 3", what="three pictures")
        b.click("#human")
        b.wait("return document.querySelectorAll('.card canvas').length === 4", what="the human shape beside them")

    def test_files_become_a_data_set(self):
        self.sign_in("#/datasets")
        b = self.b
        b.click_text("Add a data set")
        b.type("dialog input[name=name]", "notes")
        b.type("dialog input[name=files]", str(HERE / "fake.py"), clear=False)
        b.click_text("Add")
        b.wait("return !document.querySelector('dialog')")
        self.assertEqual(self.service.world.posted[-1]["files"], [{"upload": "upl_1", "format": "text"}])

    def test_an_export_is_asked_for_and_shows_its_proof(self):
        self.sign_in("#/runs/run_4")
        b = self.b
        b.click_text("Export")
        b.see("2.29\u00a0MiB", "dialog")
        b.click("input[name='gguf q8_0']")
        b.click_text("Export", "dialog button")
        b.see("Same first choice", "main")
        self.assertEqual(self.service.world.posted[-1], {"run": "run_4", "name": "Export of run_4", "targets": [{"format": "hf", "dtype": "float32"}, {"format": "gguf", "dtype": "q8_0"}]})
        for text in ("3.10e-6", "98.96\u00a0%", "take hf_padded, or gguf", "6.7\u00a0% more", "SHA256SUMS"):
            self.assertIn(text, b.text("main"))
        b.js("window.saved = null; URL.createObjectURL = (blob) => { window.saved = blob.size; return 'blob:none' }")
        b.click("[aria-label='Download config.json']")
        b.wait("return window.saved === 640", what="the file, fetched with the token")

    def test_an_evaluation_is_asked_for_and_compared(self):
        self.sign_in("#/runs/run_4")
        b = self.b
        b.click_text("Evaluate")
        b.js("const s = document.querySelector('dialog select'); s.value = 'piqa'; s.dispatchEvent(new Event('change'))")
        b.type("dialog input[type=file]", f"{HERE / 'fake.py'}\n{HERE / 'unit.js'}", clear=False)
        b.type("dialog input[aria-label='Items at most']", "50")
        b.click_text("Another task")
        b.js("const s = document.querySelectorAll('dialog select')[1]; s.value = 'latency'; s.dispatchEvent(new Event('change'))")
        b.click_text("Evaluate", "dialog button")
        b.see("50.0", "main")
        self.assertEqual(self.service.world.posted[-1], {"run": "run_4", "name": "Evaluation of run_4", "tasks": [{"form": "piqa", "uploads": ["upl_1", "upl_1"], "limit": 50}, {"form": "latency"}]})
        self.go("#/evaluations")
        b.see("Scores side by side")
        self.assertIn("62.0\u00a0% ± 1.1", b.text("main"))

    def test_a_search_is_forked_with_changes(self):
        self.sign_in("#/searches/srch_1")
        b = self.b
        b.click_text("Fork")
        b.see("Fork of dictionary prose")
        self.assertEqual(b.js("return [...new FormData(document.querySelector('form'))].filter(([k]) => ['from', 'stop_value', 'warmup', 'batch'].includes(k))"),
                         [["from", "same"], ["stop_value", "0.7"], ["warmup", "50"], ["batch", "8"]])
        b.type("input[name=seed]", "7")
        b.type("input[name=name]", "a fork")
        b.click_text("Start the search")
        b.see("a fork", "h1")
        sent = self.service.world.posted[-1]
        self.assertEqual((sent["seed"], sent["schedule"]["steps_per_unit"], sent["source"]), (7, 1, {"shape": self.service.world.searches["srch_1"]["source_shape"]}))

    def saved(self, click):
        """What a click offers as a file: its name and its text."""
        b = self.b
        b.js("""window.saved = null; URL.createObjectURL = (blob) => { blob.text().then((t) => { window.saved = t }); return 'blob:none' };
                HTMLAnchorElement.prototype.click = function () { window.savedName = this.download }""")
        click()
        b.wait("return window.saved !== null", what="a file")
        return b.js("return [window.savedName, window.saved]")

    def menu(self, name, kind):
        self.b.js("document.querySelector(`summary[aria-label='Download ${arguments[0]}']`).click()", name)
        self.b.click(f"[aria-label='{kind} of {name}']")

    def test_tables_charts_and_pictures_are_files(self):
        self.sign_in()
        name, text = self.saved(lambda: self.menu("Searches", "CSV"))
        self.assertEqual((name, text.splitlines()[0]), ("searches.csv", "id,name,state,last,params,ratio,speed,eta,created"))
        self.assertEqual(len(text.splitlines()), 1 + len(self.service.world.searches))
        self.go("#/searches/srch_1")
        name, text = self.saved(lambda: self.menu("Share of each type removed", "CSV"))
        self.assertEqual((name, text.splitlines()[0], len(text.splitlines())), ("share-of-each-type-removed.csv", "Tokens,Heads,FFN channels,Stem (hidden)", 381))
        name, text = self.saved(lambda: self.menu("Loss and parameters", "SVG"))
        self.assertTrue(name.endswith(".svg") and self.b.js("return new DOMParser().parseFromString(arguments[0], 'image/svg+xml').querySelectorAll('path').length > 8", text), text[:300])
        self.go("#/searches/srch_1?tab=machine&at=100")
        name, text = self.saved(lambda: self.menu("Picture of srch_1", "JSON"))
        import json
        self.assertEqual(json.loads(text)["hidden_size"], self.service.world.trajectories["srch_1"].shape_at(100)["hidden_size"])
        name, text = self.saved(lambda: self.menu("Picture of srch_1", "SVG"))
        self.assertGreater(self.b.js("return new DOMParser().parseFromString(arguments[0], 'image/svg+xml').querySelectorAll('rect').length", text), 40)
        self.go("#/comparisons/cmp_1")
        name, text = self.saved(lambda: self.b.click_text("Report as Markdown"))
        self.assertEqual((name, text), ("cmp_1.md", "# cmp_1\n"))

    def test_the_budget_rule_moves_the_crossover(self):
        self.sign_in("#/comparisons/cmp_1?pair=inherit-human&loss=validation_loss")
        b, said = self.b, "return document.querySelector('.lead').textContent"
        b.wait(f"return (() => {{ {said} }})().includes('stays below Human practice')", what="a crossover")
        before = b.js(said)
        b.js("const s = document.querySelector('#curve_rule'); s.value = 'kept'; s.dispatchEvent(new Event('change'))")
        b.wait(f"return (() => {{ {said} }})() !== arguments[0]", before, what="another crossover, or none")
        b.wait("return location.hash.includes('rule=kept')")

    def test_any_two_axes_make_a_front(self):
        self.sign_in("#/pareto?from=runs")
        b = self.b
        b.see("on the front")
        losses = [r["validation_loss"] for r in self.service.world.runs.values() if r["state"] == "succeeded" and r["validation_loss"]]
        self.assertIn(f"{min(losses):.4f}", b.text("main table"))
        b.see("piqa: accuracy, normalised", "#pareto_y")
        b.js("const s = document.querySelector('#pareto_y'); s.value = 'piqa.acc_norm'; s.dispatchEvent(new Event('change'))")
        b.see("piqa: accuracy, normalised", "main table")
        b.see("62.0", "main table tbody")
        b.wait("return location.hash.includes('y=piqa.acc_norm')")

    def test_a_format_that_cannot_say_the_shape_says_why(self):
        self.sign_in("#/architectures/arch_100200?format=hf")
        self.b.see("its layers differ: take per_layer_config", "pre")
        self.b.js("const s = document.querySelector('#format'); s.value = 'gguf'; s.dispatchEvent(new Event('change'))")
        self.b.see('"format": "gguf"', "pre")
        self.b.wait("return location.hash.includes('format=gguf')")

    # ---- by hand

    def press_until(self, name, most=60):
        """Tab until the focus is at what is called so; returns how many it took."""
        where = "const e = document.activeElement; return e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent.trim()"
        for i in range(most):
            self.b.keys("\ue004")
            if self.b.js(where) == name:
                self.assertEqual(self.b.js("return getComputedStyle(document.activeElement).outlineStyle"), "solid", f"no outline at {name}")
                return
        self.fail(f"{name} is not reached by Tab")

    def test_the_main_path_by_keyboard_alone(self):
        """From the list to a search, its time machine, an architecture, an export's dialog and out of it."""
        self.sign_in()
        b, enter, right = self.b, "\ue007", "\ue014"
        self.press_until("dictionary prose, uniform")
        b.keys(enter)
        b.see("dictionary prose, uniform", "h1")
        self.press_until("Live")
        b.keys(right)
        b.see("Removal 380 of 380")
        self.press_until("Removal")
        b.keys("\ue011", right, right)  # Home
        b.see("Removal 2 of 380")
        b.keys("\ue010", "\ue012", "\ue012")  # End, and two to the left
        b.see("Removal 378 of 380")
        b.js("document.querySelector('.tabs button').focus()")
        self.press_until("Open this architecture")
        b.keys(enter)
        b.see("Where the parameters are")
        self.go("#/architectures/arch_100200")
        self.press_until("Export")
        b.keys(enter)
        b.wait("return document.querySelector('dialog')?.contains(document.activeElement)", what="the focus in the dialog")
        b.keys("\ue00c")  # Escape
        b.wait("return !document.querySelector('dialog') && document.activeElement.textContent === 'Export'", what="the focus where it was")

    def test_the_keyboard_reaches_everything_in_order(self):
        self.sign_in()
        b, seen = self.b, []
        b.js("document.activeElement.blur()")
        for _ in range(18):
            b.keys("\ue004")
            seen.append(b.js("return (document.activeElement.getAttribute('aria-label') || document.activeElement.textContent || document.activeElement.type).trim()"))
        self.assertEqual(seen[0], "Skip to content")
        for text in ("Lathe", "Searches", "Queue", "Copy link", "Switch to dark colours", "Sign out", "New search"):
            self.assertIn(text, seen)
        outline = b.js("return getComputedStyle(document.activeElement).outlineStyle")
        self.assertEqual(outline, "solid")

    def test_colours_follow_the_system_and_the_switch(self):
        self.sign_in()
        b, ground = self.b, "return getComputedStyle(document.documentElement).backgroundColor"
        b.scheme(False)
        light = b.js(ground)
        b.scheme(True)
        dark = b.js(ground)
        self.assertNotEqual(light, dark)
        b.scheme(False)
        b.click_text("Dark")
        self.assertEqual(b.js(ground), dark)
        b.open(self.service.url)
        self.assertEqual(b.js(ground), dark)

    def test_an_answer_that_fails_can_be_asked_again(self):
        self.sign_in()
        self.service.world.down = True
        try:
            self.b.js("location.hash = '#/runs'")
            self.b.see("the database is away", ".problem")
        finally:
            self.service.world.down = False
        time.sleep(0.1)
        self.b.click_text("Try again")
        self.b.see("run_4")


if __name__ == "__main__":
    absent = browser.missing()
    if absent:
        print(f"skipped: {absent} is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
