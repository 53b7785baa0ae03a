/*
 * One architecture: its picture within the source, where its parameters are, what it
 * costs, its configuration, and what can be done with it.
 */
import { h, fill, select } from "../dom.js";
import { get, offers } from "../api.js";
import { Picture, frozen } from "../picture.js";
import { paramSplit, describe, params } from "../cost.js";
import { heading, link, stat, section, sheet, num, layerSheet, copyButton, offerButton, notify } from "../common.js";
import { askRun, askComparison } from "./arch_forms.js";
import { askExport, askEvaluation } from "../subjects.js";
import { filesOf } from "../artifacts.js";
import { save, saveMenu } from "../save.js";
import { basketButton } from "../basket.js";
import { count, percent, bytes, whole, widths } from "../format.js";

const SPLIT = [["embedding", "Embedding", "s4"], ["output", "Output head", "s5"], ["attention", "Attention", "heads"],
    ["ffn", "FFN", "ffn"], ["norms", "Norms", "stem"]];

/* Parameters by purpose, as one bar and as numbers. */
export function splitBar(shape) {
    const split = paramSplit(shape), total = params(shape);
    const parts = SPLIT.filter(([key]) => split[key] > 0);
    return h("div", {},
        h("div", { class: "split", role: "img", "aria-label": `Parameters: ${parts.map(([k, t]) => `${t} ${percent(split[k] / total)}`).join(", ")}` },
            parts.map(([key, , c]) => h("span", { vars: { "--w": `${(split[key] / total) * 100}%`, "--swatch": `var(--${c})` } }))),
        h("ul", { class: "legend plain" }, parts.map(([key, text, c]) => h("li", { class: "key" },
            h("span", { class: "swatch", vars: { "--swatch": `var(--${c})` } }), `${text} ${count(split[key])} (${percent(split[key] / total)})`))));
}

const FORMATS = [["shape", "Lathe shape"], ["hf", "Hugging Face config.json"], ["per_layer_config", "per_layer_config"], ["decilm", "DeciLM block_configs"], ["gguf", "GGUF metadata"]];

/* The configuration in the words of others; a format that cannot say the shape says why. */
async function configPanel(item, place, signal) {
    const served = await offers("GET", "/v1/architectures/{id}/config");
    const shown = h("pre", { tabindex: "0", role: "region", "aria-label": "Configuration" });
    const fetched = h("button", { type: "button", class: "small quiet", on: { click: () => save(`${item.id}-${choice.value}.json`, "application/json", text) } }, "Download");
    const copied = copyButton(() => text);
    let text = "";
    const draw = async (format) => {
        fetched.disabled = copied.disabled = true;
        const value = format === "shape" ? item.shape : await get(`/v1/architectures/${item.id}/config`, { format }, signal);
        if (choice.value !== format) return; /* another was chosen meanwhile */
        text = `${JSON.stringify(value, null, 2)}\n`;
        fill(shown, text);
        fetched.disabled = copied.disabled = false;
    };
    const safely = (format) => draw(format).catch((error) => { if (!signal.aborted && choice.value === format) fill(shown, error.message); });
    const options = served ? FORMATS : FORMATS.slice(0, 1), first = options.some(([k]) => k === place.get("format")) ? place.get("format") : "shape";
    const choice = select(options, first, { id: "format", on: { change: (e) => { place.set("format", e.target.value === "shape" ? "" : e.target.value); safely(e.target.value); } } });
    await safely(first);
    return section("Configuration", h("div", { class: "controls" }, h("label", { for: "format" }, "Format"), choice, copied, fetched), shown);
}

const layersTable = (shape) => h("details", { class: "numbers" }, h("summary", {}, "Layers in numbers"), layerSheet(shape));

