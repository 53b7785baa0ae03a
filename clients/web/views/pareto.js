/*
 * What was reached for what it cost, across all searches, on any two axes: finished runs,
 * and the shapes that searches passed on their way down. The front among them is a line.
 */
import { h, fill, select } from "../dom.js";
import { Chart } from "../chart.js";
import { front } from "../front.js";
import { SERIES } from "../colors.js";
import { axesOf, readRuns, readShapes, readScores } from "../points.js";
import { heading, link, section, sheet, num, notifyProblem } from "../common.js";

const KINDS = [["kept", "Weights kept"], ["fresh", "Re-initialised"], ["human", "Human practice"], ["shape", "On a search’s way down"]];
const SOURCES = { both: "Runs and shapes", runs: "Finished runs", shapes: "Shapes on the way down" };

/* [{ key, label, color }] of the groups, by what kind a point is or by its search. */
function groupsOf(list, by) {
    if (by === "kind") return KINDS.map(([key, label], i) => ({ key, label, color: SERIES[i] })).filter((g) => list.some((p) => p.kind === g.key));
    const names = new Map(list.filter((p) => p.search).map((p) => [p.search, p.searchName]));
    const first = [...names].slice(0, 5).map(([key, label], i) => ({ key, label, color: SERIES[i] }));
    return list.some((p) => !first.some((g) => g.key === p.search)) ? [...first, { key: null, label: "Others", color: "s6" }] : first;
}

const groupOf = (groups, p, by) => (by === "kind" ? groups.find((g) => g.key === p.kind) : groups.find((g) => g.key === p.search) || groups[groups.length - 1]);

function frontTable(best, axes, x, y) {
    const others = Object.keys(axes).filter((k) => k !== x && k !== y && best.some((p) => Number.isFinite(p.values[k]))), columns = [x, y, ...others];
    return sheet("The front", ["Point", "Search", ...columns.map((k) => `#${axes[k].label}`)], best.map((p) => h("tr", {}, h("th", { scope: "row" }, h("span", { class: "clamp", title: p.name }, link(p.id, p.name))),
        h("td", {}, p.search ? h("span", { class: "clamp", title: p.searchName }, link(p.search, p.searchName)) : "–"), columns.map((k) => num(axes[k].format(p.values[k]), p.values[k] ?? null)))));
}

class Plot {
    constructor({ place, signal }) {
        Object.assign(this, { place, signal, list: [] });
        this.box = h("div");
        this.note = h("p", { class: "hint", role: "status" }, "");
        this.holder = h("div");
        this.controls = h("div", { class: "controls" });
        signal.addEventListener("abort", () => this.chart && this.chart.close());
    }

    get(name, options, otherwise) { return options.includes(this.place.get(name)) ? this.place.get(name) : otherwise; }

    choice(name, label, options, value) {
        const id = `pareto_${name}`, control = select(options, value, { id, on: { change: (e) => { this.place.set(name, e.target.value); this.draw(); } } });
        return h("span", { class: "pair" }, h("label", { for: id }, label), control);
    }

    /* More points than before. */
    add(points) { this.list.push(...points); }

    draw() {
        if (this.signal.aborted) return;
        const axes = axesOf(this.list), keys = Object.keys(axes), from = this.get("from", Object.keys(SOURCES), "both"), by = this.get("by", ["kind", "search"], "kind");
        const x = this.get("x", keys, "params"), y = this.get("y", keys.filter((k) => k !== x), x === "validation_loss" ? "params" : "validation_loss");
        const shown = this.list.filter((p) => (from === "both" || (p.kind === "shape") === (from === "shapes")) && Number.isFinite(p.values[x]) && Number.isFinite(p.values[y]))
            .sort((a, b) => a.values[x] - b.values[x]);
        const best = front(shown.map((p) => ({ p, x: p.values[x] * (axes[x].more ? -1 : 1), y: p.values[y] * (axes[y].more ? -1 : 1) }))).map(({ p }) => p);
        const options = keys.map((k) => [k, axes[k].label]);
        fill(this.controls, this.choice("x", "Across", options, x), this.choice("y", "Up", options.filter(([k]) => k !== x), y),
            this.choice("from", "Show", Object.entries(SOURCES), from), this.choice("by", "Colour by", [["kind", "What it is"], ["search", "Search"]], by));
        this.plot(shown, best, axes, { x, y, by });
        fill(this.box, best.length ? frontTable(best, axes, x, y) : null);
        this.note.textContent = shown.length ? `${shown.length} points, ${best.length} on the front: no other point is ${axes[x].better} and ${axes[y].better}.` : "Nothing to show on these axes yet: a run must have finished, or a search have removed something.";
    }

    plot(shown, best, axes, { x, y, by }) {
        const groups = groupsOf(shown, by), inFront = new Set(best);
        const series = [{ label: "Front", color: "text", line: true, step: !axes[x].more }, ...groups.map((g) => ({ label: g.label, color: g.color }))];
        const rows = shown.map((p) => [p.values[x], inFront.has(p) ? p.values[y] : null, ...groups.map((g) => (groupOf(groups, p, by) === g ? p.values[y] : null))]);
        if (this.chart) this.chart.close();
        this.chart = new Chart({ title: `${axes[y].label} against ${axes[x].label}`, x: axes[x].label, y: axes[y].label, points: true, series,
            xFormat: axes[x].format, yFormat: axes[y].format, onPoint: (_, name, i) => { if (shown[i]) location.hash = link(shown[i].id).getAttribute("href"); } });
        fill(this.holder, this.chart.element);
        this.chart.set(rows);
    }
}

export async function show(page, { place, signal, pulse }) {
    pulse("live");
    const plot = new Plot({ place, signal });
    fill(page, heading("Pareto"), section("What was reached for what it cost", plot.controls, plot.holder, plot.note, plot.box));
    const runs = await readRuns(signal);
    plot.add(runs);
    plot.draw();
    const more = [readScores(runs, signal), readShapes(signal, (points) => plot.add(points))];
    await Promise.all(more.map((p) => p.catch(notifyProblem)));
    plot.draw();
}
