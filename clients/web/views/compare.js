/*
 * Two to six shapes side by side (#/compare?ids=arch_1,arch_2): pictures within the
 * largest, widths by layer in one chart, and a table of differences against the first.
 */
import { h, fill, labelled, select } from "../dom.js";
import { get, all } from "../api.js";
import { Picture, frozen } from "../picture.js";
import { Chart } from "../chart.js";
import { describe, isUniform, totalsOf } from "../cost.js";
import { heading, link, section, sheet, notify, notifyProblem } from "../common.js";
import { SERIES } from "../colors.js";
import { basket, keep, MOST } from "../basket.js";
import { count, percent, bytes, whole, widths } from "../format.js";

/* A shape no narrower than any of them in any layer: what the pictures are drawn within. */
export function hull(shapes) {
    const n = Math.max(...shapes.map((s) => s.layers.length));
    const most = (key) => Math.max(...shapes.flatMap((s) => s.layers.map((l) => l[key])));
    const layer = { q_heads: most("q_heads"), kv_heads: most("kv_heads"), ffn: most("ffn") };
    return { ...shapes[0], hidden_size: Math.max(...shapes.map((s) => s.hidden_size)),
        layers: Array.from({ length: n }, () => layer) };
}

const mean = (shape, key) => shape.layers.reduce((a, l) => a + l[key], 0) / shape.layers.length;

const ROWS = [
    ["Parameters", (c) => c.totals.params, whole], ["Without embedding", (c) => c.totals.params_non_embedding, whole],
    ["FLOPs/token", (c) => c.totals.flops_per_token, count], ["KV cache/token", (c) => c.totals.kv_bytes_per_token, bytes],
    ["Layers", (c) => c.shape.layers.length, whole], ["Hidden size", (c) => c.shape.hidden_size, whole],
    ["Query heads, mean", (c) => mean(c.shape, "q_heads"), (v) => v.toFixed(1)], ["KV heads, mean", (c) => mean(c.shape, "kv_heads"), (v) => v.toFixed(1)],
    ["FFN channels, mean", (c) => mean(c.shape, "ffn"), (v) => v.toFixed(0)],
];

function differences(list) {
    const against = (value, first) => (first ? h("span", { class: "of" }, value === first ? " same" : ` ${value > first ? "+" : "−"}${percent(Math.abs(value / first - 1))}`) : null);
    const numbers = ROWS.map(([name, value, format]) => h("tr", {}, h("th", { scope: "row" }, name),
        list.map((c, i) => h("td", { class: "num", data: { value: value(c) } }, format(value(c)), i ? against(value(c), value(list[0])) : null))));
    const layers = [["Heads by layer (Q/KV)", (l) => `${l.q_heads}/${l.kv_heads}`], ["FFN by layer", (l) => l.ffn]].map(([name, of]) =>
        h("tr", {}, h("th", { scope: "row" }, name), list.map((c) => h("td", { class: "num index" }, widths(c.shape.layers.map(of))))));
    return sheet("Differences", ["Against the first", ...list.map((c) => `#${c.label}`)], [...numbers, ...layers]);
}

function overlay(list, key, title) {
    const chart = new Chart({ title, x: "Layer", y: title, xFormat: (v) => (Number.isInteger(v) ? String(v) : ""), yFormat: (v) => count(v),
        series: list.map((c, i) => ({ label: c.label, color: SERIES[i] })) });
    const n = Math.max(...list.map((c) => c.shape.layers.length));
    chart.set(Array.from({ length: n }, (_, l) => [l, ...list.map((c) => (c.shape.layers[l] ? c.shape.layers[l][key] : null))]));
    return chart;
}

