/*
 * All evaluations, and what they found side by side: a row for each model, a column for each task.
 */
import { h, fill } from "../dom.js";
import { get } from "../api.js";
import { Table } from "../table.js";
import { liveList } from "../live.js";
import { insistently } from "../reader.js";
import { badge, heading, num, offerButton, section, sheet, verbButtons, named, created, STATES } from "../common.js";
import { askEvaluation, subjectLink } from "../subjects.js";
import { headline, metricName, scoreText } from "../metrics.js";

const tasksOf = (e) => (e.tasks || e.results || []).map((t) => t.name || t.task || t.form);
const MOST = 40; /* evaluations that the table of scores reads */

const progress = (e) => (e.state === "running" && e.progress && e.progress.total
    ? h("progress", { max: e.progress.total, value: e.progress.done, "aria-label": `${e.id}: ${e.progress.unit || "items"} done` }) : null);

const columns = (changed) => [
    { key: "name", label: "Evaluation", head: true, value: (e) => e.name || e.id, cell: named },
    { key: "state", label: "State", value: (e) => e.state, mark: (e) => `${e.state} ${e.reason || ""} ${e.progress ? e.progress.done : ""}`, cell: (e) => [badge(e.state), progress(e), e.reason ? h("p", { class: "hint" }, e.reason) : null] },
    { key: "subject", label: "Of", value: (e) => e.subject, cell: subjectLink },
    { key: "tasks", label: "Tasks", opt: true, value: (e) => tasksOf(e).join(", ") || null },
    created,
    { key: "do", label: "Actions", sort: false, opt: true, value: (e) => e.state, cell: (e) => verbButtons("evaluations", e, changed) },
];

/* The newest score of every model at every task. */
export function scoreTable(evaluations) {
    const tasks = [...new Set(evaluations.flatMap((e) => (e.results || []).map((r) => r.task)))], rows = new Map();
    for (const e of evaluations) {
        const id = e.subject;
        if (!rows.has(id)) rows.set(id, { e, scores: new Map() });
        for (const r of e.results || []) if (!rows.get(id).scores.has(r.task)) rows.get(id).scores.set(r.task, headline(r));
    }
    return { tasks, rows: [...rows.values()] };
}

function scores(evaluations) {
    const { tasks, rows } = scoreTable(evaluations);
    if (!tasks.length) return null;
    const named_by = (task) => { const { scores: found } = rows.find((r) => r.scores.get(task)) || {}; return found ? `${task}: ${metricName(found.get(task).key).toLowerCase()}` : task; };
    return section("Scores side by side", sheet("Scores side by side", ["Of", ...tasks.map((t) => `#${named_by(t)}`)], rows.map(({ e, scores: found }) =>
        h("tr", {}, h("th", { scope: "row" }, subjectLink(e)), tasks.map((t) => num(scoreText(found.get(t)), found.get(t) ? found.get(t).value : null))))),
    h("p", { class: "hint" }, "The newest of each, ± its standard error."));
}

export async function show(page, { place, signal, pulse }) {
    let again = () => {};
    const known = new Map(), box = h("div");
    const table = new Table({
        columns: columns(() => again()), id: (e) => e.id, place, sort: "-created", label: "Evaluations",
        search: (e) => `${e.name} ${e.id} ${e.subject} ${tasksOf(e).join(" ")}`, choices: { label: "State", value: (e) => e.state, options: STATES },
        empty: "No evaluation yet. Open a finished run, or an architecture with weights, and choose “Evaluate”.",
    });
    let listed = [], asked = 0;
    const compare = insistently(async () => {
        const mine = ++asked, done = listed.filter((e) => e.state === "succeeded").slice(0, MOST);
        for (const e of done) if (!known.has(e.id)) known.set(e.id, e.results && e.results.length ? e : await get(`/v1/evaluations/${e.id}`, {}, signal));
        if (mine === asked) fill(box, scores(done.map((e) => known.get(e.id))));
    });
    fill(page, heading("Evaluations", offerButton("POST", "/v1/evaluations", "New evaluation", () => askEvaluation())), table.element, box);
    const list = liveList({ path: "/v1/evaluations", prefix: "eval_", signal, onState: pulse, changed: (items, more) => { table.set(items, more); listed = items; compare(); } });
    again = list.again;
    await list.ready;
}
