/*
 * Numbers for people. Absent values (null, undefined, NaN) are an en dash everywhere.
 */
export const NONE = "–";
const GAP = "\u00a0"; /* a number and its unit stay on one line */

const absent = (x) => x === null || x === undefined || Number.isNaN(x);

function scaled(x, base, units, gap, digits) {
    let i = 0, v = Math.abs(x);
    while (v >= base && i < units.length - 1) { v /= base; i++; }
    if (Number(v.toPrecision(digits)) >= base && i < units.length - 1) { v /= base; i++; }
    const text = i === 0 && Number.isInteger(v) ? String(v) : Number(v.toPrecision(digits)).toString();
    return (x < 0 ? "−" : "") + text + (units[i] ? gap + units[i] : "");
}

/* 1234567 -> "1.23 M" */
export function count(x, digits = 3) {
    return absent(x) ? NONE : scaled(Number(x), 1000, ["", "K", "M", "G", "T", "P"], GAP, digits);
}

/* 1536 -> "1.5 KiB" */
export function bytes(x) {
    return absent(x) ? NONE : scaled(Number(x), 1024, ["B", "KiB", "MiB", "GiB", "TiB"], GAP, 3);
}

/* 1234567 -> "1,234,567" */
export function whole(x) {
    return absent(x) ? NONE : Math.round(x).toLocaleString("en-US");
}

/* 0.4213 -> "42.1 %" */
export function percent(x, digits = 1) {
    return absent(x) ? NONE : `${(x * 100).toFixed(digits)}${GAP}%`;
}

export function fixed(x, digits = 3) {
    return absent(x) ? NONE : Number(x).toFixed(digits).replace("-", "−");
}

/* With its sign, for differences. */
export function signed(x, digits = 4) {
    return absent(x) ? NONE : (x > 0 ? "+" : "") + fixed(x, digits);
}

/* Small scores: three digits, in powers of ten when that is shorter. */
export function score(x) {
    if (absent(x)) return NONE;
    const v = Math.abs(x);
    return v !== 0 && (v < 1e-3 || v >= 1e5) ? x.toExponential(2) : Number(x.toPrecision(3)).toString();
}

/* 3725 -> "1 h 2 min" */
export function duration(seconds) {
    if (absent(seconds) || seconds < 0) return NONE;
    const s = Math.round(seconds);
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/* An RFC 3339 time as "5 min ago". */
export function ago(time, now = Date.now()) {
    if (absent(time)) return NONE;
    const s = (now - Date.parse(time)) / 1000;
    if (Number.isNaN(s)) return NONE;
    return s < 5 ? "now" : s < 3600 && s >= 60 ? `${Math.floor(s / 60)} min ago` : `${duration(s)} ago`;
}

export function clock(time) {
    const date = new Date(time);
    return absent(time) || Number.isNaN(date.getTime()) ? NONE : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/* [8, 8, 8, 6] -> "8 ×3, 6"; for the widths of layers. */
export function widths(list) {
    const parts = [];
    for (let i = 0; i < list.length;) {
        let n = 1;
        while (list[i + n] === list[i]) n++;
        parts.push(n > 1 ? `${list[i]} ×${n}` : String(list[i]));
        i += n;
    }
    return parts.join(", ");
}

/* "1_000_000", "1M", "2.5k" -> a number; NaN when it is none. */
export function readCount(text) {
    const m = /^\s*([0-9][0-9_, ]*(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([kmgbt]?)\s*$/i.exec(String(text));
    if (!m) return NaN;
    const unit = { "": 1, k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 }[m[2].toLowerCase()];
    return Math.round(Number(m[1].replace(/[_, ]/g, "")) * unit);
}
