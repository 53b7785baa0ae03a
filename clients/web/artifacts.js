/*
 * The files that the service keeps of a resource, to be fetched one by one.
 */
import { h, fill } from "./dom.js";
import { all } from "./api.js";
import { section, sheet, num, notifyProblem } from "./common.js";
import { saveArtifact } from "./save.js";
import { bytes } from "./format.js";
import { insistently } from "./reader.js";

/* Fetches `file` ({ artifact, name, bytes }); says how far it has come. */
export const fetchButton = (file) => h("button", { type: "button", class: "small quiet", "aria-label": `Download ${file.name}`, on: { click: async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    await saveArtifact(file, button).catch(notifyProblem);
    button.disabled = false;
} } }, "Download");

/* Sizes and checksums where the service knows any. */
export function fileSheet(label, files) {
    const sized = files.some((f) => f.bytes), summed = files.some((f) => f.sha256), sum = (f) => h("td", { class: "index", title: f.sha256 }, f.sha256 ? `${f.sha256.slice(0, 16)}…` : "–");
    return sheet(label, ["File", sized && "#Size", summed && "SHA-256", ""].filter((t) => t !== false), files.map((f) => h("tr", {}, h("th", { scope: "row" }, f.name), sized ? num(bytes(f.bytes), f.bytes) : null,
        summed ? sum(f) : null, h("td", { class: "do" }, f.artifact ? fetchButton(f) : null))), { unnamed: "Download", menu: false });
}

/* A section of the files that are kept of a resource; nothing when there are none. */
export function filesOf(id, signal) {
    const box = h("div");
    insistently(() => all("/v1/artifacts", { resource: id }, signal).then(({ items }) => {
        if (items.length) fill(box, section("Kept files", fileSheet(`Files of ${id}`, items.map((a) => ({ ...a, artifact: a.id })))));
    }))();
    return box;
}
