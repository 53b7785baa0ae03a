/*
 * A chart as an SVG file of its own: white ground and the light colours, as papers want
 * them, with axes, legend and title. Drawn from the same rows as the chart on the page.
 *
 *     chartSvg({ title, x, y, y2, series, rows, xRange, yRange, y2Range, log, band, points, xFormat, ... })
 */
import { lightColor } from "./colors.js";

const W = 760, H = 420, LEFT = 72, TOP = 64, BOTTOM = 52;

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/* Round numbers that cut [low, high] into about n pieces. */
export function ticks(low, high, n = 6) {
    if (!(high > low)) return [low];
    const raw = (high - low) / n, ten = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * ten).find((s) => s >= raw * (1 - 1e-9));
    const list = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) list.push(Number((k * step).toPrecision(12)));
    return list;
}

/* Powers of ten within, with 2 and 5 when they are few. */
export function logTicks(low, high) {
    const list = [], from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high));
    for (let e = from; e <= to; e++) for (const m of to - from > 3 ? [1] : [1, 2, 5]) list.push(Number(`${m}e${e}`));
    const inside = list.filter((v) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
    return inside.length > 1 ? inside : ticks(low, high, 4).filter((v) => v > 0);
}

const scale = ([low, high], a, b, log) => {
    const f = log ? Math.log : (v) => v, span = f(high) - f(low) || 1;
    return (v) => a + ((f(v) - f(low)) / span) * (b - a);
};

const at = (n) => n.toFixed(1);
const middle = (v) => (Array.isArray(v) ? v[1] : v);

function text(x, y, content, more = "") {
    return `<text x="${at(x)}" y="${at(y)}" ${more}>${escape(content)}</text>`;
}

function axes(o, px, py, right) {
    const parts = [], ys = o.log ? logTicks(...o.yRange) : ticks(...o.yRange);
    for (const v of ys) parts.push(`<path d="M${LEFT} ${at(py(v))}H${right}" stroke="#e3e6e4"/>`, text(LEFT - 8, py(v) + 4, o.yTick(v), "text-anchor=\"end\""));
    for (const v of ticks(...o.xRange, 7)) parts.push(`<path d="M${at(px(v))} ${H - BOTTOM}v5" stroke="#8a9298"/>`, text(px(v), H - BOTTOM + 20, o.xFormat(v), "text-anchor=\"middle\""));
    parts.push(`<path d="M${LEFT} ${TOP}V${H - BOTTOM}H${right}" fill="none" stroke="#8a9298"/>`, text((LEFT + right) / 2, H - 10, o.x, "text-anchor=\"middle\""),
        text(0, 0, o.y, `text-anchor="middle" transform="translate(16 ${(TOP + H - BOTTOM) / 2}) rotate(-90)"`));
    return parts.join("\n");
}

/* The points of a series, in pieces between gaps that are meant (NaN); nulls are passed over. */
function pieces(rows, i, px, py) {
    return rows.filter((row) => Number.isFinite(middle(row[i + 1]))).map((row) => [px(row[0]), py(middle(row[i + 1])), row[i + 1]]);
}

function line(o, s, i, px, py) {
    const p = pieces(o.rows, i, px, py), color = lightColor(s.color), parts = [];
    if (o.band && p.length > 1)
        parts.push(`<path d="M${[...p.map(([x, , v]) => `${at(x)} ${at(py(v[2]))}`), ...[...p].reverse().map(([x, , v]) => `${at(x)} ${at(py(v[0]))}`)].join("L")}Z" fill="${color}" fill-opacity="0.18"/>`);
    if ((!o.points || s.line) && p.length > 1) parts.push(`<path d="M${p.map(([x, y], k) => `${s.step && k ? `${at(x)} ${at(p[k - 1][1])}L` : ""}${at(x)} ${at(y)}`).join("L")}" fill="none" stroke="${color}" stroke-width="1.6" stroke-linejoin="round"/>`);
    if (!s.line && (o.points || p.length < 31)) parts.push(...p.map(([x, y]) => `<circle cx="${at(x)}" cy="${at(y)}" r="${o.points ? 4 : 2.5}" fill="${color}"/>`));
    return parts.join("\n");
}

function legend(series) {
    let x = LEFT;
    return series.map((s) => {
        const part = `<rect x="${x}" y="${TOP - 24}" width="12" height="12" rx="2" fill="${lightColor(s.color)}"/>${text(x + 18, TOP - 14, s.label)}`;
        x += 34 + s.label.length * 7;
        return part;
    }).join("\n");
}

/* The least and the largest of what is shown, with a little room. */
export function rangeOf(rows, which, log) {
    const values = rows.flatMap((row) => which.flatMap((i) => row[i + 1])).filter((v) => Number.isFinite(v) && (!log || v > 0));
    if (!values.length) return [0, 1];
    let low = Infinity, high = -Infinity;
    for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
    if (low === high) return [low - Math.abs(low) * 0.1 - 1e-12, high + Math.abs(high) * 0.1 + 1e-12];
    return log ? [low / 1.1, high * 1.1] : [low - (high - low) * 0.03, high + (high - low) * 0.03];
}

export function chartSvg(options) {
    const shown = options.series.map((s, i) => ({ s, i })).filter(({ s }) => !s.hidden);
    const left = shown.filter(({ s }) => !s.y2).map(({ i }) => i), second = shown.filter(({ s }) => s.y2).map(({ i }) => i);
    const rows = options.rows.filter(([x]) => !options.xRange || (x >= options.xRange[0] && x <= options.xRange[1]));
    const xs = rows.map(([x]) => x), right = W - (second.length ? 76 : 20);
    const o = { ...options, rows, xRange: options.xRange || [xs[0] ?? 0, xs[xs.length - 1] ?? 1], yRange: rangeOf(rows, left, options.log) };
    const px = scale(o.xRange, LEFT, right), py = scale(o.yRange, H - BOTTOM, TOP, o.log), range2 = rangeOf(rows, second), py2 = scale(range2, H - BOTTOM, TOP);
    const axis2 = second.length ? ticks(...range2).map((v) => text(right + 8, py2(v) + 4, o.y2Format(v))).join("\n") : "";
    return [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W} ${H}" width="${W}" height="${H}" font-family="system-ui, sans-serif" font-size="12" fill="#1b2126">`,
        `<rect width="${W}" height="${H}" fill="#ffffff"/>`, text(LEFT, 22, o.title, "font-size=\"15\" font-weight=\"600\""), legend(shown.map(({ s }) => s)), axes(o, px, py, right), axis2,
        ...shown.map(({ s, i }) => line(o, s, i, px, s.y2 ? py2 : py)), "</svg>\n"].filter(Boolean).join("\n");
}
