/*
 * Tests of the dashboard's modules that need no page: run by test_dashboard.py in Chromium.
 * run() returns the failures as lines.
 */
import { Replay, binsOf } from "/web/replay.js";
import { EventParser } from "/web/stream.js";
import * as f from "/web/format.js";
import { params, paramSplit, flopsPerToken, kvBytesPerToken, isUniform, describe } from "/web/cost.js";
import { front } from "/web/front.js";
import { at, band, armRows, interval, paired, smooth } from "/web/arms.js";
import { csv, records, fileName } from "/web/save.js";
import { ticks, logTicks, chartSvg } from "/web/chart_svg.js";
import { headline, scoreText, metricsOf } from "/web/metrics.js";
import { verdict } from "/web/views/comparison_curves.js";
import { scoreTable } from "/web/views/evaluations.js";
import { merge } from "/web/chart.js";
import { order } from "/web/table.js";
import { sparkPath } from "/web/spark.js";
import { h, labelled } from "/web/dom.js";
import { showFindings, clearFindings } from "/web/common.js";
import { apply, eta } from "/web/live.js";
import { Reader, continued, insistently } from "/web/reader.js";
import { hull } from "/web/views/compare.js";

/* Spaces that do not break count as spaces. */
const same = (got, want) => {
    const [g, w] = [got, want].map((x) => JSON.stringify(x).replaceAll("\u00a0", " "));
    if (g !== w) throw new Error(`got ${g}, want ${w}`);
};

const source = () => ({
    hidden_size: 12, head_dim: 4, vocab_size: 10, tie_word_embeddings: true,
    layers: [{ q_heads: 4, kv_heads: 2, ffn: 6 }, { q_heads: 4, kv_heads: 2, ffn: 6 }, { q_heads: 4, kv_heads: 2, ffn: 6 }],
});

/* The widths by the slow obvious way: count what is left of lists of names. */
function slowWidths(from, removals) {
    const left = from.layers.map((l) => ({ q: l.q_heads, kv: l.kv_heads, share: l.q_heads / l.kv_heads, ffn: l.ffn }));
    let hidden = from.hidden_size;
    for (const r of removals) {
        if (r.type === "stem") { hidden--; continue; }
        r.index.forEach((i, k) => {
            const l = left[r.layer === -1 ? k : r.layer];
            if (i < 0) return;
            if (r.type === "ffn") l.ffn--;
            else { l.kv--; l.q -= l.share; }
        });
    }
    return [hidden, left.map((l) => [l.q, l.kv, l.ffn])];
}

const widthsOf = (replay) => [replay.hidden, replay.shape().layers.map((l) => [l.q_heads, l.kv_heads, l.ffn])];

function someRemovals() {
    return [
        { type: "ffn", layer: -1, index: [0, 5, -1] }, { type: "heads", layer: -1, index: [1, 0, -1] }, { type: "stem", layer: -1, index: [11] },
        { type: "ffn", layer: 2, index: [3] }, { type: "heads", layer: 2, index: [1] }, { type: "stem", layer: -1, index: [0] },
    ].map((r, i) => ({ ...r, ordinal: i + 1, tokens: (i + 1) * 10, params: 1000 - 100 * (i + 1) }));
}

