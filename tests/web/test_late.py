#!/usr/bin/env python3
"""Answers that come late, in another order than they were asked for, or not at the first time; in headless Chromium
against a made-up service (fake.py)."""
import copy
import time
import unittest.mock

import fake
from dashboard import Base, main

NUMBERS = """const d = document.querySelectorAll('figure.chart')[arguments[0]]?.querySelector('.numbers');
             if (d && !d.open) d.open = true;
             return [...(d?.querySelectorAll('tbody tr') ?? [])].map((r) => [...r.children].map((c) => c.textContent.replaceAll('\\u00a0', ' ')))"""


class Late(Base):
    def setUp(self):
        super().setUp()
        self.world = self.service.world
        for name in ("searches", "runs", "comparisons", "exports", "evaluations", "curves"):
            self.addCleanup(setattr, self.world, name, getattr(self.world, name))
            setattr(self.world, name, copy.deepcopy(getattr(self.world, name)))

    def choose(self, selector, *values):
        """One after the other, at once."""
        self.b.js("const s = document.querySelector(arguments[0]); for (const v of arguments[1]) { s.value = v; s.dispatchEvent(new Event('change')); }", selector, values)

    # ---- a choice that was changed before its answer came

    def test_the_configuration_is_that_of_the_format_chosen_last(self):
        self.sign_in("#/architectures/arch_100200")
        self.delay(lambda path, query: query.get("format") in ("hf", "decilm") and 1)  # hf is refused
        for late in ("hf", "decilm"):
            self.choose("#format", late, "gguf")
            self.b.see('"format": "gguf"', "pre")
            self.settled()
            self.assertEqual(self.b.text("main pre").split(), ['{', '"format":', '"gguf"', '}'])

    def test_the_curves_are_of_the_loss_chosen_last(self):
        self.sign_in("#/comparisons/cmp_1?loss=loss")
        noisy = self.b.wait(NUMBERS, 0, what="the training loss")
        self.delay(lambda path, query: query.get("keys") == "validation_loss" and 1)
        self.choose("#curve_loss", "validation_loss", "loss")
        self.until(lambda: self.b.js("return window.pendingRequests") > 0, "curves on their way")
        self.settled()
        self.assertEqual(self.b.js(NUMBERS, 0), noisy)

    def test_the_size_of_an_export_is_that_of_the_boxes_as_they_are(self):
        self.sign_in("#/runs/run_4")
        b = self.b
        b.click_text("Export")
        b.see("About 2.29", "dialog")
        self.delay(lambda path, query: "dry_run" in query and 1)
        b.js("for (const name of ['gguf q8_0', 'gguf q8_0', 'hf float32']) document.querySelector(`dialog input[name='${name}']`).click()")
        b.see("Choose at least one.", "dialog")
        self.settled()
        self.assertIn("Choose at least one.", b.text("dialog"))

    def test_a_tab_that_was_left_writes_nothing_into_the_next(self):
        answer = fake.Handler.do_OPTIONS
        self.enterContext(unittest.mock.patch.object(fake.Handler, "do_OPTIONS", lambda handler: (time.sleep("stability" in handler.path), answer(handler))))
        self.sign_in("#/searches/srch_1")
        self.b.click("#tab_scores")
        self.until(lambda: self.b.js("return window.pendingRequests") > 0, "scores on their way")
        self.b.click("#tab_settings")
        self.b.see("Settings", "#pane")
        self.settled()
        self.assertNotIn("Scores by layer", self.b.text("#pane"))

    def test_two_shapes_taken_out_quickly_are_both_out(self):
        self.sign_in("#/compare?ids=arch_100100,arch_100200,arch_100300,arch_200300")
        self.delay(lambda path, query: path == "/v1/architectures/arch_100300" and next(late))
        late = iter([2, 0])  # the page without the first comes after that without the first two
        self.b.js("[...document.querySelectorAll('.chips button')].slice(0, 2).forEach((x) => x.click())")
        self.settled()
        self.assertIn("ids=arch_100300%2Carch_200300", self.b.url())
        self.assertEqual(self.b.text(".chips").split(), ["arch_100300", "✕", "arch_200300", "✕"])

    def test_scores_of_what_was_deleted_do_not_come_back(self):
        without = fake.listing(lambda world: [{**e, "results": []} for e in world.evaluations.values()])
        self.enterContext(unittest.mock.patch.object(fake, "ROUTES", [("GET", "/v1/evaluations", without), *fake.ROUTES]))
        self.sign_in("#/queue")
        first = []
        self.delay(lambda path, query: path == "/v1/evaluations/eval_1" and 4 * (first.append(path) or len(first) == 1))
        self.b.js("location.hash = '#/evaluations'")
        self.until(lambda: first, "scores on their way")
        self.world.say("eval_9", "state", state="queued")  # unknown, so that the list is read again, and its scores
        self.b.see("Scores side by side", "main")
        self.world.evaluations.pop("eval_2")
        self.world.say("eval_2", "deleted", id="eval_2")
        self.b.wait("return !document.querySelector('main').innerText.includes('run_4')", what="the scores without it")
        self.settled()
        self.assertNotIn("run_4", self.b.text("main"))

    # ---- what happened while something was read, or while nothing could be

    def test_a_search_shows_what_was_said_while_its_loss_was_read(self):
        self.sign_in("#/searches")
        self.b.see("Live", "#pulse")
        self.delay(lambda path, query: path.endswith("/metrics") and query.get("max_points") == "1200" and 1)
        self.b.js("location.hash = '#/searches/srch_3'")
        self.until(lambda: self.b.js("return window.pendingRequests && document.querySelector('figure.chart')"), "a loss on its way")
        time.sleep(0.2)  # until its answer was made up
        self.world.advance()
        self.world.say("srch_3", "validation", tokens=self.world.searches["srch_3"]["tokens"], loss=2.345)
        self.settled()
        self.b.wait(f"return (() => {{ {NUMBERS} }})().at(-1)[2] === '2.35'", 0, what="the validation at the end")

    def test_the_loss_of_a_search_goes_on_after_an_outage(self):
        self.sign_in("#/searches/srch_3")
        self.b.see("Live", "#pulse")
        self.world.down = True
        self.b.see("Reconnecting", "#pulse")
        for _ in range(5):
            self.world.advance()
        self.world.down = False
        meanwhile = [f"{tokens / 1000:.1f} K" for tokens, _ in self.world.curves["srch_3"]["loss"][-5:]]
        self.b.wait(f"return (() => {{ {NUMBERS} }})().slice(-5).map((r) => r[0]).join() === arguments[1]", 0, ",".join(meanwhile), what="what happened meanwhile")

    # ---- what was refused once, or is there only when something is over

    def test_a_reading_that_was_refused_once_is_asked_for_again(self):
        self.sign_in("#/exports/exp_2")
        self.b.see("Live", "#pulse")
        time.sleep(0.6)  # until it was read again for being live
        self.world.refused.append("/v1/exports/exp_2")
        self.world.exports["exp_2"] = fake.an_export("exp_2", "run_5", "succeeded")
        self.world.say("exp_2", "state", state="succeeded")
        self.b.see("SHA256SUMS", "main")
        self.assertEqual(self.world.refused, [])

    def test_results_appear_task_by_task(self):
        self.sign_in("#/evaluations/eval_3")
        self.b.see("Live", "#pulse")
        self.b.see("They appear task by task.")
        time.sleep(0.6)
        result = copy.deepcopy(self.world.evaluations["eval_1"]["results"][0])
        self.world.evaluations["eval_3"]["results"] = [result]
        self.world.say("eval_3", "evaluation", **result)
        self.b.see("1,838 items", "main")

    def test_the_curves_of_a_comparison_are_read_to_their_end(self):
        world, whole = self.world, self.world.curves
        world.curves = {i: {key: points[:len(points) // 2] for key, points in c.items()} for i, c in whole.items()}
        world.comparisons["cmp_1"]["state"] = "running"
        self.sign_in("#/comparisons/cmp_1")
        ends = f"return (() => {{ {NUMBERS} }})().at(-1)?.[0] === arguments[1]"
        self.b.wait(ends, 0, "102.4 K", what="the first half")
        world.refused.append("/v1/runs/run_1/metrics")
        world.curves, world.comparisons["cmp_1"]["state"] = whole, "succeeded"
        world.say("cmp_1", "state", state="succeeded")
        self.b.wait(ends, 0, "204.8 K", what="both halves")
        self.assertEqual(world.refused, [])

    def test_the_files_of_a_run_appear_when_it_is_done(self):
        self.world.runs["run_4"]["state"] = "running"
        self.sign_in("#/runs/run_4")
        self.b.see("Live", "#pulse")
        self.assertNotIn("Kept files", self.b.text("main"))
        self.addCleanup(self.world.artifacts.clear)
        self.world.artifacts.append({"id": "art_1", "name": "model.safetensors", "bytes": 100, "sha256": "0" * 64})
        self.world.refused.append("/v1/artifacts")
        self.world.runs["run_4"]["state"] = "succeeded"
        self.world.say("run_4", "state", state="succeeded")
        self.b.see("model.safetensors", "main")

    def test_what_a_list_could_not_read_of_a_row_is_asked_for_again(self):
        self.sign_in("#/queue")
        self.world.refused += ["/v1/comparisons/cmp_1", "/v1/runs/run_4/metrics"]
        self.go("#/comparisons")
        self.b.see("−0.05", "tbody")
        self.go("#/runs")
        self.b.wait("return document.querySelectorAll('tbody tr').length === document.querySelectorAll('tbody svg.spark path[d^=M]').length", what="a line for every run")
        self.assertEqual(self.world.refused, [])


if __name__ == "__main__":
    main()
