/*
 * What can be started from an architecture: a run that keeps or throws away its weights, and
 * a comparison with the human-practice shape.
 */
import { h, labelled, select } from "../dom.js";
import { all, post } from "../api.js";
import { askForm, notify } from "../common.js";
import { readCount } from "../format.js";

async function dataSets(signal) {
    const { items } = await all("/v1/datasets", {}, signal);
    return items.filter((d) => d.state === "succeeded").map((d) => [d.id, `${d.name} (${d.id})`]);
}

const tokensOf = (form, name) => readCount(form.elements[name].value);
const dataField = (options, dataset) => labelled("Data set", select(options, dataset, { name: "dataset", data: { pointer: "/dataset" } }));
const tokensField = (label, value = "1M") => labelled(label, h("input", { name: "tokens", value, required: true, data: { pointer: "/budget /budget/tokens" } }), "Such as 500k or 20M.");

/* `like` is a run whose budget, seed and name are where to start from. */
export async function askRun({ architecture, init, dataset, signal, like }) {
    const options = await dataSets(signal);
    askForm(init === "inherit" ? "Keep the weights and train on" : "Re-initialise and train from scratch", [
        labelled("Name", h("input", { name: "name", maxlength: 200, value: like ? like.name : `${architecture} ${init}`, data: { pointer: "/name" } })),
        dataField(options, dataset), tokensField("Tokens to train on", like ? String(like.budget.tokens) : "1M"),
        labelled("Seed", h("input", { name: "seed", type: "number", min: 0, value: like ? like.seed + 1 : 1, data: { pointer: "/seed" } })),
    ], "Start", async (form) => {
        const run = await post("/v1/runs", {
            name: form.elements.name.value, architecture, init, dataset: form.elements.dataset.value,
            budget: { tokens: tokensOf(form, "tokens") }, seed: Number(form.elements.seed.value), ...(like ? { recipe: like.recipe } : {}),
        });
        notify(`${run.id} was started.`);
        location.hash = `#/runs/${run.id}`;
    });
}

const RULES = [["train_matched", "The same training tokens for every arm"], ["pipeline_matched", "The search’s tokens on top for arms that start afresh"]];

export async function askComparison({ architecture, kept, dataset, signal }) {
    const options = await dataSets(signal), arms = ["inherit", "reinit", "human"];
    const boxes = h("fieldset", { data: { pointer: "/arms" } }, h("legend", {}, "Arms"), arms.map((arm) =>
        h("label", { class: "check" }, h("input", { type: "checkbox", name: `arm_${arm}`, checked: arm !== "inherit" || kept, disabled: arm === "inherit" && !kept }),
            { inherit: kept ? "Keep weights" : "Keep weights (none were kept here)", reinit: "Re-initialise", human: "Human-practice shape" }[arm])),
    h("p", { class: "hint" }, ""));
    askForm("Auto versus human", [
        labelled("Name", h("input", { name: "name", maxlength: 200, value: `${architecture} against human practice`, data: { pointer: "/name" } })),
        boxes, dataField(options, dataset), tokensField("Tokens for every arm"),
        labelled("Seeds", h("input", { name: "seeds", value: "1, 2, 3", data: { pointer: "/seeds" } }), "Several, by commas, give an interval."),
        labelled("Budget rule", select(RULES, "train_matched", { name: "rule", data: { pointer: "/budget_rule" } })),
    ], "Start", async (form) => {
        const comparison = await post("/v1/comparisons", {
            name: form.elements.name.value, architecture, arms: arms.filter((a) => form.elements[`arm_${a}`].checked),
            seeds: form.elements.seeds.value.split(/[\s,]+/).filter(Boolean).map(Number), budget_rule: form.elements.rule.value,
            budget: { tokens: tokensOf(form, "tokens") }, dataset: form.elements.dataset.value,
        });
        location.hash = `#/comparisons/${comparison.id}`;
    });
}