const tests = {
    "replay: every ordinal, in any order, is what counting says"() {
        const removals = someRemovals(), replay = new Replay(source());
        same(replay.add(removals), true);
        for (const k of [6, 0, 3, 5, 1, 6, 2, 4, 0]) {
            same(replay.seek(k), k);
            same(widthsOf(replay), slowWidths(source(), removals.slice(0, k)));
        }
    },
    "replay: survivors are the source's units, and come back"() {
        const replay = new Replay(source());
        replay.add(someRemovals());
        replay.seek(6);
        same([...replay.queryAlive[0]], [1, 1, 0, 0]);
        same([...replay.queryAlive[1]], [0, 0, 1, 1]);
        same([...replay.kvAlive[2]], [1, 0]);
        same([replay.ffnBins[0].level(0), replay.ffnBins[2].level(3), replay.stemBins.level(11)], [0, 0, 0]);
        replay.seek(0);
        same([...replay.queryAlive[2]], [1, 1, 1, 1]);
        same(replay.ffnBins[0].level(0), 1);
    },
    "replay: heads cut by query leave the KV heads"() {
        const replay = new Replay(source());
        replay.add([{ ordinal: 1, type: "heads", unit: "query", layer: -1, index: [0, 3, 1, 2, -1, -1] }]);
        replay.seek(1);
        same(widthsOf(replay)[1], [[2, 2, 6], [2, 2, 6], [4, 2, 6]]);
        same([...replay.queryAlive[0]], [0, 1, 1, 0]);
    },
    "replay: what is known is skipped, a hole is told"() {
        const [a, b, c] = someRemovals(), replay = new Replay(source());
        same(replay.add([a]), true);
        same(replay.add([a, b]), true);
        same(replay.length, 2);
        same(new Replay(source()).add([c]), false);
        same(replay.seek(99), 2);
        same(replay.seek(-3), 0);
    },
    "replay: the ordinal of a ratio is the first that reaches it"() {
        const replay = new Replay(source());
        replay.add(someRemovals());
        same([0, 0.05, 0.1, 0.11, 0.6, 0.9].map((r) => replay.ordinalOfRatio(r, 1000)), [0, 1, 1, 2, 6, 6]);
    },
    "replay: shares of what is gone"() {
        const replay = new Replay(source());
        replay.add(someRemovals());
        same(replay.prunedShares()[5], { heads: 6 / 12, ffn: 3 / 18, stem: 2 / 12 });
    },
    "bins: every channel has its column"() {
        const bins = binsOf(1000);
        for (let i = 0; i < 1000; i++) bins.add(i, -1);
        for (let c = 0; c < bins.n; c++) same(bins.level(c), 0);
    },
    "events: any cut of the stream gives the same events"() {
        const text = ": hi\n\nretry: 250\nid: 7\nevent: step\ndata: {\"a\":1}\n\ndata: two\r\ndata: lines\r\n\r\nid: 9\rdata: 3\r\revent: nothing\n\n";
        const whole = [];
        new EventParser((e) => whole.push(e)).push(`${text}\n`);
        same(whole.map((e) => [e.id, e.type, e.data]), [["7", "step", { a: 1 }], ["7", "message", "two\nlines"], ["9", "message", 3]]);
        for (let cut = 1; cut < text.length; cut++) {
            const parts = [], parser = new EventParser((e) => parts.push(e));
            parser.push(text.slice(0, cut));
            parser.push(`${text.slice(cut)}\n`);
            same(parts, whole);
            same(parser.retry, 250);
        }
    },
    "events: an event cut in half does not count as seen"() {
        const parser = new EventParser(() => {});
        parser.push("id: 1\ndata: 1\n\nid: 2\ndata: ");
        same(parser.lastId, "1");
    },
    "numbers for people"() {
        same([0, 999, 1000, 1234567, 999999, -1500, null, NaN].map((x) => f.count(x)), ["0", "999", "1 K", "1.23 M", "1 M", "−1.5 K", "–", "–"]);
        same([0, 1536, 1 << 30].map((x) => f.bytes(x)), ["0 B", "1.5 KiB", "1 GiB"]);
        same([0, 59.6, 61, 3725, 90000].map((x) => f.duration(x)), ["0 s", "1 min 0 s", "1 min 1 s", "1 h 2 min", "1 d 1 h"]);
        same([0.4213, 0, null].map((x) => f.percent(x)), ["42.1 %", "0.0 %", "–"]);
        same([f.signed(0.5, 2), f.signed(-0.5, 2), f.signed(0, 2), f.fixed(undefined)], ["+0.50", "−0.50", "0.00", "–"]);
        same([f.score(1.9e-7), f.score(0.25), f.score(0), f.score(null)], ["1.90e-7", "0.25", "0", "–"]);
        same(f.widths([8, 8, 8, 6, 8]), "8 ×3, 6, 8");
        same(["500k", "1_000", "2.5M", "1e6", "1,000", "", "x", "-3"].map((x) => f.readCount(x)), [500000, 1000, 2500000, 1000000, 1000, NaN, NaN, NaN]);
    },
    "costs of a shape that was counted by hand"() {
        const s = source();
        same(paramSplit(s), { embedding: 120, output: 0, attention: 3 * 2 * 12 * 6 * 4, ffn: 3 * 3 * 12 * 6, norms: 7 * 12 });
        same(params({ ...s, tie_word_embeddings: false }) - params(s), 120);
        same(params({ ...s, qkv_bias: true }) - params(s), 3 * 8 * 4);
        same(flopsPerToken(s, 16) - flopsPerToken(s, 0), 6 * 12 * 4 * 16);
        same(kvBytesPerToken(s), 6 * 4 * 4);
        same([isUniform(s), describe(s)], [true, "3 layers · hidden 12 · heads 4 (KV 2) · FFN 6"]);
    },
    "the front is what nothing beats"() {
        same(front([{ x: 3, y: 1 }, { x: 1, y: 3 }, { x: 2, y: 3 }, { x: 2, y: 2 }, { x: 4, y: 1 }]).map((p) => [p.x, p.y]), [[1, 3], [2, 2], [3, 1]]);
        same(front([]), []);
    },
    "curves of arms"() {
        same([at([[0, 0], [10, 10]], 4), at([[0, 0], [10, 10]], 11), at([], 1)], [4, null, null]);
        same(band([[[0, 1], [10, 3]], [[0, 3], [10, 5]]]), [[0, [1, 2, 3]], [10, [3, 4, 5]]]);
        same(armRows([[[[0, 1]]], [[[0, 2]]]], [5, 0]), [[0, [null, null, null], [2, 2, 2]], [5, [1, 1, 1], [null, null, null]]]);
    },
    "differences are paired by seed, with Student's interval"() {
        const arm = (...ys) => ys.map((y, seed) => ({ seed, points: [[0, 0], [10, y]] }));
        const { rows, n } = paired(arm(1, 2, 3), arm(2, 4, 6));
        same([n, rows.length, rows[1][1][1]], [3, 2, -2]);
        same(rows[1][1].map((v) => v.toFixed(3)), ["-4.484", "-2.000", "0.484"]); /* 4.303 / sqrt(3) around -2 */
        same(interval([5]), [5, 5, 5]);
        same(paired(arm(1), [{ seed: 9, points: [[0, 1]] }]), { rows: [], n: 0 });
        const d = (lower, tokens, per_seed) => ({ differences: [{ a: "inherit", b: "human", crossover: { lower, tokens, per_seed } }] });
        same(verdict(d("inherit", 5000, [4000, null]), "human", "inherit"), "Keep weights stays below Human practice from 5 K training tokens on (validation loss; by seed: 4 K, never).");
        same(verdict(d("human", 5000, [5000]), "inherit", "human"), "Human practice stays below Keep weights from 5 K training tokens on (validation loss, one seed).");
        same(verdict(d(null, null, [null]), "inherit", "human"), "At the end neither is below the other.");
        same(verdict({ differences: [{ a: "inherit", b: "human", crossover: null }] }, "inherit", "human").startsWith("There is no budget"), true);
        same(verdict(d("inherit", 1, [1]), "reinit", "human").startsWith("Where they cross is said"), true);
    },
    "smoothing is not pulled to the first value"() {
        same(smooth([[0, 4], [1, 4], [2, 4]], 0.8).map(([, y]) => y.toFixed(9)), ["4.000000000", "4.000000000", "4.000000000"]);
        same(smooth([[0, 0], [1, 1]], 0.5)[1][1].toFixed(4), "0.6667");
    },
    "files of tables: quotes, absent values, no formulas"() {
        same(csv([["a", "b,c"], [1.5, null], ["=1+1", "x\"y"], [-3, "-3"], [[1, 2], undefined]]), "a,\"b,c\"\r\n1.5,\r\n'=1+1,\"x\"\"y\"\r\n-3,-3\r\n\"[1,2]\",\r\n");
        same(records([["a", "b"], [1], [2, 3]]), [{ a: 1, b: null }, { a: 2, b: 3 }]);
        same([fileName("Loss by arm, seed 1"), fileName("<img>"), fileName("…")], ["loss-by-arm-seed-1", "img", "lathe"]);
    },
    "ticks are round, and names in a picture stay text"() {
        same(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
        same(ticks(1.51, 1.78, 6), [1.55, 1.6, 1.65, 1.7, 1.75]);
        same(logTicks(0.9e-5, 2.1e-4), [1e-5, 2e-5, 5e-5, 1e-4, 2e-4]);
        const name = "<script>&\"", text = chartSvg({ title: name, x: "X", y: "Y", series: [{ label: name, color: "s1", step: true }, { label: "B", color: "s2", y2: true }],
            rows: [[0, 1, 5], [1, null, 6], [2, 3, 7]], xRange: [0, 2], xFormat: String, yTick: String, y2Format: String });
        const found = new DOMParser().parseFromString(text, "image/svg+xml");
        same([found.querySelector("parsererror, script"), found.querySelector("text").textContent], [null, name]);
    },
    "one number for a task"() {
        const piqa = { task: "piqa", metrics: { acc: 0.5, acc_stderr: 0.01, acc_norm: 0.6, acc_norm_stderr: 0.012, note: "x" } };
        same(headline(piqa), { key: "acc_norm", value: 0.6, error: 0.012 });
        same(metricsOf(piqa), [["acc", 0.5, 0.01], ["acc_norm", 0.6, 0.012]]);
        same([scoreText(headline(piqa)), scoreText(headline({ metrics: { decode_tokens_per_second: 15234, decode_tokens_per_second_min: 1 } })), scoreText(undefined)], ["60.0 % ± 1.2", "15.2 K", "–"]);
        const { tasks, rows } = scoreTable([{ subject: "run_1", results: [piqa] }, { subject: "run_1", results: [{ task: "piqa", metrics: { acc: 0.1 } }, { task: "boolq", metrics: { acc: 0.7 } }] }]);
        same([tasks, rows.length, rows[0].scores.get("piqa").value, rows[0].scores.get("boolq").value], [["piqa", "boolq"], 1, 0.6, 0.7]);
    },
    "curves share rows where they share x"() {
        same(merge([{ points: [[1, 10], [2, 20]] }, { points: [[2, 5], [3, 6]] }]), [[1, 10, null], [2, 20, 5], [3, null, 6]]);
        same([continued([[1, 10], [2, 20]], [[2, 21], [3, 30]]), continued([], [[1, 2]])], [[[1, 10], [2, 20], [3, 30]], [[1, 2]]]);
        same(continued([[1, 10, null], [2, 20, null]], [[1, 11, 1], [2, null, 5], [3, 30, null]]), [[1, 10, null], [2, 20, 5], [3, 30, null]]);
    },
    "the order of a table: absent last, both ways"() {
        const list = [3, null, 1, undefined, 2];
        same([...list].sort((a, b) => order(a, b, 1)).slice(0, 3), [1, 2, 3]);
        same([...list].sort((a, b) => order(a, b, -1)).slice(0, 3), [3, 2, 1]);
        same(["job_10", "job_9"].sort((a, b) => order(a, b, 1)), ["job_9", "job_10"]);
    },
    "a sparkline stays in its box"() {
        same(sparkPath([[0, 1]]), "");
        const numbers = sparkPath([[0, 5], [1, NaN], [2, 1]], 10, 10).match(/[\d.]+/g).map(Number);
        same(numbers.every((n) => n >= 0 && n <= 10), true);
    },
    "text is text, whatever it says"() {
        const node = h("p", { title: "\"><b>" }, "<img src=x onerror=alert(1)>", null, false, 0);
        same([node.children.length, node.textContent, node.title], [0, "<img src=x onerror=alert(1)>0", "\"><b>"]);
    },
    "findings stand at the control with the longest pointer"() {
        const form = h("form", {}, labelled("Shape", h("input", { data: { pointer: "/source/shape" } }), "a hint"),
            labelled("Heads", h("input", { data: { pointer: "/source/shape/layers/0/kv_heads" } })));
        const homeless = showFindings(form, [{ pointer: "/source/shape/layers/0/kv_heads", detail: "odd" }, { pointer: "/source/shape/hidden_size", detail: "large" }, { pointer: "/sourcery", detail: "what" }]);
        same([...form.querySelectorAll(".hint")].map((x) => x.textContent), ["large", "odd"]);
        same(homeless.map((x) => x.pointer), ["/sourcery"]);
        clearFindings(form);
        same([...form.querySelectorAll(".hint")].map((x) => x.textContent), ["a hint", ""]);
        same(form.querySelectorAll("[aria-invalid]").length, 0);
    },
    "an event applied twice changes nothing more"() {
        const item = { state: "queued", params_source: 100, params_now: 100, removals: 0 };
        const event = { type: "removal", data: { step: 3, tokens: 30, params: 75, ordinal: 4 } };
        apply(item, event);
        const once = JSON.stringify(item);
        apply(item, event);
        same(JSON.stringify(item), once);
        same([item.ratio, item.removals, item.tokens], [0.25, 4, 30]);
        same(eta({ state: "running", tokens: 50, tokens_planned: 100, tokens_per_second: 25 }), 2);
        same(eta({ state: "paused", eta_seconds: 4 }), null);
    },
    async "an answer that was overtaken by events says what they said"() {
        const asked = [], shown = [], gone = (list, id) => { list.delete(id); return true; };
        const reader = new Reader({ ask: () => new Promise((...ends) => asked.push(ends)), write: gone, show: (list) => shown.push([...list].join()) });
        const first = reader.read();
        same(reader.hear("a"), false); /* there is nothing yet to write it into */
        asked[0][0](new Set("abc"));
        await first;
        same(reader.hear("b"), true);
        reader.read().catch(() => {});
        const fresh = [reader.again(), reader.again()]; /* asked for while the second reading is under way */
        reader.hear("c");
        asked[1][1](new Error("the second fails"));
        await new Promise((done) => { setTimeout(done); });
        asked[2][0](new Set("cd"));
        await Promise.all(fresh);
        same([shown, asked.length, [...reader.found].join()], [["b,c", "c,d"], 3, "c,d"]);
    },
    async "a refusal that passes is followed by another try, any other is not"() {
        const refusals = [{ status: 503 }, { status: 0 }], asked = [];
        const tries = insistently(() => { asked.push(0); const error = refusals.shift(); return error ? Promise.reject(error) : Promise.resolve(); }, 5);
        const pause = () => new Promise((done) => { setTimeout(done, 40); });
        await Promise.all([tries(), tries()]);
        await pause();
        same(asked.length, 3); /* two that were refused, and one repetition for both */
        for (const error of [{ status: 404 }, new DOMException("the page was left", "AbortError"), new TypeError("ours")]) refusals.push(error);
        for (let i = 0; i < 3; i++) await tries();
        await pause();
        same(asked.length, 6);
    },
    "a hull holds all of its shapes"() {
        const a = source(), b = { ...source(), hidden_size: 20, layers: [{ q_heads: 8, kv_heads: 1, ffn: 3 }] };
        const c = hull([a, b]);
        same([c.hidden_size, c.layers.length, c.layers[2]], [20, 3, { q_heads: 8, kv_heads: 2, ffn: 6 }]);
    },
};

export async function run() {
    const failures = [];
    for (const [name, test] of Object.entries(tests)) {
        try { await test(); } catch (error) { failures.push(`${name}: ${error.message}`); }
    }
    return { count: Object.keys(tests).length, failures };
}
