/*
 * The picture of a shape as an SVG file of its own, in the light colours: what picture.js
 * draws, of the same replay. Channels that stand alike side by side are one rectangle.
 */
import { lightColor } from "./colors.js";

const W = 900, LABEL = 34, GAP = 14, TOP = 44, ROW = 22;

const rect = (x, y, w, h, fill) => `<rect x="${x.toFixed(2)}" y="${y}" width="${w.toFixed(2)}" height="${h}" fill="${fill}"/>`;
const mix = (a, b, level) => `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * level)).join(",")})`;
const parse = (name) => lightColor(name).match(/[\d.]+/g).slice(0, 3).map(Number);

function channels(bins, width, packed, x, y, w, high, full, ghost) {
    const edge = (width / bins.width) * bins.n, step = w / bins.n, parts = [];
    const level = (i) => Math.round(8 * (packed ? Math.max(0, Math.min(1, edge - i)) : bins.level(i))) / 8;
    for (let i = 0; i < bins.n;) {
        const from = i, here = level(i);
        while (i < bins.n && level(i) === here) i++;
        parts.push(rect(x + from * step, y, (i - from) * step, high, mix(ghost, full, here)));
    }
    return parts;
}

function cells(alive, n, most, x, y, w, high, there, ghost) {
    const step = w / most;
    return [...alive].map((on, i) => rect(x + i * step, y, Math.max(0.6, step - (step > 4 ? 1 : 0)), high, (n < 0 ? on : i < n) ? there : ghost));
}

export function pictureSvg(replay, packed, title) {
    const room = W - LABEL - GAP, heads = room * 0.36, x = LABEL + heads + GAP, high = ROW - 3;
    const ghost = lightColor("ghost"), dim = parse("ghost"), longest = (lists) => Math.max(...lists.map((l) => l.length));
    const most = { q: longest(replay.queryAlive), kv: longest(replay.kvAlive), ffn: Math.max(...replay.ffnBins.map((b) => b.width)) };
    const parts = channels(replay.stemBins, replay.hidden, packed, LABEL, 4, W - LABEL, 14, parse("stem"), dim);
    for (let l = 0; l < replay.n; l++) {
        const y = TOP + l * ROW, split = Math.round(high * 0.7);
        parts.push(`<text x="8" y="${y + 13}">${l}</text>`, ...cells(replay.queryAlive[l], packed ? replay.q[l] : -1, most.q, LABEL, y, heads, split, lightColor("heads"), ghost),
            ...cells(replay.kvAlive[l], packed ? replay.kv[l] : -1, most.kv, LABEL, y + split, heads, high - split, lightColor("kv"), ghost),
            ...channels(replay.ffnBins[l], replay.ffn[l], packed, x, y, ((W - x) * replay.ffnBins[l].width) / most.ffn, high, parse("ffn"), dim));
    }
    const H = TOP + replay.n * ROW + 4;
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W} ${H}" width="${W}" height="${H}" font-family="system-ui, sans-serif" font-size="11" fill="#555f68">
<title>${title.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`)}</title>
<rect width="${W}" height="${H}" fill="#ffffff"/>
<text x="2" y="14">stem</text><text x="${LABEL}" y="${TOP - 6}">query heads over KV heads</text><text x="${x}" y="${TOP - 6}">FFN channels</text>
${parts.join("\n")}
</svg>
`;
}
