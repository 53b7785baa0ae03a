/*
 * Points of the Pareto page: { id, name, kind: "kept" | "fresh" | "human" | "shape", search,
 * searchName, values: { params, validation_loss, ... } }, and the axes they can be put on.
 */
import { all, get } from "./api.js";
import { at } from "./arms.js";
import { totalsOf } from "./cost.js";
import { headline, isShare, metricName, valueText } from "./metrics.js";
import { count, bytes, fixed } from "./format.js";

const MOST_RUNS = 500, MOST_SEARCHES = 40, AT_ONCE = 4;
const RATIOS = Array.from({ length: 20 }, (_, i) => (i * 0.05).toFixed(2)).join(",");

const BASE = {
    params: { label: "Parameters", format: (v) => count(v, 4), better: "smaller" },
    params_non_embedding: { label: "Parameters without embedding", format: (v) => count(v, 4), better: "smaller" },
    flops_per_token: { label: "FLOPs/token", format: (v) => count(v, 4), better: "cheaper" },
    kv_bytes_per_token: { label: "KV cache/token", format: bytes, better: "smaller" },
    validation_loss: { label: "Validation loss", format: (v) => fixed(v, 4), better: "lower" },
    tokens: { label: "Tokens trained on", format: count, better: "cheaper" },
};

/* The axes that points of the list have: the costs, the loss, and what evaluations measured. */
export function axesOf(list) {
    const found = new Map(list.flatMap((p) => Object.keys(p.scores || {}).map((k) => [k, p.scores[k]])));
    const more = (metric) => isShare(metric) || /per_second/.test(metric);
    return { ...BASE, ...Object.fromEntries([...found].map(([k, s]) => [k, { label: `${s.task}: ${metricName(s.key).toLowerCase()}`, format: (v) => valueText(s.key, v), more: more(s.key), better: more(s.key) ? "better" : "lower" }])) };
}

async function inTurn(list, work) {
    const todo = [...list];
    const one = async () => { for (let item = todo.shift(); item; item = todo.shift()) await work(item); };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/* Finished runs, with the costs of their shapes. */
export async function readRuns(signal) {
    const { items } = await all("/v1/runs", { state: "succeeded" }, signal, MOST_RUNS), points = [];
    await inTurn(items.filter((r) => Number.isFinite(r.validation_loss)), async ({ id }) => {
        const run = await get(`/v1/runs/${id}`, {}, signal), totals = totalsOf(run.shape, (run.recipe && run.recipe.sequence_length) || 0);
        points.push({ id, name: run.name || id, kind: run.arm === "human" ? "human" : run.init === "inherit" ? "kept" : "fresh", architecture: run.architecture,
            values: { ...totals, params: run.params, validation_loss: run.validation_loss, tokens: run.tokens } });
    });
    return points;
}

/* Shapes of searches at every twentieth, with the validation loss of the search by then. */
export async function readShapes(signal, add) {
    const { items } = await all("/v1/searches", {}, signal, 200);
    await inTurn(items.filter((s) => s.removals > 0).slice(0, MOST_SEARCHES), async (search) => {
        const [{ items: shapes }, { series }] = await Promise.all([get(`/v1/searches/${search.id}/shapes`, { ratios: RATIOS }, signal),
            get(`/v1/searches/${search.id}/metrics`, { keys: "validation_loss", x: "tokens", max_points: 1000 }, signal)]);
        const course = (series[0] && series[0].points) || [];
        add(shapes.filter((s, i) => !shapes.slice(0, i).some((t) => t.architecture === s.architecture)).map((s) => ({ id: s.architecture, name: s.architecture, kind: "shape", search: search.id, searchName: search.name,
            values: { ...s.totals, validation_loss: at(course, s.tokens), tokens: s.tokens } })));
    });
}

/* What evaluations measured of these runs, and which search their shape is of. */
export async function readScores(points, signal) {
    const byId = new Map(points.map((p) => [p.id, p]));
    const searches = new Map((await all("/v1/searches", {}, signal, 200)).items.map((s) => [s.id, s.name])), known = new Map();
    await inTurn([...new Set(points.map((p) => p.architecture).filter(Boolean))], async (id) => { known.set(id, (await get(`/v1/architectures/${id}`, {}, signal)).search); });
    for (const p of points) if (known.get(p.architecture)) Object.assign(p, { search: known.get(p.architecture), searchName: searches.get(known.get(p.architecture)) || known.get(p.architecture) });
    const { items } = await all("/v1/evaluations", { state: "succeeded" }, signal, 200).catch(() => ({ items: [] }));
    await inTurn(items.filter((e) => byId.has(e.subject)).reverse(), async ({ id, subject }) => {
        for (const result of (await get(`/v1/evaluations/${id}`, {}, signal)).results || []) {
            const score = headline(result), key = `${result.task}.${score && score.key}`, p = byId.get(subject);
            if (!score) continue;
            p.scores = { ...p.scores, [key]: { task: result.task, key: score.key } };
            p.values[key] = score.value;
        }
    });
}
