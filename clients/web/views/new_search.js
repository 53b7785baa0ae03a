/*
 * A new search. Each control names the part of the request that it fills (data-pointer),
 * so that what the service finds wrong stands at the control. It is asked without starting
 * anything (dry_run) while the form is filled in.
 */
import { h, fill, labelled, select, debounce } from "../dom.js";
import { all, post } from "../api.js";
import { params, describe } from "../cost.js";
import { heading, section, showFindings, clearFindings, notifyProblem } from "../common.js";
import { count, bytes, duration, readCount } from "../format.js";
import { TYPES } from "../colors.js";
import { Picture, frozen } from "../picture.js";

const text = (name, value, pointer, more) => h("input", { name, value, data: { pointer }, autocomplete: "off", ...more });
const number = (name, value, pointer, more) => text(name, value, pointer, { type: "number", step: "any", ...more });

function sourceFields(models) {
    const from = select([["shape", "A shape, trained first"], ...models.map((m) => [m.id, `${m.name} (${m.id})`])], "shape", { name: "from", data: { pointer: "/source /source/model" } });
    const shape = h("div", { class: "grid" },
        labelled("Layers", number("n_layers", 6, "/source/shape/layers /source/shape/n_layers", { min: 1, max: 128, step: 1 })),
        labelled("Hidden size", number("hidden", 192, "/source/shape/hidden_size", { min: 1, step: 1 })),
        labelled("Query heads", number("q_heads", 6, "/source/shape/layers/0/q_heads", { min: 1, step: 1 })),
        labelled("KV heads", number("kv_heads", 6, "/source/shape/layers/0/kv_heads", { min: 1, step: 1 })),
        labelled("Head dimension", number("head_dim", 32, "/source/shape/head_dim", { min: 2, step: 2 })),
        labelled("FFN channels", number("ffn", 512, "/source/shape/layers/0/ffn", { min: 1, step: 1 })),
        labelled("Vocabulary", number("vocab", 257, "/source/shape/vocab_size", { min: 1, step: 1 })),
        labelled("Family", select(["llama", "qwen2"], "llama", { name: "family", data: { pointer: "/source/shape/family" } })),
        labelled("Tokens to train the source", text("train", "1M", "/source/train /source/train/tokens"), "Such as 500k or 20M; 0 for none."),
        h("label", { class: "check" }, h("input", { type: "checkbox", name: "tied", checked: true }), "Input and output embedding are one"));
    return { from, shape };
}

const types = () => h("fieldset", { data: { pointer: "/space/types" } }, h("legend", {}, "What may go"),
    [["heads", "Attention heads"], ["ffn", "FFN channels"], ["stem", "Stem (hidden) channels"]].map(([t, label]) =>
        h("label", { class: "check" }, h("input", { type: "checkbox", name: `type_${t}`, checked: true }), label)), h("p", { class: "hint" }, ""));

function stopFields() {
    return h("div", { class: "grid" },
        labelled("Stop by", select([["ratio", "Share of parameters gone"], ["params", "Parameters left"], ["tokens", "Tokens"]], "ratio", { name: "stop_kind", data: { pointer: "/stop" } })),
        labelled("Stop at", text("stop_value", "0.7", "/stop/ratio /stop/params /stop/tokens"), "A share such as 0.7, or a number such as 1.2M."),
        labelled("Keep weights at", text("ratios", "0.3, 0.5, 0.7", "/snapshots /snapshots/ratios"), "Shares of parameters gone, by commas."),
        labelled("Seed", number("seed", 1, "/seed", { min: 0, step: 1 })));
}

const scheduleFields = () => h("div", { class: "grid" },
    labelled("Scope", select([["uniform", "Uniform: all layers stay alike"], ["per_layer", "Per layer"]], "uniform", { name: "scope", data: { pointer: "/space/scope" } })),
    labelled("Steps without pruning first", number("warmup", 50, "/schedule/warmup_steps", { min: 0, step: 1 })),
    labelled("Steps for a unit", number("unit", 1, "/schedule/steps_per_unit", { min: 1, step: 1 }), "More is slower and better informed."),
    labelled("Channels for a unit", number("channels", 1, "/schedule/channels_per_unit", { min: 1, step: 1 })));

const recipeFields = () => h("div", { class: "grid" },
    labelled("Sequences in a batch", number("batch", 8, "/recipe/batch_size", { min: 1, step: 1 })),
    labelled("Tokens in a sequence", number("length", 128, "/recipe/sequence_length", { min: 2, step: 1 })),
    labelled("Learning rate", number("lr", 0.001, "/recipe/learning_rate", { min: 0 })),
    labelled("Warm-up steps", number("lr_warmup", 20, "/recipe/warmup_steps", { min: 0, step: 1 })));

