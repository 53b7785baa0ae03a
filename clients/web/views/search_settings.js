/*
 * What was asked for, as it was asked.
 */
import { h, fill } from "../dom.js";
import { section, copyButton } from "../common.js";

const SHOWN = ["name", "dataset", "source", "space", "criterion", "update", "schedule", "stop", "recover", "snapshots", "recipe", "seed", "threads", "backend", "validation"];

export async function pane(body, { item }) {
    const spec = Object.fromEntries(SHOWN.filter((k) => item[k] !== undefined).map((k) => [k, item[k]]));
    if (!spec.source && item.source_shape) spec.source = { shape: item.source_shape };
    const text = JSON.stringify(spec, null, 2);
    fill(body, section("Settings", h("div", { class: "controls" }, copyButton(() => text)),
        h("pre", { tabindex: "0", role: "region", "aria-label": "Settings as JSON" }, text)));
    return {};
}
