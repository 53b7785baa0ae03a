/*
 * The curves of a comparison: loss by arm with the band over seeds, and the difference of two
 * arms along the way with its interval. Both on the tokens that the budget rule counts; the
 * rule, the kind of loss and the pair are in the address.
 */
import { h, fill, select } from "../dom.js";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { insistently, passes } from "../reader.js";
import { armRows, paired, smooth } from "../arms.js";
import { section } from "../common.js";
import { count, fixed, signed } from "../format.js";

export const NAMES = { inherit: "Keep weights", reinit: "Re-initialised", human: "Human practice" };
const COLORS = { inherit: "s1", reinit: "s2", human: "s3" };
const KEYS = [["validation_loss", "Validation loss"], ["loss", "Training loss"]];
const SMOOTH = 0.8; /* weight of the past */

/* Whose pipeline the search's own tokens belong to. */
const COUNTED = { train: [], kept: ["inherit"], found: ["inherit", "reinit"] };
const RULES = [["train", "Training tokens alone"], ["kept", "The search counted to the kept weights"], ["found", "The search counted to both found arms"]];

const nameOf = (arm) => NAMES[arm] || arm;

export class Curves {
    constructor({ item, architecture, place, signal }) {
        Object.assign(this, { item, architecture, place, signal });
        this.key = KEYS.some(([k]) => k === place.get("loss")) ? place.get("loss") : null;
        this.rule = COUNTED[place.get("rule")] ? place.get("rule") : item.budget_rule === "pipeline_matched" ? "kept" : "train";
        this.arms = [...new Set(item.arms.map((a) => a.arm))];
        this.pairs = this.arms.flatMap((a, i) => this.arms.slice(i + 1).map((b) => `${a}-${b}`));
        this.pair = this.pairs.includes(place.get("pair")) ? place.get("pair") : this.pairs.includes("reinit-human") ? "reinit-human" : this.pairs[0];
        this.smoothing = true;
        this.asked = this.shown = 0; /* readings, and which of them is drawn */
        this.chart = new Chart({ title: "Loss by arm", x: "Tokens", y: "Loss", yFormat: (v) => fixed(v, 3), band: true,
            series: this.arms.map((a) => ({ label: nameOf(a), color: COLORS[a] || "s4" })) });
        this.gap = new Chart({ title: "Difference of the two arms", x: "Tokens", y: "Difference of loss", yFormat: (v) => signed(v, 3), band: true, zero: true, series: [{ label: "Mean, 95 % interval", color: "s4" }] });
        this.note = h("p", { class: "lead", role: "status" });
        this.read = insistently(() => this.readOnce());
        this.element = this.build();
    }

    build() {
        const choose = (name, options, value, change) => select(options, value, { id: name, on: { change: (e) => { this.place.set(name.replace("curve_", ""), e.target.value); change(e.target.value); } } });
        this.keys = choose("curve_loss", KEYS, this.key || "validation_loss", (v) => { this.key = v; this.read(); });
        const rule = choose("curve_rule", RULES, this.rule, (v) => { this.rule = v; this.draw(); });
        const pair = choose("curve_pair", this.pairs.map((p) => [p, p.split("-").map(nameOf).join(" − ")]), this.pair, (v) => { this.pair = v; this.draw(); });
        const smoother = h("input", { type: "checkbox", id: "curve_smooth", checked: true, on: { change: (e) => { this.smoothing = e.target.checked; this.draw(); } } });
        this.smoothLabel = h("label", { class: "check", for: "curve_smooth" }, smoother, "Smoothed");
        const label = (id, text, control) => h("span", { class: "pair" }, h("label", { for: id }, text), control);
        return section("Curves", h("div", { class: "controls" }, label("curve_loss", "Show", this.keys), label("curve_rule", "Budget", rule), this.smoothLabel), this.chart.element,
            this.pairs.length ? [h("h3", {}, "The difference along the way"), h("div", { class: "controls" }, label("curve_pair", "Of", pair)), this.note, this.gap.element] : null);
    }

    close() { this.chart.close(); this.gap.close(); }

    /* Short runs measure validation once or twice: without a choice their curve is the training loss. */
    async readOnce() {
        const key = this.key || "validation_loss", mine = ++this.asked;
        const points = await Promise.all(this.item.arms.map((a) => get(`/v1/runs/${a.run}/metrics`, { keys: key, x: "tokens", max_points: 300 }, this.signal)
            .then((m) => (m.series[0] ? m.series[0].points : []), (error) => { if (passes(error)) throw error; return []; })));
        if (key !== (this.key || "validation_loss") || mine < this.shown) return undefined; /* another was chosen meanwhile, or it is older than what is drawn */
        this.shown = mine;
        if (!this.key && points.every((p) => p.length < 3)) {
            this.key = this.keys.value = "loss";
            return this.readOnce();
        }
        this.of = Object.fromEntries(this.arms.map((arm) => [arm, this.item.arms.map((a, i) => ({ arm: a.arm, seed: a.seed, points: points[i] })).filter((c) => c.arm === arm && c.points.length)]));
        return this.draw();
    }

    /* The curves of an arm on the axis of the rule. */
    counted(arm) {
        const before = COUNTED[this.rule].includes(arm) ? (this.architecture && this.architecture.tokens) || 0 : 0;
        const noisy = this.key === "loss" && this.smoothing;
        return this.of[arm].map(({ seed, points }) => ({ seed, points: (noisy ? smooth(points, SMOOTH) : points).map(([x, y]) => [x + before, y]) }));
    }

    draw() {
        if (!this.of || this.signal.aborted) return;
        this.smoothLabel.hidden = this.key !== "loss";
        this.chart.set(armRows(this.arms.map((a) => this.counted(a).map((c) => c.points))));
        if (!this.pair) return;
        const [a, b] = this.pair.split("-");
        this.gap.set(paired(this.counted(a), this.counted(b)).rows);
        fill(this.note, verdict(this.item, a, b));
    }
}

/* From where on one arm lies below the other, in words: what the service found, whose every number is a
 * budget that both arms reported. The curves above may count other tokens or show another loss. */
export function verdict(item, a, b) {
    const found = (item.differences || []).find((d) => [d.a, d.b].sort().join() === [a, b].sort().join()), { crossover } = found || {};
    if (!found) return "Where they cross is said when both have finished with the same seed.";
    if (!crossover) return "There is no budget at which all seeds of both were measured, so nothing can be said of where they cross.";
    if (!crossover.lower) return "At the end neither is below the other.";
    const other = crossover.lower === a ? b : a, seeds = crossover.per_seed.map((x) => (x === null ? "never" : count(x)));
    return `${nameOf(crossover.lower)} stays below ${nameOf(other)} from ${count(crossover.tokens)} training tokens on (validation loss${seeds.length > 1 ? `; by seed: ${seeds.join(", ")}` : ", one seed"}).`;
}
