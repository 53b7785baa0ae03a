/*
 * All exports: of what, into what, and whether what was written says the same as the model.
 */
import { h, fill } from "../dom.js";
import { Table } from "../table.js";
import { liveList } from "../live.js";
import { badge, heading, offerButton, verbButtons, named, created, STATES } from "../common.js";
import { askExport, subjectLink } from "../subjects.js";
import { formatName, targetName } from "../formats.js";
import { bytes, score } from "../format.js";

const targets = (e) => e.targets || [];
const size = (e) => targets(e).flatMap((t) => t.files || []).reduce((sum, f) => sum + (f.bytes || 0), 0) || null;
const worst = (e) => targets(e).map((t) => t.parity && t.parity.max_abs_logit_difference).filter(Number.isFinite).reduce((a, b) => Math.max(a, b), -1);

const columns = (changed) => [
    { key: "name", label: "Export", head: true, value: (e) => e.name || e.id, cell: named },
    { key: "state", label: "State", value: (e) => e.state, mark: (e) => `${e.state} ${e.reason || ""}`, cell: (e) => [badge(e.state), e.reason ? h("p", { class: "hint" }, e.reason) : null] },
    { key: "subject", label: "Of", value: (e) => e.subject, cell: subjectLink },
    { key: "targets", label: "Formats", opt: true, value: (e) => targets(e).map(targetName).join("; "), cell: (e) => h("span", { class: "tags" }, targets(e).map((t) => h("span", { class: "tag", title: targetName(t) }, formatName(t.format)))) },
    { key: "parity", label: "Largest logit difference", num: true, opt: true, value: (e) => (worst(e) < 0 ? null : worst(e)), cell: (_, v) => score(v) },
    { key: "bytes", label: "Size", num: true, opt: true, value: size, cell: (_, v) => bytes(v) },
    created,
    { key: "do", label: "Actions", sort: false, opt: true, value: (e) => e.state, cell: (e) => verbButtons("exports", e, changed) },
];

export async function show(page, { place, signal, pulse }) {
    let again = () => {};
    const table = new Table({
        columns: columns(() => again()), id: (e) => e.id, place, sort: "-created", label: "Exports",
        search: (e) => `${e.name} ${e.id} ${e.subject} ${targets(e).map(targetName).join(" ")}`, choices: { label: "State", value: (e) => e.state, options: STATES },
        empty: "No export yet. Open a finished run, or an architecture with weights, and choose “Export”.",
    });
    fill(page, heading("Exports", offerButton("POST", "/v1/exports", "New export", () => askExport())), table.element);
    const list = liveList({ path: "/v1/exports", prefix: "exp_", signal, onState: pulse, changed: (items, more) => table.set(items, more) });
    again = list.again;
    await list.ready;
}
