/*
 * All searches, live.
 */
import { h, fill } from "../dom.js";
import { Table } from "../table.js";
import { liveList, eta } from "../live.js";
import { Sparks } from "../sparks.js";
import { badge, heading, verbButtons, named, created, forkLink, STATES } from "../common.js";
import { count, percent, duration, fixed } from "../format.js";

function columns(sparks, changed) {
    return [
        { key: "name", label: "Search", head: true, value: (s) => s.name,
            cell: named },
        { key: "state", label: "State", value: (s) => s.state, cell: (s) => badge(s.state) },
        { key: "loss", label: "Loss", sort: false, opt: true, value: () => null, mark: (s) => sparks.mark(s.id), cell: (s) => sparks.draw(s.id, `Loss of ${s.name}`) },
        { key: "last", label: "Loss now", num: true, opt: true, value: (s) => s.loss, cell: (_, v) => fixed(v) },
        { key: "params", label: "Parameters left", num: true, value: (s) => s.params_now,
            cell: (s) => [count(s.params_now), h("span", { class: "of" }, ` of ${count(s.params_source)}`)] },
        { key: "ratio", label: "Removed", num: true, opt: true, value: (s) => s.ratio, cell: (_, v) => percent(v) },
        { key: "speed", label: "Tokens/s", num: true, opt: true, live: true, value: (s) => s.tokens_per_second, cell: (_, v) => count(v) },
        { key: "eta", label: "ETA", num: true, opt: true, live: true, value: (s) => eta(s), mark: (s) => duration(eta(s)), cell: (s) => duration(eta(s)) },
        created,
        { key: "do", label: "Actions", sort: false, opt: true, value: (s) => s.state, cell: (s) => verbButtons("searches", s, changed, forkLink(s)) },
    ];
}

export async function show(page, { place, signal, pulse }) {
    let again = () => {};
    const sparks = new Sparks("/v1/searches", signal, () => table.draw());
    const table = new Table({
        columns: columns(sparks, () => again()), id: (s) => s.id, place, sort: "-created", label: "Searches",
        search: (s) => `${s.name} ${s.id}`, choices: { label: "State", value: (s) => s.state, options: STATES },
        empty: "No search yet. Start one with “New search”.", onDraw: (shown) => sparks.want(shown),
    });
    fill(page, heading("Searches", h("a", { class: "button", href: "#/searches/new" }, "New search")), table.element);
    const list = liveList({
        path: "/v1/searches", prefix: "srch_", signal, onState: pulse,
        changed: (items, more) => table.set(items, more), onEvent: (item, event) => sparks.hear(item, event),
    });
    again = list.again;
    await list.ready;
}
