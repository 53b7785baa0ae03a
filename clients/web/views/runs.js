/*
 * All runs, live.
 */
import { fill } from "../dom.js";
import { Table } from "../table.js";
import { liveList, eta } from "../live.js";
import { Sparks } from "../sparks.js";
import { badge, heading, link, verbButtons, named, created, INITS, STATES } from "../common.js";
import { count, duration, fixed } from "../format.js";

function columns(sparks, changed) {
    return [
        { key: "name", label: "Run", head: true, value: (r) => r.name, cell: named },
        { key: "state", label: "State", value: (r) => r.state, cell: (r) => badge(r.state) },
        { key: "init", label: "Weights", opt: true, class: "when", value: (r) => INITS[r.init] || r.init },
        { key: "architecture", label: "Shape", opt: true, value: (r) => r.architecture, cell: (r) => link(r.architecture) },
        { key: "params", label: "Parameters", num: true, opt: true, value: (r) => r.params, cell: (_, v) => count(v) },
        { key: "loss", label: "Loss", sort: false, opt: true, value: () => null, mark: (r) => sparks.mark(r.id), cell: (r) => sparks.draw(r.id, `Loss of ${r.name || r.id}`) },
        { key: "valid", label: "Validation loss", num: true, value: (r) => r.validation_loss, cell: (_, v) => fixed(v) },
        { key: "tokens", label: "Tokens", num: true, opt: true, value: (r) => r.tokens, cell: (_, v) => count(v) },
        { key: "speed", label: "Tokens/s", num: true, opt: true, live: true, value: (r) => r.tokens_per_second, cell: (_, v) => count(v) },
        { key: "eta", label: "ETA", num: true, opt: true, live: true, value: (r) => eta(r), mark: (r) => duration(eta(r)), cell: (r) => duration(eta(r)) },
        created,
        { key: "do", label: "Actions", sort: false, opt: true, value: (r) => r.state, cell: (r) => verbButtons("runs", r, changed) },
    ];
}

export async function show(page, { place, signal, pulse }) {
    let again = () => {};
    const sparks = new Sparks("/v1/runs", signal, () => table.draw());
    const table = new Table({
        columns: columns(sparks, () => again()), id: (r) => r.id, place, sort: "-created", label: "Runs",
        search: (r) => `${r.name} ${r.id} ${r.architecture}`, choices: { label: "State", value: (r) => r.state, options: STATES },
        empty: "No run yet. Open an architecture and keep its weights or re-initialise it.", onDraw: (shown) => sparks.want(shown),
    });
    fill(page, heading("Runs"), table.element);
    const list = liveList({
        path: "/v1/runs", prefix: "run_", signal, onState: pulse,
        changed: (items, more) => table.set(items, more), onEvent: (item, event) => sparks.hear(item, event),
    });
    again = list.again;
    await list.ready;
}
