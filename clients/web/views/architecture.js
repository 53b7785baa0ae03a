/*
 * One architecture: its picture within the source, where its parameters are, what it
 * costs, its configuration, and what can be done with it.
 */
import { h, fill, labelled, select } from "../dom.js";
import { get, all, post, offers } from "../api.js";
import { Picture, frozen } from "../picture.js";
import { paramSplit, describe, params } from "../cost.js";
import { heading, link, stat, section, sheet, num, layerSheet, askForm, copyButton, download, notify } from "../common.js";
import { basketButton } from "../basket.js";
import { count, percent, bytes, whole, readCount, widths } from "../format.js";

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

async function dataSets(signal) {
    const { items } = await all("/v1/datasets", {}, signal);
    return items.filter((d) => d.state === "succeeded").map((d) => [d.id, `${d.name} (${d.id})`]);
}

const tokensOf = (form, name) => readCount(form.elements[name].value);

async function askRun(architecture, init, dataset, signal) {
    const options = await dataSets(signal);
    askForm(init === "inherit" ? "Keep the weights and train on" : "Re-initialise and train from scratch", [
        labelled("Name", h("input", { name: "name", maxlength: 200, value: `${architecture.id} ${init}`, data: { pointer: "/name" } })),
        labelled("Data set", select(options, dataset, { name: "dataset", data: { pointer: "/dataset" } })),
        labelled("Tokens to train on", h("input", { name: "tokens", value: "1M", required: true, data: { pointer: "/budget /budget/tokens" } }), "Such as 500k or 20M."),
        labelled("Seed", h("input", { name: "seed", type: "number", min: 0, value: 1, data: { pointer: "/seed" } })),
    ], "Start", async (form) => {
        const run = await post("/v1/runs", {
            name: form.elements.name.value, architecture: architecture.id, init, dataset: form.elements.dataset.value,
            budget: { tokens: tokensOf(form, "tokens") }, seed: Number(form.elements.seed.value),
        });
        notify(`${run.id} was started.`);
        location.hash = `#/runs/${run.id}`;
    });
}

async function askComparison(architecture, dataset, signal) {
    const options = await dataSets(signal), arms = ["inherit", "reinit", "human"];
    const kept = architecture.weights === "snapshot";
    const boxes = h("fieldset", { data: { pointer: "/arms" } }, h("legend", {}, "Arms"), arms.map((arm) =>
        h("label", { class: "check" }, h("input", { type: "checkbox", name: `arm_${arm}`, checked: arm !== "inherit" || kept, disabled: arm === "inherit" && !kept }),
            { inherit: kept ? "Keep weights" : "Keep weights (none were kept here)", reinit: "Re-initialise", human: "Human-practice shape" }[arm])),
    h("p", { class: "hint" }, ""));
    askForm("Auto versus human", [
        labelled("Name", h("input", { name: "name", maxlength: 200, value: `${architecture.id} against human practice`, data: { pointer: "/name" } })),
        boxes,
        labelled("Data set", select(options, dataset, { name: "dataset", data: { pointer: "/dataset" } })),
        labelled("Tokens for every arm", h("input", { name: "tokens", value: "1M", required: true, data: { pointer: "/budget /budget/tokens" } })),
        labelled("Seeds", h("input", { name: "seeds", value: "1", data: { pointer: "/seeds" } }), "Several, by commas, give an interval: 1, 2, 3"),
        labelled("Budget rule", select([["train_matched", "The same training tokens"], ["pipeline_matched", "The same tokens, search included"]], "train_matched", { name: "rule", data: { pointer: "/budget_rule" } })),
    ], "Start", async (form) => {
        const comparison = await post("/v1/comparisons", {
            name: form.elements.name.value, architecture: architecture.id, arms: arms.filter((a) => form.elements[`arm_${a}`].checked),
            seeds: form.elements.seeds.value.split(/[\s,]+/).filter(Boolean).map(Number), budget_rule: form.elements.rule.value,
            budget: { tokens: tokensOf(form, "tokens") }, dataset: form.elements.dataset.value,
        });
        location.hash = `#/comparisons/${comparison.id}`;
    });
}

function machineLink(item) {
    if (!item.search || !Number.isInteger(item.ordinal)) return null;
    return h("a", { class: "button quiet small", href: `#/searches/${item.search}?tab=machine&at=${item.ordinal}` }, "Show in the time machine");
}

