/*
 * One evaluation: what every task found.
 */
import { h, fill } from "../dom.js";
import { get } from "../api.js";
import { liveItem } from "../live.js";
import { badge, heading, section, sheet, num, stat, verbButtons, notifyProblem } from "../common.js";
import { subjectLink, TASK_FORMS } from "../subjects.js";
import { metricName, metricsOf, valueText, isShare, besideText } from "../metrics.js";
import { filesOf } from "../artifacts.js";
import { save } from "../save.js";
import { clock, whole } from "../format.js";

const formName = (form) => (TASK_FORMS.find(([k]) => k === form) || [form, form])[1];

/* A bar for what is a share, with its standard error as a whisker. */
function shareBar(value, error) {
    const at = (v) => `${Math.max(0, Math.min(1, v)) * 100}%`;
    return h("span", { class: "share", "aria-hidden": "true", vars: { "--w": at(value) } }, Number.isFinite(error) ? h("span", { class: "whisker", vars: { "--from": at(value - error), "--span": at(2 * error) } }) : null);
}

function resultPanel(result) {
    const rows = metricsOf(result).map(([key, value, error]) => h("tr", {}, h("th", { scope: "row" }, metricName(key)), num(valueText(key, value), value),
        num(besideText(result.metrics, key), error ?? null), h("td", { class: "bar" }, isShare(key) ? shareBar(value, error) : null)));
    return section(result.task, h("p", { class: "hint" }, [formName(result.form), Number.isFinite(result.items) && `${whole(result.items)} items`].filter(Boolean).join(" · ")),
        sheet(`Metrics of ${result.task}`, ["Metric", "#Value", "#Error or range", ""], rows, { unnamed: "As a bar" }));
}

function harnessButton(item, signal) {
    return h("button", { type: "button", class: "small quiet", on: { click: () => get(`/v1/evaluations/${item.id}`, { format: "lm_eval" }, signal)
        .then((answer) => save(`${item.id}-lm_eval.json`, "application/json", `${JSON.stringify(answer, null, 2)}\n`)).catch(notifyProblem) } }, "As lm-eval JSON");
}

export async function show(page, { id, signal, pulse }) {
    let draw = () => {};
    const live = liveItem({ path: "/v1/evaluations", id, signal, onState: pulse, changed: (item) => draw(item) });
    const item = await live.ready;
    const state = h("span", { class: "state" }), actions = h("span"), reason = h("p", { class: "reason" }), body = h("div"), kept = h("div"), bar = h("progress", { max: 1, "aria-label": "Items done" });
    let shown = "";
    draw = (now) => {
        const { progress } = now;
        bar.hidden = now.state !== "running" || !(progress && progress.total);
        bar.value = progress && progress.total ? progress.done / progress.total : 0;
        const mark = JSON.stringify([now.state, now.reason, now.results]);
        if (mark === shown) return;
        shown = mark;
        fill(state, badge(now.state));
        fill(actions, verbButtons("evaluations", now, live.acted, now.state === "succeeded" ? harnessButton(item, signal) : null));
        fill(reason, now.reason || "");
        fill(kept, filesOf(item.id, signal));
        const results = now.results || [];
        fill(body, results.length ? results.map(resultPanel) : section("Results", h("p", { class: "hint" }, ["failed", "cancelled"].includes(now.state) ? "There are none." : "They appear task by task.")));
    };
    draw(item);
    fill(page, heading(item.name || `Evaluation ${item.id}`, state, actions), reason, bar,
        h("dl", { class: "stats" }, stat("Of", subjectLink(item)), stat("Tasks", String((item.tasks || item.results || []).length)), stat("Created", clock(item.created_at))), body, kept);
}
