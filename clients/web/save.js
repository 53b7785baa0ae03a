/*
 * What is on the page as files: tables and charts as CSV and JSON, pictures as SVG, and
 * files of the service (their content needs the token, so a plain link would not do).
 */
import { h, say } from "./dom.js";
import { ask } from "./api.js";

/* Offers text, or a Blob, as a file. */
export function save(name, type, content) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/* "Loss by arm, seed 1" -> "loss-by-arm-seed-1" */
export const fileName = (text) => text.toLowerCase().replace(/[^a-z0-9_]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "lathe";

/* A cell by RFC 4180. Text that a spreadsheet would take for a formula is held back by a quote. */
function cell(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    let text = Array.isArray(value) || typeof value === "object" ? JSON.stringify(value) : String(value);
    if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text))) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

/* Rows of values, the first being the names. */
export const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

/* [["a", "b"], [1, 2]] -> [{ a: 1, b: 2 }] */
export function records([names, ...rows]) {
    return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i] ?? null])));
}

/*
 * A menu of what can be had: saveMenu("loss", { rows: () => [[...]], svg: () => "<svg..." }).
 * `rows` gives CSV and JSON, `json` other JSON, `svg` a picture or the promise of one.
 */
export function saveMenu(name, { rows, json, svg }) {
    const file = fileName(name);
    const entry = (label, type, ending, content) => h("button", { type: "button", class: "quiet small", "aria-label": `${label} of ${name}`,
        on: { click: async () => { menu.open = false; menu.firstChild.focus(); save(`${file}.${ending}`, type, await content()); } } }, label);
    const text = (value) => `${JSON.stringify(value, null, 2)}\n`;
    const menu = h("details", { class: "menu" }, h("summary", { "aria-label": `Download ${name}` }, "Download"), h("div", { class: "entries" },
        rows && entry("CSV", "text/csv", "csv", () => csv(rows())), (rows || json) && entry("JSON", "application/json", "json", () => text(json ? json() : records(rows()))),
        svg && entry("SVG", "image/svg+xml", "svg", svg)));
    menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !menu.open) return;
        menu.open = false;
        menu.firstChild.focus();
        event.stopPropagation();
    });
    menu.addEventListener("focusout", (event) => { if (!menu.contains(event.relatedTarget)) menu.open = false; });
    return menu;
}

/* A table as it stands: a cell's data-value, where it has one, rather than its text. */
export function tableRows(table) {
    return [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map((c) => {
        const { value } = c.dataset;
        return value === undefined ? c.textContent.trim() : value === "" ? null : Number.isFinite(Number(value)) ? Number(value) : value;
    }));
}

/* An artifact to the disk, saying how far it has come on the button that asked. */
export async function saveArtifact({ artifact, name, bytes }, button) {
    const was = button.textContent, response = await ask(`/v1/artifacts/${encodeURIComponent(artifact)}/content`);
    const reader = response.body.getReader(), parts = [];
    for (let got = 0; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        parts.push(value);
        got += value.length;
        if (bytes) say(button, `${Math.floor((100 * got) / bytes)} %`);
    }
    say(button, was);
    save(name.split("/").pop(), "", new Blob(parts));
}
