/*
 * A search as it goes: loss and parameters on one axis of tokens; the lowest saliency of
 * every type (the figure of the paper) and the share of every type that is gone (its
 * other half); the log of removals. The three charts zoom together.
 */
import { h, fill, throttle } from "../dom.js";
import { get } from "../api.js";
import { Chart, merge } from "../chart.js";
import { continued, insistently } from "../reader.js";
import { section, sheet, num } from "../common.js";
import { TYPES, TYPE_NAMES } from "../colors.js";
import { count, percent, score, fixed, whole, widths } from "../format.js";

const POINTS = 1200, LOG_ROWS = 200;
const typeSeries = (step) => TYPES.map((type) => ({ label: TYPE_NAMES[type], color: type, step }));

/* At most about POINTS rows, the last always among them. */
function thin(rows) {
    const every = Math.ceil(rows.length / POINTS);
    return every < 2 ? rows : rows.filter((_, i) => i % every === 0 || i === rows.length - 1);
}

export function logRow(removal) {
    const lowest = removal.min_score ? removal.min_score[removal.type] : null;
    return h("tr", {}, num(whole(removal.ordinal), removal.ordinal), num(count(removal.tokens), removal.tokens),
        h("td", { class: "when" }, h("span", { class: "swatch", vars: { "--swatch": `var(--${removal.type})` } }), removal.type),
        h("td", {}, removal.layer === -1 ? "every" : String(removal.layer)),
        h("td", { class: "index", data: { value: removal.index.join(" ") } }, widths(removal.index.slice(0, 12)) + (removal.index.length > 12 ? ", …" : "")),
        num(score(lowest), lowest), num(score(removal.runner_up), removal.runner_up), num(whole(removal.params), removal.params));
}

function removalLog(trajectory) {
    const body = h("tbody");
    let last = -1, kind = "";
    const filter = h("select", { id: "log_type", on: { change: (e) => { kind = e.target.value; last = -1; draw(); } } },
        h("option", { value: "" }, "All types"), TYPES.map((t) => h("option", { value: t }, TYPE_NAMES[t])));
    const note = h("p", { class: "hint" });
    const draw = () => {
        const { removals } = trajectory;
        if (removals.length === last) return;
        last = removals.length;
        const rows = [];
        for (let i = removals.length - 1; i >= 0 && rows.length < LOG_ROWS; i--)
            if (!kind || removals[i].type === kind) rows.push(logRow(removals[i]));
        fill(body, rows);
        note.textContent = removals.length ? `The newest ${rows.length} of ${whole(removals.length)}.` : "Nothing has been removed yet.";
    };
    const head = ["#No.", "#Tokens", "Type", "Layer", "Source index", "#Lowest score", "#Runner-up", "#Parameters"];
    return { draw, element: section("Removals", h("div", { class: "controls" }, h("label", { for: "log_type" }, "Type"), filter), note,
        sheet("Removal log", head, body, { class: "log" })) };
}

class LossChart {
    constructor(item, group, zoom) {
        this.item = item;
        this.chart = new Chart({ title: "Loss and parameters", x: "Tokens", y: "Loss", yFormat: (v) => fixed(v, 2), group, series: [
            { label: "Loss", color: "s1" }, { label: "Validation loss", color: "s2" }, { label: "Parameters", color: "s3", y2: true, step: true }], y2: "Parameters", zoom });
        this.rows = [];
        this.draw = throttle(() => this.chart.set(this.rows), 500);
    }

    async read(signal) {
        const answer = await get(`/v1/searches/${this.item.id}/metrics`, { keys: "loss,validation_loss,params", x: "tokens", max_points: POINTS }, signal);
        const of = (key) => answer.series.find((s) => s.key === key) || { points: [] };
        this.rows = continued(merge([of("loss"), of("validation_loss"), of("params")]), this.rows);
        this.draw();
    }

    hear({ type, data }) {
        const last = this.rows.length ? this.rows[this.rows.length - 1] : [-1];
        if (type === "step" && data.tokens > last[0]) this.rows.push([data.tokens, data.loss, null, data.params ?? null]);
        else if (type === "validation" && data.tokens === last[0]) last[2] = data.loss;
        else if (type === "validation" && data.tokens > last[0]) this.rows.push([data.tokens, null, data.loss, null]);
        else return;
        this.draw();
    }
}

export async function pane(body, { item, trajectory, place, signal }) {
    const zoom = { get: () => place.get("zoom"), set: (text) => place.set("zoom", text) };
    const group = new Set(), loss = new LossChart(item, group, zoom);
    const saliency = new Chart({ title: "Lowest saliency of each type", x: "Tokens", y: "Score", yFormat: score, series: typeSeries(false), group, zoom, log: true });
    const pruned = new Chart({ title: "Share of each type removed", x: "Tokens", y: "Share", yFormat: (v) => percent(v, 0), yTick: (v) => percent(v, 0), series: typeSeries(true), group, zoom });
    const log = h("label", { class: "check", for: "log_axis" },
        h("input", { type: "checkbox", id: "log_axis", checked: true, on: { change: (e) => saliency.setLog(e.target.checked) } }), "Logarithmic scores");
    const removals = removalLog(trajectory);
    const draw = () => {
        const list = trajectory.removals;
        if (list.length) {
            const shares = trajectory.replay.prunedShares();
            saliency.set(thin(list.map((r) => [r.tokens, ...TYPES.map((t) => (r.min_score ? r.min_score[t] : null))])));
            pruned.set(thin(list.map((r, i) => [r.tokens, ...TYPES.map((t) => shares[i][t])])));
        }
        removals.draw();
    };
    const later = throttle(draw, 800);
    trajectory.listeners.add(later);
    signal.addEventListener("abort", () => {
        trajectory.listeners.delete(later);
        [loss.chart, saliency, pruned].forEach((c) => c.close());
    });
    fill(body, section("Course", loss.chart.element, h("p", { class: "hint" }, "Drag over a chart to zoom all three, double-click to see everything again. The zoom is part of this page’s link.")),
        h("div", { class: "two" }, section("What goes next", saliency.element, log), section("What is gone", pruned.element)), removals.element);
    draw();
    return { hear: (event) => loss.hear(event), again: insistently(() => loss.read(signal)), ready: loss.read(signal) };
}
