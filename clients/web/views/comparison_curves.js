/*
 * The curves of a comparison: loss by arm with the band over seeds, and the difference of two
 * arms along the way with its interval. Both on the tokens that the budget rule counts; the
 * rule, the kind of loss and the pair are in the address.
 */
import { h, fill, select } from "../dom.js";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { armRows, below, paired, smooth } from "../arms.js";
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
        this.chart = new Chart({ title: "Loss by arm", x: "Tokens", y: "Loss", yFormat: (v) => fixed(v, 3), band: true,
            series: this.arms.map((a) => ({ label: nameOf(a), color: COLORS[a] || "s4" })) });
        this.gap = new Chart({ title: "Difference of the two arms", x: "Tokens", y: "Difference of loss", yFormat: (v) => signed(v, 3), band: true, zero: true, series: [{ label: "Mean, 95 % interval", color: "s4" }] });
        this.note = h("p", { class: "lead", role: "status" });
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
    async read() {
        const key = this.key || "validation_loss";
        const points = await Promise.all(this.item.arms.map((a) => get(`/v1/runs/${a.run}/metrics`, { keys: key, x: "tokens", max_points: 300 }, this.signal)
            .then((m) => (m.series[0] ? m.series[0].points : []), () => [])));
        if (!this.key && points.every((p) => p.length < 3)) {
            this.key = this.keys.value = "loss";
            return this.read();
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
        const [a, b] = this.pair.split("-"), { rows, n } = paired(this.counted(a), this.counted(b));
        this.gap.set(rows);
        fill(this.note, verdict(nameOf(a), nameOf(b), rows, n));
    }
}

/* Where one arm comes to lie below the other, in words. */
export function verdict(a, b, rows, n) {
    if (!n) return "Neither arm has a seed in common with the other yet.";
    if (!rows.length) return "The two arms have no tokens in common under this rule.";
    const mean = below(rows, 1), sure = n > 1 ? below(rows, 2) : null, start = rows[0][0];
    const from = (x) => (x === start ? "over all of these curves" : `from ${count(x)} tokens on`);
    if (mean === null) return `${a} is not below ${b} at the end of these curves.`;
    return `${a} stays below ${b} ${from(mean)}${n < 2 ? "; one seed, so no interval" : sure === null ? `; the 95 % interval over ${n} seeds still holds zero at the end` : `; with 95 % confidence (${n} seeds) ${from(sure)}`}.`;
}
