/*
 * What an export or an evaluation is of: a run, an architecture or a model, named by its id.
 */
import { h, labelled, select } from "./dom.js";
import { all, post, upload } from "./api.js";
import { askForm, link, notify } from "./common.js";
import { FORMATS, DTYPES, formatName, takes } from "./formats.js";
import { bytes, percent } from "./format.js";

const KINDS = { run: "run", arch: "architecture", mod: "model" };

/* "run_3" -> { run: "run_3" }, as requests name it. */
export const asSubject = (id) => ({ [KINDS[id.split("_")[0]] || "run"]: id });

export const subjectLink = (item) => link(item.subject);

/* Where a page knows no subject, finished runs and models are offered. */
async function subjectField(id) {
    if (id) return { id: () => id, field: h("p", { class: "lead" }, `Of ${id}.`) };
    const list = (path, query) => all(path, query, undefined, 200).then((a) => a.items, () => []);
    const [runs, models] = await Promise.all([list("/v1/runs", { state: "succeeded" }), list("/v1/models", {})]);
    const options = [...runs, ...models.filter((m) => m.state === "succeeded")].map((x) => [x.id, `${x.name || x.id} (${x.id})`]);
    const choice = select(options, null, { name: "subject", required: true, data: { pointer: "/run /model /architecture" } });
    return { id: () => choice.value, field: labelled("Of", choice, options.length ? "An architecture with weights: from its own page." : "No run has finished yet.") };
}

/* Formats by number types, a box for each pair that exists. */
function targetMatrix() {
    const box = (format, dtype) => (takes(format, dtype) ? h("input", { type: "checkbox", name: `${format} ${dtype}`, "aria-label": `${formatName(format)} in ${dtype}`, checked: format === "hf" && dtype === "float32" }) : null);
    return h("div", { class: "scroll" }, h("table", { class: "matrix" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Format"), DTYPES.map((d) => h("th", { scope: "col" }, d)))),
        h("tbody", {}, Object.entries(FORMATS).map(([key, [name, hint]]) => h("tr", {}, h("th", { scope: "row", title: hint }, name), DTYPES.map((d) => h("td", {}, box(key, d))))))));
}

const targetsOf = (form) => [...form.querySelectorAll(".matrix input:checked")].map((input) => {
    const [format, dtype] = input.name.split(" ");
    return { format, dtype };
});

/* How large it will be, asked of the service while boxes are ticked. */
async function sizeText(body) {
    if (!body.targets.length) return "Choose at least one.";
    const { bytes: sum, targets } = await post("/v1/exports?dry_run=true", body);
    const padded = targets.filter((t) => t.overhead > 0).map((t) => `${formatName(t.format)} stores ${percent(t.overhead)} more for padding`);
    return [`About ${bytes(sum)}`, ...new Set(padded)].join("; ") + ".";
}

export async function askExport(id) {
    const of = await subjectField(id), hint = h("p", { class: "hint", role: "status" }, "");
    const bodyOf = (form) => ({ ...asSubject(of.id()), name: form.elements.name.value, targets: targetsOf(form) });
    const dialog = askForm("Export", [of.field,
        labelled("Name", h("input", { name: "name", maxlength: 200, value: id ? `Export of ${id}` : "Export", data: { pointer: "/name" } })),
        h("fieldset", { data: { pointer: "/targets" } }, h("legend", {}, "Formats"), targetMatrix(), hint)], "Export", async (form) => {
        const made = await post("/v1/exports", bodyOf(form));
        location.hash = `#/exports/${made.id}`;
    });
    const form = dialog.querySelector("form");
    let asked = 0;
    const size = () => {
        const mine = ++asked, say = (text) => { if (mine === asked) hint.textContent = text; }; /* of the boxes as they are now */
        return sizeText(bodyOf(form)).then(say, (error) => say(error.message));
    };
    form.addEventListener("change", size);
    size();
}

/* Forms of tasks, as the service names them; all but latency read files. */
export const TASK_FORMS = [["arc", "ARC"], ["hellaswag", "HellaSwag"], ["piqa", "PIQA (items and labels)"], ["winogrande", "WinoGrande"], ["boolq", "BoolQ"], ["lambada", "LAMBADA"],
    ["text", "Text: perplexity"], ["pairs", "Prompts with choices"], ["latency", "Speed on this machine"]];

/* One task of the form: what it is called, its form, its files. */
function taskRow(list, forms) {
    const files = h("input", { type: "file", multiple: true, "aria-label": "Files of the task" });
    const name = h("input", { placeholder: "Name, or the form’s", maxlength: 63, "aria-label": "Name of the task" });
    const form = select(forms, forms[0][0], { "aria-label": "Form of the task", on: { change: () => { files.hidden = limit.hidden = form.value === "latency"; } } });
    const limit = h("input", { type: "number", min: 1, step: 1, placeholder: "Items at most: all", "aria-label": "Items at most" });
    files.hidden = limit.hidden = form.value === "latency";
    const row = h("div", { class: "task" }, form, name, files, limit,
        list.length ? h("button", { type: "button", class: "small quiet", on: { click: () => { list.splice(list.indexOf(task), 1); row.remove(); } } }, "Take out") : null);
    const task = { name, form, limit, files };
    list.push(task);
    return row;
}

async function taskOf({ name, form, limit, files }) {
    const task = { form: form.value, ...(name.value ? { name: name.value } : {}) };
    if (form.value === "latency") return task;
    if (!files.files.length) throw new Error(`The task ${task.name || task.form} has no file.`);
    const uploads = [];
    for (const file of files.files) {
        notify(`Sending ${file.name} (${bytes(file.size)})`);
        uploads.push((await upload(file)).id);
    }
    return { ...task, ...(uploads.length > 1 ? { uploads } : { upload: uploads[0] }), ...(limit.value ? { limit: Number(limit.value) } : {}) };
}

/* Without weights (`kept` false) only the speed of a shape can be measured. */
export async function askEvaluation(id, kept = true) {
    const of = await subjectField(id), tasks = [], forms = kept ? TASK_FORMS : TASK_FORMS.filter(([key]) => key === "latency"), box = h("div", {}, taskRow(tasks, forms));
    askForm("Evaluate", [of.field,
        labelled("Name", h("input", { name: "name", maxlength: 200, value: id ? `Evaluation of ${id}` : "Evaluation", data: { pointer: "/name" } })),
        h("fieldset", { data: { pointer: "/tasks" } }, h("legend", {}, "Tasks"), box,
            kept ? h("button", { type: "button", class: "small quiet", on: { click: () => box.append(taskRow(tasks, forms)) } }, "Another task") : null,
            h("p", { class: "hint" }, kept ? "The data set’s own files, as lm-evaluation-harness reads them; prompts and metrics are the harness’s too." : "No weights were kept here: only speed can be measured."))], "Evaluate", async (form) => {
        const wanted = [];
        for (const task of tasks) wanted.push(await taskOf(task));
        const made = await post("/v1/evaluations", { ...asSubject(of.id()), name: form.elements.name.value, tasks: wanted });
        location.hash = `#/evaluations/${made.id}`;
    });
}