const CRITERIA = [["param_first", "mean |w·g| (EfficientLLM)"], ["vectorize", "vectorize"], ["param_second", "w²·g²"], ["param_mix", "param_mix"], ["fisher", "Fisher"],
    ["magnitude_l1", "|w|"], ["magnitude_l2", "w²"], ["wanda_sp", "Wanda-sp"], ["flap", "FLAP"], ["minitron", "Minitron"], ["saap", "SAAP"], ["obs", "OBS"], ["random", "random"]];

const moreFields = () => h("details", { class: "more" }, h("summary", {}, "More"), h("div", { class: "grid" },
    labelled("Score of a unit", select(CRITERIA, "param_first", { name: "criterion", data: { pointer: "/criterion" } })),
    labelled("After a removal", select([["none", "train on"], ["obs", "correct the neighbours (OBS)"]], "none", { name: "update", data: { pointer: "/update" } })),
    labelled("Heads go", select([["kv_group", "with their KV head"], ["query", "query head by query head"]], "kv_group", { name: "head_unit", data: { pointer: "/space/head_unit" } })),
    labelled("Fewest KV heads", number("floor_heads", "", "/space/floors/heads", { min: 1, step: 1 }), "In every layer; empty: one."),
    labelled("Fewest FFN channels", number("floor_ffn", "", "/space/floors/ffn", { min: 1, step: 1 }), "Empty: an eighth."),
    labelled("Smallest hidden size", number("floor_stem", "", "/space/floors/stem", { min: 1, step: 1 }), "Empty: an eighth."),
    labelled("Layers left alone", text("frozen", "", "/space/frozen_layers"), "By number from 0, by commas."),
    labelled("Steps between validations", number("validate", 100, "/validation /validation/every_steps", { min: 1, step: 1 })),
    labelled("Backend", select([["cpu", "CPU"], ["cuda", "GPU"], ["ref", "Reference, slow"]], "cpu", { name: "backend", data: { pointer: "/backend" } }))));

const value = (form, name) => form.elements[name].value;
const amount = (form, name) => Number(value(form, name));

export function shapeOf(form) {
    return {
        schema: "lathe.shape/1", family: value(form, "family"), hidden_size: amount(form, "hidden"), head_dim: amount(form, "head_dim"),
        vocab_size: amount(form, "vocab"), tie_word_embeddings: form.elements.tied.checked,
        layers: Array.from({ length: Math.max(0, Math.min(128, amount(form, "n_layers"))) }, () =>
            ({ q_heads: amount(form, "q_heads"), kv_heads: amount(form, "kv_heads"), ffn: amount(form, "ffn") })),
    };
}

/* NaN would travel as null; text that is no number is better refused by the server by name. */
const sent = (n, raw) => (Number.isFinite(n) ? n : raw);

const numbers = (text) => text.split(/[\s,]+/).filter(Boolean).map((r) => sent(Number(r), r));

function spaceOf(form) {
    const floors = Object.fromEntries(TYPES.filter((t) => value(form, `floor_${t}`) !== "").map((t) => [t, amount(form, `floor_${t}`)]));
    return { types: TYPES.filter((t) => form.elements[`type_${t}`].checked), scope: value(form, "scope"), head_unit: value(form, "head_unit"),
        floors, frozen_layers: numbers(value(form, "frozen")) };
}

export function bodyOf(form) {
    const from = value(form, "from"), kind = value(form, "stop_kind"), stop = value(form, "stop_value");
    return {
        name: value(form, "name"), dataset: value(form, "dataset"),
        source: from === "shape" ? { shape: shapeOf(form), train: { tokens: sent(readCount(value(form, "train")), value(form, "train")) } } : { model: from },
        space: spaceOf(form), criterion: { name: value(form, "criterion") }, update: value(form, "update"), backend: value(form, "backend"),
        validation: { every_steps: amount(form, "validate") },
        schedule: { warmup_steps: amount(form, "warmup"), steps_per_unit: amount(form, "unit"), channels_per_unit: amount(form, "channels") },
        stop: { [kind]: kind === "ratio" ? sent(Number(stop), stop) : sent(readCount(stop), stop) },
        snapshots: { ratios: numbers(value(form, "ratios")) },
        recipe: { batch_size: amount(form, "batch"), sequence_length: amount(form, "length"), learning_rate: amount(form, "lr"), warmup_steps: amount(form, "lr_warmup") },
        seed: amount(form, "seed"),
    };
}

