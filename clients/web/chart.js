/*
 * Line charts: dygraphs, with the labels, legend and table around it ours.
 *
 *     const chart = new Chart({ title, x: "Tokens", y: "Loss", series: [{ label, color, y2, step, line }] });
 *     chart.set(rows)            rows are [x, y1, y2, ...] in order of x; a gap is null
 *     chart.element, chart.close()
 *
 * Options: y2 (name of the right axis), xFormat, yFormat, y2Format, yTick (labels of the left axis), log, zero (0 is shown), band (every y is
 * [low, middle, high]), points (no lines, but for a series with `line`), onPoint(x, label), group (charts of a group zoom
 * together), zoom ({ get(), set(text) }: where the range that is shown is kept).
 * The library is loaded with the first chart. Where the build had none, the numbers are
 * shown as a table. The legend is a row of switches; the table of numbers is there for
 * everybody, and is how a screen reader reads the chart.
 */
import { h, fill, say } from "./dom.js";
import { color } from "./colors.js";
import { count, score } from "./format.js";
import { saveMenu } from "./save.js";

const FEW = 30;
const axis = (v) => count(v, 4);
/* Fewer digits than a value has: "1e−4", "2.5". */
const tick = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(1).replace(".0e", "e") : score(v)).replaceAll("-", "−");
let library = null;

function load() {
    library ||= new Promise((resolve) => {
        const script = h("script", { src: "/web/lib/dygraph.min.js" });
        document.head.append(h("link", { rel: "stylesheet", href: "/web/lib/dygraph.min.css" }));
        script.addEventListener("load", () => resolve(prepare(globalThis.Dygraph)));
        script.addEventListener("error", () => resolve(null));
        document.head.append(script);
    });
    return library;
}

/* Its own legend writes markup and inline styles; ours does neither. */
function prepare(Dygraph) {
    if (!Dygraph) return null;
    Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);
    return Dygraph;
}

export class Chart {
    constructor(options) {
        this.options = { xFormat: axis, yFormat: score, yTick: tick, y2Format: axis, series: [], ...options };
        this.rows = [];
        this.visible = this.options.series.map(() => true);
        this.plot = h("div", { class: "plot", role: "img", "aria-label": this.summary() });
        this.readout = h("output", { class: "readout" });
        this.legend = h("div", { class: "legend", role: "group", "aria-label": `Lines of ${this.options.title}` });
        this.table = h("details", { class: "numbers" }, h("summary", {}, "Numbers"));
        this.table.addEventListener("toggle", () => this.drawTable());
        this.element = h("figure", { class: "chart" },
            h("figcaption", {}, h("span", { class: "caption" }, this.options.title), this.readout, this.menu()),
            this.legend, this.plot, this.table);
        this.onTheme = () => this.recolor();
        addEventListener("themechange", this.onTheme);
        this.drawLegend();
        this.observer = new ResizeObserver(() => this.dygraph && this.plot.clientWidth && this.dygraph.resize());
        this.observer.observe(this.plot);
    }

    summary() {
        const { title, x, y, series } = this.options;
        return `${title}: ${series.map((s) => s.label).join(", ")} (${y}) over ${x}; the numbers are in the table below`;
    }

    /* Low, middle and high of a band are three columns. */
    menu() {
        const { options } = this, wide = (v) => (options.band ? v || [null, null, null] : [v]);
        const names = () => options.series.flatMap((s) => (options.band ? ["low", "mean", "high"].map((k) => `${s.label} ${k}`) : [s.label]));
        return saveMenu(options.title, {
            rows: () => [[options.x, ...names()], ...this.rows.map(([x, ...ys]) => [x, ...ys.flatMap(wide)])],
            svg: () => import("./chart_svg.js").then(({ chartSvg }) => chartSvg({ ...options, rows: this.rows, xRange: this.dygraph && this.rows.length ? this.dygraph.xAxisRange() : null,
                series: options.series.map((s, i) => ({ ...s, hidden: !this.visible[i] })) })),
        });
    }

    drawLegend() {
        fill(this.legend, this.options.series.map((s, i) => h("label", { class: "key", vars: { "--swatch": `var(--${s.color})` } },
            h("input", { type: "checkbox", checked: this.visible[i], on: { change: (e) => this.show(i, e.target.checked) } }), s.label)));
    }

    show(i, on) {
        this.visible[i] = on;
        if (this.dygraph) this.dygraph.setVisibility(i, on);
    }

    /* Other series than before, with their rows. */
    reset(series, rows) {
        this.options.series = series;
        this.visible = series.map(() => true);
        this.plot.setAttribute("aria-label", this.summary());
        this.drawLegend();
        if (this.dygraph) this.dygraph.destroy();
        this.dygraph = null;
        this.set(rows);
    }

    async set(rows) {
        this.rows = rows;
        this.drawTable();
        if (this.waiting || this.closed) return;
        if (this.dygraph) {
            this.dygraph.updateOptions({ file: this.data(), ...this.marks() });
            return;
        }
        this.waiting = true;
        const Dygraph = await load();
        this.waiting = false;
        if (this.closed || this.dygraph || !this.options.series.length) return;
        if (Dygraph) this.create(Dygraph);
        else this.without();
    }

    data() { return this.rows.length ? this.rows : [[0, ...this.options.series.map(() => null)]]; }

