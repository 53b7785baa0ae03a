/*
 * One comparison: the curves of its arms, differences with their interval, and the runs.
 */
import { h, fill, throttle } from "../dom.js";
import { ask, get, offers } from "../api.js";
import { liveItem } from "../live.js";
import { badge, heading, link, section, sheet, num, stat, verbButtons, notifyProblem, OVER, RULES } from "../common.js";
import { humanPanel } from "./architecture.js";
import { Curves, NAMES } from "./comparison_curves.js";
import { save } from "../save.js";
import { count, fixed, signed, whole } from "../format.js";

function differencesTable(item) {
    const list = item.differences || [];
    if (!list.length) return h("p", { class: "hint" }, "Differences appear when two arms have finished with the same seed.");
    const verdict = (d) => {
        if (!d.ci95) return "one seed: no interval";
        const [low, high] = d.ci95;
        return low > 0 ? `${NAMES[d.b] || d.b} is better` : high < 0 ? `${NAMES[d.a] || d.a} is better` : "not told apart";
    };
    return sheet("Paired differences", ["Difference of validation loss", "#Mean", "#95 % interval", "#By seed", "What it says"], list.map((d) =>
        h("tr", {}, h("th", { scope: "row" }, `${NAMES[d.a] || d.a} − ${NAMES[d.b] || d.b}`), num(signed(d.mean), d.mean),
            num(d.ci95 ? `${signed(d.ci95[0])} … ${signed(d.ci95[1])}` : "–", d.ci95 ? d.ci95.join(" ") : null), num((d.per_seed || []).map((x) => signed(x)).join(", "), (d.per_seed || []).join(" ")),
            h("td", { class: "when" }, verdict(d)))));
}

function armsTable(item) {
    return sheet("Runs of this comparison", ["Arm", "#Seed", "Run", "State", "#Parameters", "#Tokens", "#Validation loss"], item.arms.map((a) =>
        h("tr", {}, h("th", { scope: "row" }, NAMES[a.arm] || a.arm), num(String(a.seed)), h("td", {}, link(a.run)), h("td", {}, badge(a.state)),
            num(whole(a.params), a.params), num(count(a.tokens), a.tokens), num(fixed(a.validation_loss, 4), a.validation_loss))));
}

async function reportButton(item, signal) {
    if (!await offers("GET", "/v1/comparisons/{id}/report")) return null;
    return h("button", { type: "button", class: "small quiet", on: { click: () => ask(`/v1/comparisons/${item.id}/report`, { signal }).then((r) => r.text())
        .then((text) => save(`${item.id}.md`, "text/markdown", text)).catch(notifyProblem) } }, "Report as Markdown");
}

export async function show(page, { id, place, signal, pulse }) {
    let draw = () => {};
    const live = liveItem({ path: "/v1/comparisons", id, signal, onState: pulse, changed: (item) => draw(item) });
    const item = await live.ready;
    const architecture = await get(`/v1/architectures/${item.architecture}`, {}, signal).catch(() => null);
    const curves = new Curves({ item, architecture, place, signal }), report = await reportButton(item, signal);
    signal.addEventListener("abort", () => curves.close());
    const state = h("span", { class: "state" }), actions = h("span"), differences = h("div"), arms = h("div");
    let over = OVER.has(item.state);
    draw = (now) => {
        Object.assign(item, now);
        fill(state, badge(item.state));
        fill(actions, verbButtons("comparisons", item, () => live.again(), report));
        fill(differences, differencesTable(item));
        fill(arms, armsTable(item));
        if (!over && OVER.has(item.state)) curves.read(); /* their ends, which no tick below asks for */
        over = OVER.has(item.state);
    };
    draw(item);
    fill(page, heading(item.name || item.id, state, actions),
        h("dl", { class: "stats" }, stat("Architecture", link(item.architecture)), stat("Trained under", RULES[item.budget_rule] || item.budget_rule), stat("Tokens for each arm", count(item.budget && item.budget.tokens)),
            stat("The search’s own tokens", count(architecture && architecture.tokens)), stat("Seeds", [...new Set(item.arms.map((a) => a.seed))].join(", "))),
        curves.element, section("Differences at the end", differences), section("Runs", arms), architecture ? humanPanel(architecture) : null);
    await curves.read();
    const again = throttle(async () => { if (!signal.aborted && !OVER.has(item.state)) { await live.again().catch(() => {}); await curves.read(); } }, 1000);
    const timer = setInterval(again, 4000);
    signal.addEventListener("abort", () => clearInterval(timer));
}
