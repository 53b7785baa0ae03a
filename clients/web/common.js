/*
 * The pieces that pages share: headings, states, buttons for verbs, messages, dialogs.
 */
import { h, fill } from "./dom.js";
import { post, remove, offers } from "./api.js";
import { saveMenu, tableRows } from "./save.js";
import { ago, clock } from "./format.js";

export const STATES = ["queued", "starting", "running", "pausing", "paused", "succeeded", "failed", "cancelled"];
export const ACTIVE = new Set(["starting", "running", "pausing"]);
export const OVER = new Set(["succeeded", "failed", "cancelled"]);

/* Where a resource is looked at, by its id. */
const PLACES = { srch: "searches", run: "runs", cmp: "comparisons", arch: "architectures", data: "datasets", mod: "models",
    exp: "exports", eval: "evaluations" };

export function placeOf(id) {
    const folder = PLACES[String(id).split("_")[0]];
    return folder ? `#/${folder}/${encodeURIComponent(id)}` : null;
}

export function link(id, text = id) {
    const place = id && placeOf(id);
    return place ? h("a", { href: place }, text) : text || "–";
}

export function badge(state) {
    return h("span", { class: `badge is-${STATES.includes(state) ? state : "other"}` }, String(state ?? "–"));
}

/* The heading of a page takes the focus when the page was navigated to (main.js). */
export function heading(title, ...actions) {
    return h("div", { class: "head" }, h("h1", { tabindex: "-1" }, title), h("div", { class: "actions" }, actions));
}

export function stat(label, ...value) {
    return h("div", { class: "stat" }, h("dt", {}, label), h("dd", {}, value));
}

export function section(title, ...children) {
    return h("section", { class: "panel" }, h("h2", {}, title), children);
}

/* A section with something to press beside its title. */
export function sectionWith(title, action, ...children) {
    return h("section", { class: "panel" }, h("div", { class: "title" }, h("h2", {}, title), h("div", { class: "actions" }, action)), children);
}

/* A name that links, two lines of it at most; the id below. */
export const named = (item) => [h("span", { class: "clamp", title: item.name || null }, link(item.id, item.name || item.id)), item.name ? h("span", { class: "id" }, item.id) : null];

/* The column of creation times, as every list has it. */
export const created = { key: "created", label: "Created", opt: true, class: "when", value: (x) => x.created_at, mark: (x) => ago(x.created_at),
    cell: (x) => h("time", { datetime: x.created_at, title: clock(x.created_at) }, ago(x.created_at)) };

export const INITS = { inherit: "kept", reinit: "re-initialised" };
export const RULES = { train_matched: "The same training tokens", pipeline_matched: "The search’s tokens counted" };

/* A plain table in a box that scrolls. `head` is a list of texts; one that starts with "#" is
 * the name of numbers, "" a column whose name (`unnamed`) only screen readers are told. Below it
 * stands how to have it as a file, unless `menu` is false. */