    create(Dygraph) {
        const { options } = this;
        const each = Object.fromEntries(options.series.map((s) => [s.label, { ...(s.y2 ? { axis: "y2" } : {}), stepPlot: Boolean(s.step), ...(s.line ? { strokeWidth: 1.25, pointSize: 0, drawPoints: false } : {}) }]));
        this.dygraph = new Dygraph(this.plot, this.data(), {
            labels: [options.x, ...options.series.map((s) => s.label)],
            series: each, xlabel: options.x, ylabel: options.y, y2label: options.y2 || "", xLabelHeight: 16, yLabelWidth: 16, visibility: this.visible, legend: "never",
            logscale: Boolean(options.log), customBars: Boolean(options.band), connectSeparatedPoints: true,
            strokeWidth: options.points ? 0 : 1.75, pointSize: options.points ? 4 : 2.5, ...this.marks(),
            highlightCircleSize: 4, fillAlpha: 0.18, animatedZooms: false, rightGap: 8, xRangePad: options.points ? 14 : 4, yRangePad: options.points ? 12 : 4, includeZero: Boolean(options.zero),
            underlayCallback: (canvas, area, dygraph) => { if (options.zero) drawZero(canvas, area, dygraph.toDomYCoord(0)); },
            highlightCallback: (_, x, points) => this.read(x, points),
            unhighlightCallback: () => say(this.readout, ""),
            pointClickCallback: (_, point) => options.onPoint && options.onPoint(point.xval, point.name, point.idx),
            zoomCallback: (low, high) => this.spread(low, high), ...this.zoomed(),
            axes: {
                x: { valueFormatter: (v) => options.xFormat(v), axisLabelFormatter: (v) => options.xFormat(v), axisLabelWidth: 62, pixelsPerLabel: 66 },
                y: { axisLabelFormatter: (v) => options.yTick(v), axisLabelWidth: 52 },
                y2: { axisLabelFormatter: (v) => options.y2Format(v), axisLabelWidth: 52, independentTicks: true, drawGrid: false },
            },
            ...this.colors(),
        });
        if (options.group) options.group.add(this);
    }

    /* A few points are shown as such: one alone would make no line. */
    marks() { return { drawPoints: Boolean(this.options.points) || this.rows.length <= FEW }; }

    colors() {
        return {
            colors: this.options.series.map((s) => color(s.color)),
            gridLineColor: color("grid"), axisLineColor: color("line"),
            highlightSeriesBackgroundColor: color("surface"),
        };
    }

    recolor() { if (this.dygraph) this.dygraph.updateOptions(this.colors()); }

    read(x, points) {
        const { options } = this, format = new Map(options.series.map((s) => [s.label, s.y2 ? options.y2Format : options.yFormat]));
        say(this.readout, `${options.x} ${options.xFormat(x)} · ` +
            points.map((p) => `${p.name} ${format.get(p.name)(p.yval)}`).join(" · "));
    }

    /* The range that the address names, "1000~5000". */
    zoomed() {
        const ends = String((this.options.zoom && this.options.zoom.get()) || "").split("~").map(Number);
        return ends.length === 2 && ends[0] < ends[1] ? { dateWindow: ends } : {};
    }

    spread(low, high) {
        const all = this.dygraph.xAxisExtremes();
        if (this.options.zoom) this.options.zoom.set(low <= all[0] && high >= all[1] ? "" : `${Math.round(low)}~${Math.round(high)}`);
        for (const other of this.options.group || [])
            if (other !== this && other.dygraph) other.dygraph.updateOptions({ dateWindow: [low, high] });
    }

    setLog(on) {
        this.options.log = on;
        if (this.dygraph) this.dygraph.updateOptions({ logscale: on });
    }

    without() {
        this.plot.classList.add("absent");
        this.plot.setAttribute("role", "note");
        say(this.plot, "This build has no chart library (package libjs-dygraphs); the numbers are below.");
        this.table.open = true;
    }

    /* At most 200 rows, evenly taken. */
    drawTable() {
        if (!this.table.open) return;
        const { options } = this, every = Math.max(1, Math.ceil(this.rows.length / 200));
        const middle = (v) => (Array.isArray(v) ? v[1] : v);
        const rows = this.rows.filter((_, i) => i % every === 0 || i === this.rows.length - 1);
        fill(this.table, h("summary", {}, "Numbers"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers of ${options.title}` },
            h("table", {},
                h("thead", {}, h("tr", {}, h("th", { scope: "col" }, options.x), options.series.map((s) => h("th", { scope: "col" }, s.label)))),
                h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, options.xFormat(row[0])),
                    options.series.map((s, i) => h("td", {}, (s.y2 ? options.y2Format : options.yFormat)(middle(row[i + 1]))))))))));
    }

    close() {
        this.closed = true;
        removeEventListener("themechange", this.onTheme);
        this.observer.disconnect();
        if (this.options.group) this.options.group.delete(this);
        if (this.dygraph) this.dygraph.destroy();
        this.dygraph = null;
    }
}

function drawZero(canvas, area, y) {
    if (!(y >= area.y && y <= area.y + area.h)) return;
    canvas.strokeStyle = color("field");
    canvas.beginPath();
    canvas.moveTo(area.x, Math.round(y) + 0.5);
    canvas.lineTo(area.x + area.w, Math.round(y) + 0.5);
    canvas.stroke();
}

/* Series [{ points: [[x, y], ...] }, ...] as rows over the union of their x. */
export function merge(series) {
    const rows = new Map();
    series.forEach(({ points }, i) => points.forEach(([x, y]) => {
        if (!rows.has(x)) rows.set(x, [x, ...series.map(() => null)]);
        rows.get(x)[i + 1] = y;
    }));
    return [...rows.values()].sort((a, b) => a[0] - b[0]);
}
