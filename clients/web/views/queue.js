/*
 * Jobs and the workers that do them. Jobs are read again when any of them moves.
 */
import { h, fill, throttle } from "../dom.js";
import { all, post, offers } from "../api.js";
import { listen } from "../events.js";
import { Reader, insistently } from "../reader.js";
import { Table } from "../table.js";
import { badge, heading, link, section, stat, verbButtons, notifyProblem, ACTIVE, STATES } from "../common.js";
import { ago, duration } from "../format.js";

/* Of a job that is neither over nor at work, until it was last heard of. */
const since = (j) => (j.started_at ? (Date.parse(j.finished_at || (ACTIVE.has(j.state) ? new Date() : j.heartbeat_at || j.started_at)) - Date.parse(j.started_at)) / 1000 : null);

const jobTable = (place, changed) => new Table({
    columns: [
        { key: "id", label: "Job", head: true, value: (j) => j.id },
        { key: "state", label: "State", value: (j) => j.state, cell: (j) => badge(j.state) },
        { key: "kind", label: "Kind", value: (j) => j.kind },
        { key: "for", label: "For", value: (j) => j.resource, cell: (_, v) => link(v) },
        { key: "worker", label: "Worker", opt: true, value: (j) => j.worker || null },
        { key: "attempt", label: "Attempt", num: true, opt: true, value: (j) => j.attempt },
        { key: "beat", label: "Heartbeat", opt: true, class: "when", value: (j) => j.heartbeat_at, mark: (j) => ago(j.heartbeat_at), cell: (j) => ago(j.heartbeat_at) },
        { key: "took", label: "Time", num: true, opt: true, value: since, mark: (j) => duration(since(j)), cell: (j) => duration(since(j)) },
        { key: "reason", label: "Reason", opt: true, value: (j) => j.reason || null, class: "reason" },
        { key: "do", label: "Actions", sort: false, opt: true, value: (j) => j.state, cell: (j) => verbButtons("jobs", j, changed) },
    ],
    id: (j) => j.id, place, sort: "-id", label: "Jobs", search: (j) => `${j.id} ${j.kind} ${j.resource} ${j.reason || ""}`,
    choices: { label: "State", value: (j) => j.state, options: STATES }, empty: "No job yet.",
});

/* A draining worker takes no new jobs. */
function drainButton(worker, changed) {
    const verb = worker.draining ? "undrain" : "drain", box = h("div", { class: "verbs" });
    const act = async (event) => {
        event.target.disabled = true;
        await post(`/v1/workers/${worker.id}/${verb}`).then(changed, notifyProblem);
        event.target.disabled = false;
    };
    offers("POST", `/v1/workers/{id}/${verb}`).then((has) => has && fill(box,
        h("button", { type: "button", class: "small quiet", "aria-label": `${worker.draining ? "Give new jobs to" : "Drain"} ${worker.name}`, on: { click: act } }, worker.draining ? "Take jobs" : "Drain")));
    return box;
}

const nowhere = { get: () => null, set: () => {} };
const workerTable = (changed) => new Table({
    columns: [
        { key: "name", label: "Worker", head: true, value: (w) => w.name || w.id },
        { key: "host", label: "Host", opt: true, value: (w) => w.host },
        { key: "backends", label: "Backends", value: (w) => (w.backends || []).join(", ") },
        { key: "slots", label: "Busy", num: true, value: (w) => w.busy, mark: (w) => `${w.busy} ${w.slots}`, cell: (w) => `${w.busy ?? "–"} of ${w.slots}` },
        { key: "state", label: "State", value: (w) => (w.alive === false ? "not heard of" : w.draining ? "draining" : "taking jobs") },
        { key: "seen", label: "Seen", class: "when", value: (w) => w.seen_at, mark: (w) => ago(w.seen_at), cell: (_, v) => ago(v) },
        { key: "do", label: "Actions", sort: false, opt: true, value: (w) => w.draining, cell: (w) => drainButton(w, changed) },
    ],
    id: (w) => w.id, place: nowhere, sort: "name", label: "Workers", search: (w) => `${w.name} ${w.host}`, empty: "No worker has reported.",
});

export async function show(page, { place, signal, pulse }) {
    const jobs = jobTable(place, () => again()), summary = h("dl", { class: "stats" }), workers = workerTable(() => again());
    const ask = () => Promise.all([all("/v1/jobs", {}, signal), all("/v1/workers", {}, signal)]);
    const draw = ([j, w]) => {
        jobs.set(j.items, j.more);
        workers.set(w.items, w.more);
        const of = (...states) => String(j.items.filter((job) => states.includes(job.state)).length), sum = (key) => w.items.filter((x) => x.alive !== false).reduce((n, x) => n + (x[key] || 0), 0);
        fill(summary, stat("Waiting", of("queued")), stat("At work", of("starting", "running", "pausing")), stat("Paused", of("paused")), stat("Failed", of("failed")),
            stat("Slots busy", `${sum("busy")} of ${sum("slots")}`), stat("Workers", String(w.items.filter((x) => x.alive !== false).length)));
    };
    const reader = new Reader({ ask, write: () => false, show: draw });
    const again = throttle(insistently(() => reader.again()), 1000);
    fill(page, heading("Queue and workers"), summary, section("Jobs", jobs.element), section("Workers", workers.element));
    listen({ signal, onState: (s) => { pulse(s); if (s === "live") again(); }, onEvent: (e) => { if (e.type === "state") again(); } });
    const timer = setInterval(again, 10000);
    signal.addEventListener("abort", () => clearInterval(timer));
    await reader.read();
}
