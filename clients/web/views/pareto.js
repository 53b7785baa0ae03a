/*
 * Finished runs by what they cost and what they reached, the front among them, and the
 * course of searches as a line behind.
 */
import { h, fill, select } from "../dom.js";
import { get, all } from "../api.js";
import { Chart } from "../chart.js";
import { front } from "../front.js";
import { totalsOf } from "../cost.js";
import { heading, link, section, sheet, num, notifyProblem } from "../common.js";
import { count, bytes, fixed } from "../format.js";

const COSTS = {
    params: ["Parameters", count], flops_per_token: ["FLOPs/token", count], kv_bytes_per_token: ["KV cache/token", bytes],
};
const GROUPS = [["inherit", "Weights kept", "s1"], ["reinit", "Re-initialised", "s2"], ["front", "Front", "s4"]];

const MOST = 500;

async function points(signal) {
    const { items } = await all("/v1/runs", { state: "succeeded" }, signal, MOST);
    return items.filter((r) => Number.isFinite(r.validation_loss)).map((run) => ({ run, totals: { params: run.params }, y: run.validation_loss }));
}

/* Other costs than parameters need the shape, which a list comes without. */
async function complete(list, signal) {
    const todo = list.filter((p) => !p.whole);
    const work = async () => {
        for (let p = todo.shift(); p; p = todo.shift()) {
            const run = await get(`/v1/runs/${p.run.id}`, {}, signal);
            p.totals = totalsOf(run.shape, (run.recipe && run.recipe.sequence_length) || 0);
            p.whole = true;
        }
    };
    await Promise.all([work(), work(), work(), work()]);
}

function rowsOf(list, best) {
    const inFront = new Set(best);
    return list.map((p) => [p.x, p.run.init === "inherit" ? p.y : null, p.run.init === "reinit" ? p.y : null, inFront.has(p) ? p.y : null]);
}

function table(best, name, format) {
    return sheet("The front", ["Run", "Shape", "Weights", `#${name}`, "#Tokens", "#Validation loss"], best.map((p) =>
        h("tr", {}, h("th", { scope: "row" }, link(p.run.id, p.run.name || p.run.id)), h("td", {}, link(p.run.architecture)),
            h("td", {}, p.run.init), num(format(p.x)), num(count(p.run.tokens)), num(fixed(p.y, 4)))));
}

/* Loss against parameters along one search, while it pruned. */
async function course(id, signal) {
    const { series } = await get(`/v1/searches/${id}/metrics`, { keys: "loss,params", x: "step", max_points: 600 }, signal);
    const of = (key) => new Map(((series.find((s) => s.key === key) || {}).points || []));
    const loss = of("loss"), params = of("params");
    return [...loss].filter(([x]) => params.has(x)).map(([x, y]) => [params.get(x), y]).sort((a, b) => a[0] - b[0]);
}

function courseSection(searches, place, signal, charts) {
    if (!searches.length) return null;
    const chart = new Chart({ title: "Training loss by parameters left", x: "Parameters", y: "Loss", yFormat: (v) => fixed(v, 3), series: [{ label: "Loss", color: "s1" }] });
    charts.push(chart);
    const draw = (id) => course(id, signal).then((rows) => chart.set(rows)).catch(notifyProblem);
    const first = place.get("search") || (searches.find((s) => Number.isFinite(s.loss)) || searches[0]).id;
    const choice = select(searches.map((s) => [s.id, `${s.name} (${s.id})`]), first, { id: "course_of", on: { change: (e) => { place.set("search", e.target.value); draw(e.target.value); } } });
    draw(first);
    return section("On the way down", h("div", { class: "controls" }, h("label", { for: "course_of" }, "Search"), choice), chart.element);
}

export async function show(page, { place, signal, pulse }) {
    pulse("live");
    const charts = [];
    signal.addEventListener("abort", () => charts.forEach((c) => c.close()));
    const [list, { items: searches }] = await Promise.all([points(signal), all("/v1/searches", {}, signal, 200)]);
    let cost = COSTS[place.get("cost")] ? place.get("cost") : "params", shown = [];
    const box = h("div"), chart = new Chart({ title: "Validation loss against cost", x: "Cost", y: "Validation loss", points: true, yFormat: (v) => fixed(v, 3),
        xFormat: (v) => COSTS[cost][1](v), series: GROUPS.map(([, label, color]) => ({ label, color })),
        onPoint: (x, _, i) => { if (shown[i]) location.hash = `#/runs/${shown[i].run.id}`; } });
    charts.push(chart);
    const draw = async () => {
        if (cost !== "params") await complete(list, signal);
        shown = list.map((p) => ({ ...p, x: p.totals[cost] })).sort((a, b) => a.x - b.x);
        const best = front(shown);
        chart.set(rowsOf(shown, best));
        fill(box, best.length ? table(best, ...COSTS[cost]) : h("p", { class: "hint" }, "No run has finished yet."));
    };
    const choice = select(Object.entries(COSTS).map(([k, [t]]) => [k, t]), cost, { id: "cost", on: { change: (e) => { cost = e.target.value; place.set("cost", cost); draw().catch(notifyProblem); } } });
    fill(page, heading("Pareto"), section("Finished runs", h("div", { class: "controls" }, h("label", { for: "cost" }, "Cost"), choice),
        chart.element, h("h3", {}, "The front: nothing is smaller and better"), box), courseSection(searches, place, signal, charts));
    await draw();
}
