/*
 * How a search came to its shapes: at every snapshot how the scores of each layer's units
 * were spread and how much each layer does; and whether another search from the same source
 * agrees about which units go.
 */
import { h, svg, fill, select } from "../dom.js";
import { all, get, offers } from "../api.js";
import { section, sheet, num, notifyProblem } from "../common.js";
import { TYPES, TYPE_NAMES } from "../colors.js";
import { fixed, percent, score, whole } from "../format.js";

const WIDTH = 180, HEIGHT = 16;

/* Where on a line of powers of ten a score stands. */
function scaleOf(lists) {
    const given = lists.flat().filter((v) => v > 0), low = Math.log10(Math.min(...given)), high = Math.log10(Math.max(...given));
    return (v) => 3 + ((Math.log10(v) - low) / (high - low || 1)) * (WIDTH - 6);
}

/* Tenth to nine tenths as a line, the middle half as a box, the median as a stroke. */
function spread(quantiles, at, type, px, label) {
    const of = (q) => quantiles[at.indexOf(q)], known = [0.1, 0.25, 0.5, 0.75, 0.9].map(of);
    if (!known.every((v) => v > 0)) return "–";
    const [a, b, c, d, e] = known.map(px), y = HEIGHT / 2, r = (v) => v.toFixed(1);
    return svg("svg", { class: `box is-${type}`, width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
        svg("path", { d: `M${r(a)} ${y}H${r(e)}` }), svg("rect", { x: r(b), y: 3, width: r(Math.max(1, d - b)), height: HEIGHT - 6 }), svg("path", { class: "median", d: `M${r(c)} 1V${HEIGHT - 1}` }));
}

function layerTable(note) {
    const at = note.quantiles || [], types = ["heads", "ffn"].filter((t) => (note[t] || []).some((q) => Array.isArray(q) && q.some((v) => v > 0)));
    const px = Object.fromEntries(types.map((t) => [t, scaleOf(note[t])])), median = (t, l) => (note[t][l] || [])[at.indexOf(0.5)];
    const n = Math.max(...[note.influence, note.heads, note.ffn].map((list) => (list || []).length));
    const rows = Array.from({ length: n }, (_, l) => h("tr", {}, h("th", { scope: "row" }, String(l)), num(fixed((note.influence || [])[l], 4), (note.influence || [])[l] ?? null),
        types.flatMap((t) => [num(score(median(t, l)), median(t, l) ?? null), h("td", {}, spread(note[t][l] || [], at, t, px[t], `${TYPE_NAMES[t]} of layer ${l}: median ${score(median(t, l))}`))])));
    return sheet("Scores by layer", ["Layer", "#Influence", ...types.flatMap((t) => [`#${TYPE_NAMES[t]}, median`, ""])], rows, { unnamed: "Spread" });
}

async function agreement(item, signal) {
    if (!await offers("GET", "/v1/searches/{id}/stability")) return null;
    const { items } = await all("/v1/searches", {}, signal, 200), others = items.filter((s) => s.id !== item.id && s.params_source === item.params_source && s.removals).sort((a, b) => b.ratio - a.ratio);
    if (!others.length) return section("Agreement", h("p", { class: "hint" }, "With another search from the same source, for instance a fork with another seed, this shows whether both removed the same units."));
    const box = h("div", { role: "status" }), ratio = h("input", { type: "number", id: "agree_at", min: 1, max: 99, value: Math.max(1, Math.floor(100 * Math.min(0.5, item.ratio, others[0].ratio))) });
    let asked = 0;
    const draw = async () => {
        const mine = ++asked;
        try {
            const told = await get(`/v1/searches/${item.id}/stability`, { against: against.value, ratio: String(ratio.value / 100) }, signal);
            if (mine !== asked) return;
            fill(box, sheet("Agreement of two searches", ["Type", "#Units", "#Left in each", "#Overlap", "#By chance", "#Rank correlation"], TYPES.filter((t) => told[t]).map((t) => {
                const a = told[t];
                return h("tr", {}, h("th", { scope: "row" }, TYPE_NAMES[t]), num(whole(a.units), a.units), num((a.survive || []).map(whole).join(" and ")), num(percent(a.overlap), a.overlap), num(percent(a.chance), a.chance), num(fixed(a.rank_correlation, 3), a.rank_correlation ?? null));
            })));
        } catch (error) { if (!signal.aborted && mine === asked) fill(box, h("p", { class: "hint" }, error.message)); }
    };
    const against = select(others.map((s) => [s.id, `${s.name} (${s.id})`]), null, { id: "agree_with", on: { change: draw } });
    ratio.addEventListener("change", draw);
    draw();
    return section("Agreement", h("div", { class: "controls" }, h("label", { for: "agree_with" }, "With"), against, h("label", { for: "agree_at" }, "Share removed, %"), ratio), box,
        h("p", { class: "hint" }, "Overlap: of the units that are left, those that are left in both. Rank correlation: of when units went."));
}

export async function pane(body, { item, place, signal }) {
    const { items } = await all(`/v1/searches/${item.id}/explain`, {}, signal), second = await agreement(item, signal).catch(notifyProblem);
    if (signal.aborted) return {}; /* what was asked for without it came after another tab was chosen */
    if (!items.length) {
        fill(body, section("Scores by layer", h("p", { class: "hint" }, "They are noted at snapshots (“Keep weights at”); none has been reached yet.")), second);
        return {};
    }
    const box = h("div"), wanted = items.findIndex((n) => String(n.ordinal) === place.get("note"));
    const draw = (i) => { place.set("note", i === first ? "" : items[i].ordinal); fill(box, layerTable(items[i])); };
    const scored = items.findLastIndex((note) => (note.ffn || []).length || (note.heads || []).length); /* at the very end nothing is scored any more */
    const first = wanted >= 0 ? wanted : scored >= 0 ? scored : items.length - 1;
    const choice = select(items.map((n, i) => [i, `${percent(n.ratio)} removed, after ${whole(n.ordinal)}`]), first, { id: "note", on: { change: (e) => draw(Number(e.target.value)) } });
    draw(first);
    fill(body, section("Scores by layer", h("div", { class: "controls" }, h("label", { for: "note" }, "Snapshot"), choice), box,
        h("p", { class: "hint" }, "The line holds eight tenths of a layer’s units, the box the middle half, the stroke is the median; powers of ten from left to right, the same in every layer. Influence: how much a layer turns what goes through it.")), second);
    return {};
}
