/*
 * The pieces that pages share: headings, states, buttons for verbs, messages, dialogs.
 */
import { h, fill } from "./dom.js";
import { post, offers } from "./api.js";

export const STATES = ["queued", "starting", "running", "pausing", "paused", "succeeded", "failed", "cancelled"];
export const ACTIVE = new Set(["starting", "running", "pausing"]);
export const OVER = new Set(["succeeded", "failed", "cancelled"]);

/* Where a resource is looked at, by its id. */
const PLACES = { srch: "searches", run: "runs", cmp: "comparisons", arch: "architectures", data: "datasets", mod: "models" };

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

/* A plain table in a box that scrolls. `head` is a list of texts; one that starts with "#" is
 * the name of numbers, "" a column whose name (`unnamed`) only screen readers are told. */
export function sheet(label, head, rows, { unnamed = label, class: more = "" } = {}) {
    const name = (t) => h("th", { scope: "col", class: t.startsWith("#") ? "num" : null }, t.replace(/^#/, "") || h("span", { class: "hidden" }, unnamed));
    return h("div", { class: `scroll ${more}`, tabindex: "0", role: "region", "aria-label": label },
        h("table", {}, h("thead", {}, h("tr", {}, head.map(name))), rows instanceof Node ? rows : h("tbody", {}, rows)));
}

/* Numbers of a row, right-aligned. */
export const num = (text) => h("td", { class: "num" }, text);

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
    { name: "cancel", label: "Cancel", when: (s) => !OVER.has(s), ask: true },
];

/* Buttons for what may be done to a resource now, of the verbs that the service has. */
export async function verbs(collection, item, changed) {
    const buttons = [];
    for (const verb of VERBS) {
        if (!verb.when(item.state) || !await offers("POST", `/v1/${collection}/{id}/${verb.name}`)) continue;
        buttons.push(h("button", { type: "button", class: "small quiet", "aria-label": `${verb.label} ${item.name || item.id}`,
            on: { click: (event) => act(event.currentTarget, collection, item, verb, changed) } }, verb.label));
    }
    return buttons;
}

async function act(button, collection, item, verb, changed) {
    if (verb.ask && !await confirm(`Cancel ${item.name || item.id}? It cannot be taken up again.`, "Cancel it")) return;
    button.disabled = true;
    try {
        const answer = await post(`/v1/${collection}/${encodeURIComponent(item.id)}/${verb.name}`);
        changed(answer || item);
    } catch (error) {
        notifyProblem(error);
    }
    button.disabled = false;
}

/* Buttons as <div> that fills itself when it is known which verbs there are. */
export function verbButtons(collection, item, changed) {
    const box = h("div", { class: "verbs" });
    verbs(collection, item, changed).then((buttons) => fill(box, buttons));
    return box;
}

/* Copies text, or offers it for download. */
export function copyButton(text, label = "Copy") {
    return h("button", { type: "button", class: "small quiet", on: { click: async () => {
        try { await navigator.clipboard.writeText(text()); notify("Copied."); } catch { notify("The browser did not allow copying.", "problem"); }
    } } }, label);
}

export function download(name, type, text) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}