export function sheet(label, head, rows, { unnamed = label, class: more = "", menu = true } = {}) {
    const name = (t) => h("th", { scope: "col", class: t.startsWith("#") ? "num" : null }, t.replace(/^#/, "") || h("span", { class: "hidden" }, unnamed));
    const table = h("table", {}, h("thead", {}, h("tr", {}, head.map(name))), rows instanceof Node ? rows : h("tbody", {}, rows));
    return h("div", { class: "sheet" }, h("div", { class: `scroll ${more}`, tabindex: "0", role: "region", "aria-label": label }, table),
        menu ? saveMenu(label, { rows: () => tableRows(table) }) : null);
}

/* Numbers of a row, right-aligned; `value` is what a file of the table gets, rather than the text. */
export const num = (text, value) => h("td", { class: "num", data: value === undefined ? {} : { value: value ?? "" } }, text);

/* The widths of all layers. */
export function layerSheet(shape) {
    return sheet("Layers in numbers", ["Layer", "#Query heads", "#KV heads", "#FFN channels"], shape.layers.map((l, i) =>
        h("tr", {}, h("th", { scope: "row" }, String(i)), [l.q_heads, l.kv_heads, l.ffn].map((v) => num(String(v))))));
}

/* A message at the foot of the page that goes by itself; problems stay longer. */
export function notify(text, kind = "info") {
    const note = h("div", { class: `note ${kind}` }, text);
    document.getElementById("notes").append(note);
    setTimeout(() => note.remove(), kind === "problem" ? 12000 : 5000);
}

export function notifyProblem(error) {
    if (error.name !== "AbortError" && error.status !== 401) notify(error.message, "problem");
}

/* What stands where a page could not be built. */
export function problemBox(error, retry) {
    return h("div", { class: "problem", role: "alert" },
        h("p", {}, error.message),
        error.request ? h("p", { class: "hint" }, `Request ${error.request}`) : null,
        retry ? h("button", { type: "button", on: { click: retry } }, "Try again") : null);
}

/* A modal question; resolves to true or false. Escape and Cancel are false. */
export function confirm(question, verb) {
    return new Promise((resolve) => {
        const dialog = h("dialog", { "aria-label": question }, h("p", {}, question),
            h("div", { class: "buttons" },
                h("button", { type: "button", class: "quiet", on: { click: () => dialog.close("no") } }, "Keep it"),
                h("button", { type: "button", class: "danger", on: { click: () => dialog.close("yes") } }, verb)));
        dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
        document.body.append(dialog);
        dialog.showModal();
    });
}

/* A modal form; `send` throws a Problem to keep it open with what the server found. */
export function askForm(title, fields, verb, send) {
    const message = h("div", { role: "alert" });
    const submit = h("button", { type: "submit" }, verb);
    const form = h("form", {}, h("h2", {}, title), fields, message, h("div", { class: "buttons" },
        h("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, "Cancel"), submit));
    const dialog = h("dialog", { "aria-label": title }, form);
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        submit.disabled = true;
        try {
            await send(form);
            dialog.close();
        } catch (error) {
            fill(message, h("p", { class: "problem" }, error.message));
            showFindings(form, error.errors || []);
        }
        submit.disabled = false;
    });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
}

/*
 * Puts what the server found wrong ([{ pointer, detail }]) at the control it is about: the
 * one whose data-pointer is the longest beginning of the finding's pointer. Returns those
 * without a control.
 */
export function showFindings(form, findings) {
    clearFindings(form);
    const controls = [...form.querySelectorAll("[data-pointer]")];
    const homeless = [];
    for (const finding of findings) {
        const pointer = finding.pointer || "";
        const at = controls.filter((c) => c.dataset.pointer.split(" ").some((p) => within(pointer, p)))
            .sort((a, b) => longest(b, pointer) - longest(a, pointer))[0];
        if (at) mark(at, finding.detail);
        else homeless.push(finding);
    }
    return homeless;
}

const within = (pointer, beginning) => pointer === beginning || pointer.startsWith(`${beginning}/`);
const longest = (control, pointer) => Math.max(...control.dataset.pointer.split(" ").map((p) => (within(pointer, p) ? p.length : -1)));

function mark(control, detail) {
    control.setAttribute("aria-invalid", "true");
    const hint = control.closest(".field, fieldset").querySelector(".hint");
    if (!hint) return;
    if (!hint.dataset.was) hint.dataset.was = hint.textContent || " ";
    hint.classList.add("wrong");
    hint.textContent = detail.replace(/^[\w.[\]/-]+: /, ""); /* the name of the member it stands at */
}

export function clearFindings(form) {
    for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    for (const hint of form.querySelectorAll(".hint.wrong")) {
        hint.classList.remove("wrong");
        hint.textContent = hint.dataset.was.trim();
    }
}

const VERBS = [
    { name: "pause", label: "Pause", when: (s) => ["queued", "starting", "running"].includes(s) },
    { name: "resume", label: "Resume", when: (s) => ["paused", "pausing", "failed"].includes(s) },
    { name: "cancel", label: "Cancel", when: (s) => !OVER.has(s), ask: "It cannot be taken up again." },
    { name: "delete", label: "Delete", when: (s) => OVER.has(s), ask: "Its files and scores go with it, for good." },
];

const askedBy = ({ name }, collection, id) => (name === "delete" ? ["DELETE", `/v1/${collection}/${id}`] : ["POST", `/v1/${collection}/${id}/${name}`]);

/* Buttons for what may be done to a resource now, of the verbs that the service has. Then
 * changed(what the service answered), null when the resource is gone. */
export async function verbs(collection, item, changed) {
    const buttons = [];
    for (const verb of VERBS) {
        if (!verb.when(item.state) || !await offers(...askedBy(verb, collection, "{id}"))) continue;
        buttons.push(h("button", { type: "button", class: "small quiet", "aria-label": `${verb.label} ${item.name || item.id}`,
            on: { click: (event) => act(event.currentTarget, collection, item, verb, changed) } }, verb.label));
    }
    return buttons;
}

async function act(button, collection, item, verb, changed) {
    if (verb.ask && !await confirm(`${verb.label} ${item.name || item.id}? ${verb.ask}`, `${verb.label} it`)) return;
    const [method, path] = askedBy(verb, collection, encodeURIComponent(item.id));
    button.disabled = true;
    try {
        changed(await (method === "DELETE" ? remove(path) : post(path)));
    } catch (error) {
        notifyProblem(error);
    }
    button.disabled = false;
}

/* A button for what the service may not have: empty until it is known that it does. */
export function offerButton(method, path, label, act, props = {}) {
    const box = h("span", { class: "offer" });
    offers(method, path).then((has) => has && fill(box, h("button", { type: "button", ...props, on: { click: () => Promise.resolve(act()).catch(notifyProblem) } }, label)));
    return box;
}

/* Buttons as <div> that fills itself when it is known which verbs there are. */
export function verbButtons(collection, item, changed, ...more) {
    const box = h("div", { class: "verbs" }, more);
    verbs(collection, item, changed).then((buttons) => fill(box, buttons, more));
    return box;
}

/* The same search again, with changes: the form filled in. */
export function forkLink(search) {
    const box = h("span", { class: "offer" });
    offers("POST", "/v1/searches/{id}/fork").then((has) => has && fill(box,
        h("a", { class: "button small quiet", href: `#/searches/new?fork=${search.id}`, "aria-label": `Fork ${search.name}` }, "Fork")));
    return box;
}

/* Text to the clipboard; pages of another machine without TLS have none, and show the text. */
export async function copy(text, told = "Copied.") {
    try {
        await navigator.clipboard.writeText(text);
        notify(told);
    } catch { notify(`The browser did not allow copying: ${text}`, "problem"); }
}

export function copyButton(text, label = "Copy") {
    return h("button", { type: "button", class: "small quiet", on: { click: () => copy(text()) } }, label);
}
