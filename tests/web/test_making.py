#!/usr/bin/env python3
"""What a person makes with the dashboard: searches, runs, comparisons, exports, evaluations, files; by mouse and by
keyboard, in headless Chromium against a made-up service (fake.py)."""
import json

from dashboard import Base, HERE, main


class Making(Base):
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

    def test_what_was_refused_stays_said(self):
        """An estimate asked for before the refusal may come after it, and one asked for later knows of the name too."""
        self.sign_in("#/searches/new")
        b = self.b
        self.delay(lambda path, query: 1 if "dry_run" in query else 0)
        for value in ("7", "8"):
            before = self.service.world.dry_runs
            b.type("input[name=seed]", value)
            self.until(lambda: self.service.world.dry_runs > before, "an estimate is asked for")
            if value == "7":
                b.click_text("Start the search")
            b.see("must have 1 to 200 characters")
            self.settled()
            b.see("must have 1 to 200 characters", seconds=0.1)

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

    def test_what_is_over_can_be_deleted(self):
        """From its own page, and where somebody else did it; in lists; and only after asking."""
        b, world = self.b, self.service.world
        kept = dict(world.exports)
        world.exports.update({f"exp_{i}": {**kept["exp_1"], "id": f"exp_{i}", "name": f"old {i}"} for i in (7, 8, 9)})
        try:
            self.sign_in("#/exports/exp_7")
            b.click_text("Delete")
            b.click_text("Keep it")
            self.assertIn("exp_7", world.exports)
            b.click_text("Delete")
            b.click_text("Delete it")
            b.see("old 8", "tbody")
            self.assertNotIn("old 7", b.text("main"))
            asked = []
            self.delay(lambda path, query: path == "/v1/exports" and 2 * (asked.append(path) or len(asked) == 1))
            self.until(lambda: asked, "a list on its way, older than what happens now")
            b.click("[aria-label='Delete old 8']")
            b.click_text("Delete it")
            self.until(lambda: len(asked) > 1, "a list that was asked for after it")
            b.wait("return !document.querySelector('main').innerText.includes('old 8')", what="the list without it")
            self.assertEqual(set(world.exports), {*kept, "exp_9"})
            self.go("#/exports/exp_9")
            b.see("old 9", "h1")
            b.see("Live", "#pulse")
            with world.lock:
                world.exports.pop("exp_9")
            world.say("exp_9", "deleted", id="exp_9")
            b.wait("return location.hash.startsWith('#/exports') && !location.hash.includes('exp_9')", what="the page of all exports")
            self.go("#/runs")
            b.see("run_4", "tbody")
            self.assertFalse(b.js("return [...document.querySelectorAll('.verbs button')].some((x) => x.textContent === 'Delete')"), "this service deletes no runs")
        finally:
            world.exports = kept

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
        self.b.wait("const e = document.querySelector(`summary[aria-label='Download ${arguments[0]}']`); e?.click(); return Boolean(e)", name, what=f"{name} as a file")
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
        self.assertEqual(json.loads(text)["hidden_size"], self.service.world.trajectories["srch_1"].shape_at(100)["hidden_size"])
        name, text = self.saved(lambda: self.menu("Picture of srch_1", "SVG"))
        self.assertGreater(self.b.js("return new DOMParser().parseFromString(arguments[0], 'image/svg+xml').querySelectorAll('rect').length", text), 40)
        self.go("#/comparisons/cmp_1")
        name, text = self.saved(lambda: self.b.click_text("Report as Markdown"))
        self.assertEqual((name, text), ("cmp_1.md", "# cmp_1\n"))

    def test_the_crossover_is_the_service_s_and_the_budget_rule_moves_the_curves(self):
        self.sign_in("#/comparisons/cmp_1?pair=inherit-human&loss=validation_loss")
        b, said = self.b, "Keep weights stays below Human practice from 20.5\u00a0K training tokens on (validation loss; by seed: 10.2\u00a0K, 20.5\u00a0K, 20.5\u00a0K)."
        b.wait("return document.querySelector('.lead').textContent === arguments[0]", said, what="the service's crossover")
        first = "return document.querySelectorAll('figure.chart')[1].querySelector('.numbers tbody td, .numbers tbody th')?.textContent"
        b.js("for (const d of document.querySelectorAll('figure.chart .numbers')) d.open = true")
        before = b.wait(first, what="the difference as numbers")
        b.js("const s = document.querySelector('#curve_rule'); s.value = 'kept'; s.dispatchEvent(new Event('change'))")
        b.wait(f"return (() => {{ {first} }})() !== arguments[0]", before, what="another difference")
        b.wait("return location.hash.includes('rule=kept')")
        self.assertEqual(b.text(".lead"), said)

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

    def test_a_page_that_is_complete_late_leaves_the_focus_where_it_is_by_now(self):
        self.sign_in()
        b = self.b
        self.delay(lambda path, query: 2 if path.endswith("/metrics") else 0)
        b.click_text("dictionary prose, uniform")
        self.press_until("Live")
        self.settled()
        self.assertEqual(b.js("return document.activeElement.textContent"), "Live")
        b.js("location.hash = '#/searches/srch_2'")
        self.settled()
        b.wait("return document.activeElement.tagName === 'H1'", what="the focus on the heading of a new page")

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


if __name__ == "__main__":
    main()