/* What the service estimates: the time only after it has trained something. */
function estimate(e) {
    return [`${count(e.tokens)} tokens`, `${bytes(e.memory_bytes)} of memory`, e.seconds && `about ${duration(e.seconds)}`].filter(Boolean).join(" · ");
}

class Preview {
    constructor(form, signal) {
        this.form = form;
        this.line = h("p", { class: "lead", role: "status" });
        this.findings = h("div", { role: "alert" });
        this.picture = new Picture(frozen(shapeOf(form)), { label: "The source" });
        signal.addEventListener("abort", () => this.picture.close());
    }

    draw(extra = "") {
        const { form, picture } = this, isShape = value(form, "from") === "shape", shape = shapeOf(form);
        const whole = isShape && shape.layers.length && [shape.hidden_size, shape.head_dim, shape.layers[0].q_heads, shape.layers[0].kv_heads, shape.layers[0].ffn].every((n) => n >= 1 && n <= 1e6);
        picture.canvas.hidden = !whole;
        if (whole) {
            picture.replay = frozen(shape);
            picture.measure();
            picture.draw();
        }
        this.line.textContent = (whole ? `Source: ${count(params(shape))} parameters · ${describe(shape)}` : isShape ? "" : "The source is the model chosen.") + (extra ? ` · ${extra}` : "");
    }

    /* A Problem at its fields; what has no field stands above the button. */
    blame(error) {
        const homeless = showFindings(this.form, error.errors || []);
        const all_told = error.errors && error.errors.length && !homeless.length;
        fill(this.findings, all_told ? null : h("p", { class: "problem" }, homeless.length ? homeless.map((f) => `${f.pointer}: ${f.detail}`).join("; ") : error.message));
        return this.form.querySelector("[aria-invalid]");
    }

    clear() { clearFindings(this.form); fill(this.findings); }
}

async function buildForm(signal) {
    const [{ items: data }, { items: models }] = await Promise.all([all("/v1/datasets", {}, signal), all("/v1/models", {}, signal).catch(() => ({ items: [] }))]);
    const ready = data.filter((d) => !["failed", "cancelled"].includes(d.state));
    const { from, shape } = sourceFields(models.filter((m) => m.state === "succeeded"));
    const form = h("form", { novalidate: true },
        section("What", h("div", { class: "grid" }, labelled("Name", text("name", "", "/name", { maxlength: 200, required: true })),
            labelled("Data set", select(ready.map((d) => [d.id, `${d.name} (${d.id})`]), null, { name: "dataset", data: { pointer: "/dataset" } }), ready.length ? "" : "There is none yet: add one under “Data”."))),
        section("Source", h("div", { class: "grid" }, labelled("Start from", from)), shape), section("Space", types(), stopFields()), section("Schedule", scheduleFields()), section("Recipe", recipeFields(), moreFields()));
    from.addEventListener("change", () => { shape.hidden = from.value !== "shape"; });
    const vocabulary = () => { const d = ready.find((x) => x.id === value(form, "dataset")); if (d && d.vocab_size) form.elements.vocab.value = d.vocab_size; };
    form.elements.dataset.addEventListener("change", vocabulary);
    vocabulary();
    return form;
}

export async function show(page, { signal, pulse }) {
    pulse("live");
    const form = await buildForm(signal), preview = new Preview(form, signal);
    const button = h("button", { type: "submit" }, "Start the search");
    form.append(section("Start", preview.line, preview.picture.canvas, preview.findings, h("div", { class: "buttons" }, button)));
    fill(page, heading("New search"), form);
    preview.draw();
    const check = debounce(async () => {
        try {
            const body = bodyOf(form); /* a name can wait until the end */
            const answer = await post("/v1/searches?dry_run=true", { ...body, name: body.name || "new search" }, signal);
            preview.clear();
            preview.draw(estimate(answer));
        } catch (error) {
            if (error.status >= 400 && error.status < 500 && error.status !== 401) { clearFindings(form); preview.blame(error); }
        }
    }, 400);
    form.addEventListener("input", () => { preview.draw(); check(); });
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
            const search = await post("/v1/searches", bodyOf(form), signal);
            location.hash = `#/searches/${search.id}`;
        } catch (error) {
            preview.clear();
            const first = preview.blame(error);
            if (first && first.closest("details")) first.closest("details").open = true;
            if (first) first.focus();
            else notifyProblem(error);
        }
        button.disabled = false;
    });
}
