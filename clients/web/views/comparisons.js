/*
 * All comparisons of a found shape with the human-practice one.
 */
import { h, fill, debounce } from "../dom.js";
import { get } from "../api.js";
import { Table } from "../table.js";
import { liveList } from "../live.js";
import { passes, AGAIN_MS } from "../reader.js";
import { badge, heading, link, verbButtons, named, created, RULES, STATES } from "../common.js";
import { signed } from "../format.js";

const gap = (c) => {
    const d = (c.differences || []).find((x) => [x.a, x.b].includes("reinit") && [x.a, x.b].includes("human"));
    return !d || d.mean === null ? null : d.a === "reinit" ? d.mean : -d.mean;
};

/* A list comes without differences: those on the page are asked for. */
class Gaps {
    constructor(signal, changed) {
        Object.assign(this, { signal, changed, known: new Map() });
        this.later = debounce(() => !signal.aborted && changed(), AGAIN_MS); /* drawing asks again for those not known */
    }

    of(comparison) { return this.known.get(comparison.id); }

    want(shown) {
        for (const { id, state } of shown) {
            if (state !== "succeeded" || this.known.has(id)) continue;
            this.known.set(id, null);
            get(`/v1/comparisons/${id}`, {}, this.signal).then((c) => { this.known.set(id, gap(c)); this.changed(); })
                .catch((error) => { if (passes(error)) { this.known.delete(id); this.later(); } });
        }
    }
}

export async function show(page, { place, signal, pulse }) {
    let again = () => {};
    const gaps = new Gaps(signal, () => table.draw());
    const table = new Table({
        columns: [
            { key: "name", label: "Comparison", head: true, value: (c) => c.name, cell: named },
            { key: "state", label: "State", value: (c) => c.state, cell: (c) => badge(c.state) },
            { key: "architecture", label: "Shape", value: (c) => c.architecture, cell: (c) => link(c.architecture) },
            { key: "gap", label: "Found − human", num: true, value: (c) => gaps.of(c), cell: (_, v) => signed(v) },
            { key: "rule", label: "Budget", opt: true, value: (c) => c.budget_rule, cell: (_, v) => RULES[v] || v },
            created,
            { key: "do", label: "Actions", sort: false, opt: true, value: (c) => c.state, cell: (c) => verbButtons("comparisons", c, () => again()) },
        ],
        id: (c) => c.id, place, sort: "-created", label: "Comparisons", search: (c) => `${c.name} ${c.id} ${c.architecture}`,
        choices: { label: "State", value: (c) => c.state, options: STATES },
        empty: "No comparison yet. Open an architecture and choose “Auto versus human”.",
        onDraw: (shown) => gaps.want(shown),
    });
    fill(page, heading("Auto versus human"), h("p", { class: "lead" }, "Loss of the found shape minus that of the human-practice shape, both from scratch: below zero the search won."), table.element);
    const list = liveList({ path: "/v1/comparisons", prefix: "cmp_", signal, onState: pulse, changed: (items, more) => table.set(items, more) });
    again = list.again;
    await list.ready;
}
