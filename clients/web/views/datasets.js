/*
 * Data sets and imported models: what there is, and bringing in more.
 */
import { h, fill, labelled, select } from "../dom.js";
import { post, upload } from "../api.js";
import { Table } from "../table.js";
import { liveList } from "../live.js";
import { badge, heading, sectionWith, askForm, notify, created, offerButton } from "../common.js";
import { askExport, askEvaluation } from "../subjects.js";
import { count, bytes, whole } from "../format.js";

const progress = (d) => (d.state === "running" && d.progress && d.progress.total
    ? h("progress", { max: d.progress.total, value: d.progress.done, "aria-label": `${d.name}: ${d.progress.unit || "work"} done` }) : null);
const state = { key: "state", label: "State", value: (d) => d.state, mark: (d) => `${d.state} ${d.reason || ""} ${d.progress ? d.progress.done : ""}`,
    cell: (d) => [badge(d.state), progress(d), d.reason ? h("p", { class: "hint" }, d.reason) : null] };
const name = (label) => ({ key: "name", label, head: true, value: (d) => d.name, cell: (d) => [d.name, h("span", { class: "id" }, d.id)] });

const dataTable = (place) => new Table({
    columns: [name("Data set"), state,
        { key: "tokens", label: "Tokens", num: true, value: (d) => d.tokens, cell: (_, v) => count(v) },
        { key: "valid", label: "Held out", num: true, opt: true, value: (d) => d.validation_tokens, cell: (_, v) => count(v) },
        { key: "docs", label: "Documents", num: true, opt: true, value: (d) => d.documents, cell: (_, v) => whole(v) },
        { key: "bytes", label: "Size", num: true, opt: true, value: (d) => d.bytes, cell: (_, v) => bytes(v) },
        { key: "tokenizer", label: "Tokenizer", opt: true, value: (d) => (typeof d.tokenizer === "object" && d.tokenizer ? d.tokenizer.kind : d.tokenizer) }, created],
    id: (d) => d.id, place, sort: "-created", label: "Data sets", search: (d) => `${d.name} ${d.id}`, empty: "No data set yet. Add text or JSONL files.",
});

/* What an imported model can be used for. */
const modelActions = (m) => (m.state === "succeeded" ? h("div", { class: "verbs" }, h("a", { class: "button small quiet", href: `#/searches/new?model=${m.id}` }, "Search from it"),
    offerButton("POST", "/v1/evaluations", "Evaluate", () => askEvaluation(m.id), { class: "small quiet" }), offerButton("POST", "/v1/exports", "Export", () => askExport(m.id), { class: "small quiet" })) : null);

const nowhere = { get: () => null, set: () => {} };
const modelTable = () => new Table({
    columns: [name("Model"), state, { key: "params", label: "Parameters", num: true, value: (m) => m.params, cell: (_, v) => count(v) },
        { key: "layers", label: "Layers", num: true, opt: true, value: (m) => (m.shape ? m.shape.layers.length : null) }, created,
        { key: "do", label: "Actions", sort: false, opt: true, value: (m) => m.state, cell: modelActions }],
    id: (m) => m.id, place: nowhere, sort: "-created", label: "Models", search: (m) => `${m.name} ${m.id}`, empty: "No model yet. Add the files of a Hugging Face folder.",
});

/* Sends files one after the other, saying which. */
async function sendAll(files, signal) {
    const sent = [];
    for (const file of files) {
        notify(`Sending ${file.name} (${bytes(file.size)})`);
        sent.push({ file, upload: (await upload(file, signal)).id });
    }
    return sent;
}

const formatOf = (file) => (/\.jsonl?$/i.test(file.name) ? "jsonl" : "text");

function addData(again, signal) {
    askForm("Add a data set", [
        labelled("Name", h("input", { name: "name", required: true, maxlength: 200, data: { pointer: "/name" } })),
        labelled("Files", h("input", { name: "files", type: "file", multiple: true, required: true, data: { pointer: "/files" } }), "Plain text, or JSONL with a member “text”."),
        labelled("Tokenizer", select([["bytes", "Bytes (256 + 1)"]], "bytes", { name: "tokenizer", data: { pointer: "/tokenizer" } })),
        labelled("Share held out for validation", h("input", { name: "share", type: "number", min: 0.001, max: 0.5, step: 0.001, value: 0.05, data: { pointer: "/validation_fraction" } })),
    ], "Add", async (form) => {
        const sent = await sendAll(form.elements.files.files, signal);
        await post("/v1/datasets", { name: form.elements.name.value, files: sent.map((s) => ({ upload: s.upload, format: formatOf(s.file) })),
            tokenizer: form.elements.tokenizer.value, validation_fraction: Number(form.elements.share.value) });
        again();
    });
}

function addModel(again, signal) {
    askForm("Add a model", [
        labelled("Name", h("input", { name: "name", required: true, maxlength: 200, data: { pointer: "/name" } })),
        labelled("Files", h("input", { name: "files", type: "file", multiple: true, required: true, data: { pointer: "/files" } }), "config.json and the safetensors files of a Hugging Face folder."),
    ], "Add", async (form) => {
        const sent = await sendAll(form.elements.files.files, signal);
        await post("/v1/models", { name: form.elements.name.value, files: sent.map((s) => ({ upload: s.upload, filename: s.file.name })) });
        again();
    });
}

export async function show(page, { place, id, signal, pulse }) {
    if (id) place.set("q", id);
    const data = dataTable(place), models = modelTable();
    const watch = (path, prefix, table, onState) => liveList({ path, prefix, signal, onState, changed: (items, more) => table.set(items, more) });
    const lists = [watch("/v1/datasets", "data_", data, pulse), watch("/v1/models", "mod_", models)];
    const button = (text, add, list) => h("button", { type: "button", on: { click: () => add(list.again, signal) } }, text);
    fill(page, heading("Data and models"), sectionWith("Data sets", button("Add a data set", addData, lists[0]), data.element),
        sectionWith("Models", button("Add a model", addModel, lists[1]), models.element));
    await Promise.all(lists.map((l) => l.ready));
}
