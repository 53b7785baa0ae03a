/*
 * One comparison: curves by arm with the band over its seeds, differences with their
 * interval, and the runs. The switch puts the arms on one axis of training tokens, or of
 * all tokens with the search's own counted to the arm that inherits.
 */
import { h, fill, throttle } from "../dom.js";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { armRows, band, crossover } from "../arms.js";
import { liveItem } from "../live.js";
import { badge, heading, link, section, sheet, num, stat, verbButtons } from "../common.js";
import { humanPanel } from "./architecture.js";
import { count, fixed, signed, whole } from "../format.js";

const NAMES = { inherit: "Keep weights", reinit: "Re-initialised", human: "Human practice" };
const COLORS = { inherit: "s1", reinit: "s2", human: "s3" };
const KEYS = [["validation_loss", "Validation loss"], ["loss", "Training loss"]];

function differencesTable(item) {
    const list = item.differences || [];
    if (!list.length) return h("p", { class: "hint" }, "Differences appear when two arms have finished with the same seed.");
    const verdict = (d) => {
        if (!d.ci95) return "one seed: no interval";
        const [low, high] = d.ci95;
        return low > 0 ? `${NAMES[d.b] || d.b} is better` : high < 0 ? `${NAMES[d.a] || d.a} is better` : "not told apart";
    };
    return sheet("Paired differences", ["Difference of validation loss", "#Mean", "#95 % interval", "#By seed", ""], list.map((d) =>
        h("tr", {}, h("th", { scope: "row" }, `${NAMES[d.a] || d.a} − ${NAMES[d.b] || d.b}`), num(signed(d.mean)),
            num(d.ci95 ? `${signed(d.ci95[0])} … ${signed(d.ci95[1])}` : "–"), num((d.per_seed || []).map((x) => signed(x)).join(", ")),
            h("td", {}, verdict(d)))), { unnamed: "Meaning" });
}

function armsTable(item) {
    return sheet("Runs of this comparison", ["Arm", "#Seed", "Run", "State", "#Parameters", "#Tokens", "#Validation loss"], item.arms.map((a) =>
        h("tr", {}, h("th", { scope: "row" }, NAMES[a.arm] || a.arm), num(String(a.seed)), h("td", {}, link(a.run)), h("td", {}, badge(a.state)),
            num(whole(a.params)), num(count(a.tokens)), num(fixed(a.validation_loss, 4)))));
}

class Curves {
    constructor(item, architecture, signal) {
        Object.assign(this, { item, architecture, signal, key: "validation_loss", pipeline: item.budget_rule === "pipeline_matched" });
        this.arms = [...new Set(item.arms.map((a) => a.arm))];
        this.chart = new Chart({ title: "Loss by arm", x: "Tokens", y: "Loss", yFormat: (v) => fixed(v, 3), band: true,
            series: this.arms.map((a) => ({ label: NAMES[a] || a, color: COLORS[a] || "s4" })) });
        this.note = h("p", { class: "hint" });
        const rule = h("input", { type: "checkbox", id: "pipeline", checked: this.pipeline, on: { change: (e) => { this.pipeline = e.target.checked; this.draw(); } } });
        const key = h("select", { id: "curve_key", on: { change: (e) => { this.chosen = true; this.choose(e.target.value); } } }, KEYS.map(([k, t]) => h("option", { value: k }, t)));
        this.element = section("Curves", h("div", { class: "controls" }, h("label", { for: "curve_key" }, "Show"), key,
            h("label", { class: "check", for: "pipeline" }, rule, "Count the search’s tokens to the weights that were kept")), this.chart.element, this.note);
    }

    /* Short runs measure validation once or twice: their curve is the training loss. */
    choose(key) {
        this.key = key;
        this.element.querySelector("#curve_key").value = key;
        return this.read();
    }

    async read() {
        const answers = await Promise.all(this.item.arms.map((a) => get(`/v1/runs/${a.run}/metrics`, { keys: this.key, x: "tokens", max_points: 300 }, this.signal)
            .then((m) => (m.series[0] ? m.series[0].points : []), () => [])));
        if (!this.chosen && this.key === "validation_loss" && answers.every((points) => points.length < 3)) return this.choose("loss");
        this.curves = this.arms.map((arm) => answers.filter((points, i) => this.item.arms[i].arm === arm && points.length));
        return this.draw();
    }

    draw() {
        if (!this.curves || this.signal.aborted) return;
        const before = (this.architecture && this.architecture.tokens) || 0;
        this.chart.set(armRows(this.curves, this.arms.map((a) => (this.pipeline && a === "inherit" ? before : 0))));
        const means = this.curves.map((c) => band(c).filter(([, y]) => y).map(([x, y]) => [x, y[1]]));
        const [found, human] = ["reinit", "human"].map((a) => means[this.arms.indexOf(a)]);
        const x = found && human && found.length && human.length ? crossover(found, human) : undefined;
        this.note.textContent = x === undefined ? "" : x === null ? "The found shape is not below the human one at the end of these curves."
            : `From ${count(x)} tokens on the found shape stays below the human one.`;
    }
}

export async function show(page, { id, signal, pulse }) {
    let curves = null, draw = () => {};
    const live = liveItem({ path: "/v1/comparisons", id, signal, onState: pulse, changed: (item) => draw(item) });
    const item = await live.ready;
    const architecture = await get(`/v1/architectures/${item.architecture}`, {}, signal).catch(() => null);
    curves = new Curves(item, architecture, signal);
    signal.addEventListener("abort", () => curves.chart.close());
    const state = h("span"), actions = h("span"), differences = h("div"), arms = h("div");
    draw = (now) => {
        Object.assign(item, now);
        fill(state, badge(item.state));
        fill(actions, verbButtons("comparisons", item, () => live.again()));
        fill(differences, differencesTable(item));
        fill(arms, armsTable(item));
    };
    draw(item);
    fill(page, heading(item.name || item.id, state, actions),
        h("dl", { class: "stats" }, stat("Architecture", link(item.architecture)), stat("Budget rule", item.budget_rule), stat("Tokens", count(item.budget && item.budget.tokens)),
            stat("Seeds", [...new Set(item.arms.map((a) => a.seed))].join(", "))),
        curves.element, section("Differences", differences), section("Runs", arms), architecture ? humanPanel(architecture) : null);
    await curves.read();
    const again = throttle(async () => { if (!signal.aborted && !["succeeded", "failed", "cancelled"].includes(item.state)) { await live.again().catch(() => {}); await curves.read(); } }, 1000);
    const timer = setInterval(again, 4000);
    signal.addEventListener("abort", () => clearInterval(timer));
}
