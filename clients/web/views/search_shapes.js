/*
 * The shapes of a search at round ratios, side by side.
 */
import { h, fill } from "../dom.js";
import { get } from "../api.js";
import { describe } from "../cost.js";
import { section, sheet, num, link } from "../common.js";
import { basketButton } from "../basket.js";
import { count, percent, bytes, whole } from "../format.js";

const ROUND = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

function row(item) {
    const { totals } = item;
    return h("tr", {}, h("th", { scope: "row" }, link(item.architecture, percent(item.ratio))),
        num(count(totals.params), totals.params), num(count(totals.flops_per_token), totals.flops_per_token), num(bytes(totals.kv_bytes_per_token), totals.kv_bytes_per_token), num(whole(item.ordinal), item.ordinal),
        h("td", {}, item.weights === "snapshot" ? "kept" : "–"), h("td", { class: "index" }, item.shape ? describe(item.shape) : "–"),
        h("td", {}, basketButton(item.architecture)));
}

export async function pane(body, { item, signal }) {
    const ratios = ROUND.filter((r) => r <= (item.ratio || 0) + 1e-9);
    if (!ratios.length) {
        fill(body, section("Shapes", h("p", { class: "hint" }, "The first shapes appear when 10 % of the parameters are gone.")));
        return {};
    }
    const page = await get(`/v1/searches/${item.id}/shapes`, { ratios: ratios.join(",") }, signal);
    const head = ["Removed", "#Parameters", "#FLOPs/token", "#KV/token", "#Removals", "Weights", "Shape", ""];
    fill(body, section("Shapes at round ratios", sheet("Shapes at round ratios", head, page.items.map(row), { unnamed: "Compare" }),
        h("p", { class: "hint" }, "Any other ratio: the time machine.")));
    return {};
}
