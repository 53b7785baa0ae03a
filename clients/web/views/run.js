/*
 * One run: its curves, live.
 */
import { h, fill, say, throttle } from "../dom.js";
import { get } from "../api.js";
import { Chart, merge } from "../chart.js";
import { continued, insistently } from "../reader.js";
import { liveItem, eta } from "../live.js";
import { describe } from "../cost.js";
import { badge, heading, link, section, stat, verbButtons, copyButton, offerButton, notifyProblem, ACTIVE, INITS } from "../common.js";
import { askExport, askEvaluation } from "../subjects.js";
import { filesOf } from "../artifacts.js";
import { askRun } from "./arch_forms.js";
import { count, duration, fixed, whole } from "../format.js";

function makeCurves() {
    const loss = new Chart({ title: "Loss", x: "Tokens", y: "Loss", yFormat: (v) => fixed(v, 3), series: [{ label: "Loss", color: "s1" }, { label: "Validation loss", color: "s2" }] });
    let rows = [];
    const draw = throttle(() => loss.set(rows), 500);
    return {
        chart: loss,
        async read(id, signal) {
            const answer = await get(`/v1/runs/${id}/metrics`, { keys: "loss,validation_loss", x: "tokens", max_points: 1200 }, signal);
            const of = (key) => answer.series.find((s) => s.key === key) || { points: [] };
            rows = continued(merge([of("loss"), of("validation_loss")]), rows);
            draw();
        },
        hear({ type, data }) {
            const last = rows.length ? rows[rows.length - 1] : [-1];
            if (type === "step" && data.tokens > last[0]) rows.push([data.tokens, data.loss, null]);
            else if (type === "validation" && data.tokens === last[0]) last[2] = data.loss;
            else if (type === "validation" && data.tokens > last[0]) rows.push([data.tokens, null, data.loss]);
            else return;
            draw();
        },
    };
}

/* What a finished run is good for; and the same again with another seed. */
function deeds(run, signal) {
    const small = { class: "small quiet" }, again = run.architecture && run.arm !== "human";
    return [run.state === "succeeded" ? [offerButton("POST", "/v1/evaluations", "Evaluate", () => askEvaluation(run.id), small), offerButton("POST", "/v1/exports", "Export", () => askExport(run.id), small)] : null,
        again ? h("button", { type: "button", ...small, on: { click: () => askRun({ architecture: run.architecture, init: run.init, dataset: run.dataset, signal, like: run }).catch(notifyProblem) } }, "Again, other seed") : null];
}

export async function show(page, { id, signal, pulse }) {
    const curves = makeCurves();
    signal.addEventListener("abort", () => curves.chart.close());
    const again = insistently(() => curves.read(id, signal));
    let draw = () => {}, ready = false;
    const live = liveItem({ path: "/v1/runs", id, signal, changed: (item) => draw(item), onEvent: curves.hear,
        onState: (state) => { pulse(state); if (state === "live" && ready) again(); } });
    const item = await live.ready;
    const state = h("span", { class: "state" }), actions = h("span"), reason = h("p", { class: "reason" }), kept = h("div");
    const values = Object.fromEntries(["loss", "valid", "tokens", "speed", "eta"].map((k) => [k, h("span")]));
    const speed = stat("Tokens/s", values.speed), left = stat("ETA", values.eta);
    let shown = null;
    draw = (run) => {
        if (run.state !== shown) {
            fill(state, badge(run.state));
            fill(actions, verbButtons("runs", run, () => live.again(), deeds(run, signal)));
            fill(kept, filesOf(item.id, signal));
            speed.hidden = left.hidden = !ACTIVE.has(run.state);
        }
        shown = run.state;
        say(reason, run.reason || "");
        say(values.loss, fixed(run.loss));
        say(values.valid, fixed(run.validation_loss, 4));
        say(values.tokens, `${count(run.tokens)} of ${count(run.budget && run.budget.tokens)}`);
        say(values.speed, count(run.tokens_per_second));
        say(values.eta, duration(eta(run)));
    };
    draw(item);
    const text = JSON.stringify(item.shape, null, 2);
    fill(page, heading(item.name || item.id, state, actions), reason,
        h("dl", { class: "stats" }, stat("Weights", INITS[item.init] || item.init), stat("Architecture", link(item.architecture)), stat("Parameters", whole(item.params)),
            stat("Validation loss", values.valid), stat("Loss", values.loss), stat("Tokens", values.tokens), speed, left, stat("Seed", String(item.seed ?? "–")), item.comparison ? stat("Comparison", link(item.comparison)) : null, stat("Data set", link(item.dataset))),
        section("Curves", curves.chart.element),
        section("Shape", item.shape ? [h("p", {}, describe(item.shape)), h("details", { class: "numbers" }, h("summary", {}, "As JSON"), copyButton(() => text), h("pre", { tabindex: "0", role: "region", "aria-label": "Shape as JSON" }, text))] : null), kept);
    await curves.read(id, signal);
    ready = true;
}