function cards(list, signal) {
    const around = hull(list.map((c) => c.shape));
    return h("div", { class: "cards" }, list.map((c) => {
        const picture = new Picture(frozen(c.shape, around), { label: `${c.label}: ${describe(c.shape)}` });
        picture.mode = "widths";
        signal.addEventListener("abort", () => picture.close());
        return h("article", { class: "card" }, h("h3", {}, c.id ? link(c.id, c.label) : c.label),
            h("p", { class: "hint" }, `${count(c.totals.params)} · ${describe(c.shape)}`), picture.canvas);
    }));
}

/* The human-practice shape of the first, as if it were one of them. */
function withHuman(list) {
    const { human_shape: human, totals } = list[0];
    return human ? [...list, { label: `Human for ${list[0].label}`, shape: human, totals: totalsOf(human, totals.context) }] : list;
}

/* The shapes of now: a page that is on its way to be redrawn is older than its address. */
function chosen(place) {
    const given = place.get("ids");
    return (given ? given.split(",") : basket()).filter(Boolean).slice(0, MOST);
}

function choose(place, ids) {
    place.set("ids", ids.join(","));
    keep(ids);
}

function adder(searches, place, redraw, signal) {
    const search = select(searches.map((s) => [s.id, `${s.name} (${s.id})`]), null, {}), ratio = h("input", { type: "number", min: 0, max: 99, step: 0.1, value: 30 });
    const form = h("form", { class: "controls" }, labelled("Search", search), labelled("Share removed, %", ratio), h("button", { type: "submit", disabled: chosen(place).length >= MOST || !searches.length }, "Add"));
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        try {
            const page = await get(`/v1/searches/${search.value}/shapes`, { ratios: String(ratio.value / 100) }, signal);
            if (!page.items.length) return void notify("The search has not come so far.");
            const id = page.items[0].architecture, ids = chosen(place);
            if (ids.includes(id)) return void notify(`${id} is there already.`);
            choose(place, [...ids, id]);
            redraw();
        } catch (error) { notifyProblem(error); }
    });
    return form;
}

export async function show(page, context) {
    const { place, signal, pulse } = context;
    pulse("live");
    const ids = chosen(place), charts = [];
    signal.addEventListener("abort", () => charts.forEach((c) => c.close()));
    const redraw = () => { charts.splice(0).forEach((c) => c.close()); show(page, context).catch(notifyProblem); };
    const [{ items: searches }, found] = await Promise.all([all("/v1/searches", {}, signal, 200),
        Promise.all(ids.map((id) => get(`/v1/architectures/${encodeURIComponent(id)}`, {}, signal)))]);
    if (ids.join() !== chosen(place).join()) return;
    let list = found.map((a) => ({ ...a, label: `${a.id} (${percent(a.ratio, 0)})` }));
    const human = h("input", { type: "checkbox", id: "human", checked: place.get("human") === "1", on: { change: (e) => { place.set("human", e.target.checked ? "1" : ""); redraw(); } } });
    if (list.length && human.checked) list = withHuman(list);
    const drop = (id) => { choose(place, chosen(place).filter((x) => x !== id)); redraw(); };
    const chips = h("div", { class: "chips" }, ids.map((id) => h("button", { type: "button", class: "small quiet", "aria-label": `Take ${id} out`, on: { click: () => drop(id) } }, `${id} ✕`)));
    const parts = [heading("Compare shapes"), section("Shapes", chips, adder(searches, place, redraw, signal),
        h("label", { class: "check", for: "human" }, human, "With the human-practice shape of the first"))];
    if (list.length >= 2) {
        if (list.some((c) => !isUniform(c.shape)))
            charts.push(overlay(list, "q_heads", "Query heads by layer"), overlay(list, "kv_heads", "KV heads by layer"), overlay(list, "ffn", "FFN channels by layer"));
        parts.push(section("Pictures", cards(list, signal)), section("Differences", differences(list)),
            charts.length ? section("By layer", charts.map((c) => c.element)) : null);
    } else parts.push(h("p", { class: "hint" }, "Set two to six shapes aside: here, in a search’s “Shapes”, or on an architecture’s page."));
    fill(page, parts);
}
