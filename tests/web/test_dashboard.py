#!/usr/bin/env python3
"""What the dashboard shows, live too, in headless Chromium against a made-up service (fake.py)."""
import gzip
import sys
import time

import access
import browser
import fake
from dashboard import Base, LONG, ROOT, main

VIEWS = ["#/searches", "#/searches/new", "#/searches/srch_1", "#/searches/srch_2?tab=machine&at=300", "#/searches/srch_1?tab=shapes", "#/searches/srch_1?tab=settings", "#/searches/srch_1?tab=scores", "#/searches/srch_7?tab=scores",
         "#/runs", "#/runs/run_4", "#/architectures/arch_200700", "#/compare?ids=arch_200300,arch_200700&human=1", "#/comparisons", "#/comparisons/cmp_1",
         "#/searches/new?fork=srch_1", "#/comparisons/cmp_1?rule=found&loss=loss", "#/pareto", "#/pareto?x=flops_per_token&y=eval&by=search", "#/evaluations", "#/evaluations/eval_1", "#/evaluations/eval_3",
         "#/exports", "#/exports/exp_1", "#/exports/exp_2", "#/datasets", "#/queue"]


class Dashboard(Base):
    # ---- signing in

    def test_units(self):
        self.b.open(self.service.url)
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
        b.open(self.service.url)
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
        print(f"looked at {len(VIEWS)} views; axe-core: {'yes' if access.AXE else 'not found; names and contrast only'}", file=sys.stderr)

    def test_hostile_names_stay_text(self):
        self.sign_in()
        for view in ["#/searches", "#/searches/srch_4", "#/searches/srch_4?tab=machine", "#/searches/new", "#/datasets", "#/compare?ids=arch_400001,arch_400002", "#/pareto", "#/queue", "#/exports", "#/evaluations",
                     "#/architectures/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "#/runs?q=%3Cscript%3Ealert(1)%3C/script%3E"]:
            self.go(view)
            self.assertFalse(self.b.js("return Boolean(window.pwned || document.querySelector('main img, main script'))"), view)
        self.go("#/searches")
        self.b.see(fake.HOSTILE, "main")
        self.refuse_complaints_but_404()

    def test_the_first_view_is_light(self):
        self.sign_in()
        scripts = self.b.js("return performance.getEntriesByType('resource').map((e) => new URL(e.name).pathname).filter((p) => p.startsWith('/web/'))")
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

    def test_seven_tabs_share_one_stream(self):
        b, world, first = self.b, self.service.world, self.b.tab()
        b.js("localStorage.setItem('lathe.token', arguments[0])", fake.TOKEN)
        b.open("about:blank")
        tabs = [b.new_tab() for _ in range(7)]
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

    def test_a_click_on_the_machine_opens_what_it_shows_on_a_page_with_no_time(self):
        """The address, which the machine writes a moment after it was wound, is due while the click is on its way."""
        self.sign_in("#/searches/srch_1?tab=machine&at=100")
        b = self.b
        b.see("Removal 100 of 380")
        b.js("""const r = document.querySelector('#scrub'); r.value = '120'; r.dispatchEvent(new Event('input'));
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                for (const end = performance.now() + 400; performance.now() < end;);
                document.querySelector('canvas.picture').click()""")
        b.see("Where the parameters are")
        self.assertIn("arch_100120", b.url())
        b.js("history.back()")
        b.see("Removal 120 of 380")

    # ---- by hand

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
    main()