const FORMATS = [["shape", "Lathe shape"], ["hf", "Hugging Face"], ["per_layer_config", "per_layer_config"], ["decilm", "DeciLM"], ["gguf", "GGUF"]];

async function configPanel(item, signal) {
    const served = await offers("GET", "/v1/architectures/{id}/config");
    const shown = h("pre", { tabindex: "0", role: "region", "aria-label": "Configuration" });
    let text = "";
    const draw = async (format) => {
        const value = format === "shape" ? item.shape : await get(`/v1/architectures/${item.id}/config`, { format }, signal);
        text = JSON.stringify(value, null, 2);
        fill(shown, text);
    };
    const choice = select(served ? FORMATS : FORMATS.slice(0, 1), "shape", { id: "format", on: { change: (e) => draw(e.target.value).catch((error) => fill(shown, error.message)) } });
    await draw("shape");
    return section("Configuration", h("div", { class: "controls" }, served ? [h("label", { for: "format" }, "Format"), choice] : null, copyButton(() => text),
        h("button", { type: "button", class: "small quiet", on: { click: () => download(`${item.id}.json`, "application/json", text) } }, "Download")), shown);
}

const layersTable = (shape) => h("details", { class: "numbers" }, h("summary", {}, "Layers in numbers"), layerSheet(shape));

export function humanPanel(item) {
    const { human_shape: human } = item;
    if (!human) return null;
    const row = (name, s) => h("tr", {}, h("th", { scope: "row" }, name), num(whole(params(s))), num(String(s.hidden_size)),
        h("td", {}, widths(s.layers.map((l) => `${l.q_heads}/${l.kv_heads}`))), h("td", {}, widths(s.layers.map((l) => l.ffn))));
    return section("What a person would have drawn",
        sheet("Found and human-practice shape", ["", "#Parameters", "#Hidden", "Heads (Q/KV)", "FFN"], [row("Found", item.shape), row("Human practice", human)], { unnamed: "Shape" }),
    h("p", { class: "hint" }, "The source scaled down by one factor to the same parameters."));
}

export async function show(page, { id, signal, pulse }) {
    pulse("live");
    const item = await get(`/v1/architectures/${encodeURIComponent(id)}`, {}, signal);
    const search = item.search ? await get(`/v1/searches/${item.search}`, {}, signal).catch(() => null) : null;
    const { totals, shape } = item, dataset = search && search.dataset;
    const picture = new Picture(frozen(shape, search ? search.source_shape : shape), { label: `Shape of ${item.id}: ${describe(shape)}` });
    picture.mode = "widths";
    signal.addEventListener("abort", () => picture.close());
    const button = (text, go, props) => h("button", { type: "button", ...props, on: { click: () => go().catch((e) => notify(e.message, "problem")) } }, text);
    const kept = item.weights === "snapshot";
    fill(page,
        heading(item.name || item.id, basketButton(item.id, "Set aside to compare"),
            button("Keep weights", () => askRun(item, "inherit", dataset, signal), { class: "quiet", disabled: !kept, title: kept ? null : "Weights are kept at snapshots only" }),
            button("Re-initialise", () => askRun(item, "reinit", dataset, signal), { class: "quiet" }),
            button("Auto versus human", () => askComparison(item, dataset, signal))),
        h("p", { class: "lead" }, describe(shape)),
        h("dl", { class: "stats" }, stat("Parameters", whole(totals.params)), stat("Without embedding", count(totals.params_non_embedding)),
            stat("Gone", percent(item.ratio)), stat("FLOPs/token", count(totals.flops_per_token)), stat("KV cache/token", bytes(totals.kv_bytes_per_token)),
            stat("Weights", kept ? "kept" : "none"), item.search ? stat("Search", link(item.search, search ? search.name : item.search)) : null,
            Number.isInteger(item.ordinal) ? stat("Removal", whole(item.ordinal)) : null, stat("Tokens by then", count(item.tokens))),
        h("div", { class: "actions" }, machineLink(item)),
        section("Layers", picture.canvas, layersTable(shape)), section("Where the parameters are", splitBar(shape)), humanPanel(item), await configPanel(item, signal));
    picture.measure();
    picture.draw();
}