export function humanPanel(item) {
    const { human_shape: human } = item;
    if (!human) return null;
    const row = (name, s) => h("tr", {}, h("th", { scope: "row" }, name), num(whole(params(s)), params(s)), num(String(s.hidden_size)),
        num(widths(s.layers.map((l) => `${l.q_heads}/${l.kv_heads}`))), num(widths(s.layers.map((l) => l.ffn))));
    return section("What a person would have drawn",
        sheet("Found and human-practice shape", ["Shape", "#Parameters", "#Hidden", "#Heads (Q/KV)", "#FFN"], [row("Found", item.shape), row("Human practice", human)]),
        h("p", { class: "hint" }, "The source scaled down by one factor to the same parameters."));
}

function pictureMenu(item, picture) {
    return saveMenu(`Picture of ${item.id}`, { json: () => item.shape,
        svg: () => import("../picture_svg.js").then(({ pictureSvg }) => pictureSvg(picture.replay, true, `${item.id}: ${describe(item.shape)}`)) });
}

/* What can be done; without weights only what starts afresh. */
function deeds(item, dataset, kept, signal) {
    const button = (text, act, props) => h("button", { type: "button", ...props, on: { click: () => act().catch((e) => notify(e.message, "problem")) } }, text);
    const quiet = { class: "quiet" };
    return [basketButton(item.id, "Set aside"),
        offerButton("POST", "/v1/evaluations", "Evaluate", () => askEvaluation(item.id, kept), quiet),
        kept ? [offerButton("POST", "/v1/exports", "Export", () => askExport(item.id), quiet),
            h("a", { class: "button quiet", href: `#/searches/new?architecture=${item.id}` }, "Search on"),
            button("Keep weights", () => askRun({ architecture: item.id, init: "inherit", dataset, signal }), quiet)] : null,
        button("Re-initialise", () => askRun({ architecture: item.id, init: "reinit", dataset, signal }), quiet),
        button("Auto versus human", () => askComparison({ architecture: item.id, kept, dataset, signal }))];
}

const withoutWeights = (item) => h("p", { class: "hint" }, "No weights were kept here, so it can be trained afresh and its speed be measured, but it can neither be continued nor exported. ",
    item.search ? h("a", { href: `#/searches/${item.search}?tab=shapes` }, "Shapes of this search that kept theirs") : null);

export async function show(page, { id, place, signal, pulse }) {
    pulse("live");
    const item = await get(`/v1/architectures/${encodeURIComponent(id)}`, {}, signal);
    const search = item.search ? await get(`/v1/searches/${item.search}`, {}, signal).catch(() => null) : null;
    const { totals, shape } = item, dataset = search && search.dataset, kept = item.weights === "snapshot";
    const picture = new Picture(frozen(shape, search ? search.source_shape : shape), { label: `Shape of ${item.id}: ${describe(shape)}` });
    picture.mode = "widths";
    signal.addEventListener("abort", () => picture.close());
    const at = item.search && Number.isInteger(item.ordinal) ? `#/searches/${item.search}?tab=machine&at=${item.ordinal}` : null;
    fill(page,
        heading(item.name || item.id, deeds(item, dataset, kept, signal)),
        h("p", { class: "lead" }, describe(shape)), kept ? null : withoutWeights(item),
        h("dl", { class: "stats" }, stat("Parameters", whole(totals.params)), stat("Without embedding", count(totals.params_non_embedding)),
            stat("Removed", percent(item.ratio)), stat("FLOPs/token", count(totals.flops_per_token)), stat("KV cache/token", bytes(totals.kv_bytes_per_token)),
            stat("Weights", kept ? "kept" : "none"), item.search ? stat("Search", h("span", { class: "clamp" }, link(item.search, search ? search.name : item.search))) : null,
            at ? stat("Removal", h("a", { href: at, title: "Show in the time machine" }, whole(item.ordinal))) : null, stat("Tokens by then", count(item.tokens))),
        section("Layers", picture.canvas, layersTable(shape), h("div", { class: "after" }, pictureMenu(item, picture))), section("Where the parameters are", splitBar(shape)),
        humanPanel(item), await configPanel(item, place, signal), filesOf(item.id, signal));
    picture.measure();
    picture.draw();
}
