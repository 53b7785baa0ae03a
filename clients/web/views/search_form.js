/*
 * The form of a search: its fields, what they say as a request, and a request as what they
 * say. Each control names the part of the request that it fills (data-pointer), so that what
 * the service finds wrong stands at the control.
 */
import { h, labelled, select } from "../dom.js";
import { isUniform } from "../cost.js";
import { section } from "../common.js";
import { readCount } from "../format.js";
import { TYPES } from "../colors.js";

const text = (name, value, pointer, more) => h("input", { name, value, data: { pointer }, autocomplete: "off", ...more });
const number = (name, value, pointer, more) => text(name, value, pointer, { type: "number", step: "any", ...more });
const wide = (field) => { field.classList.add("wide"); return field; };

function sourceFields(sources) {
    const from = select([...sources, ["shape", "A shape, trained first"]], "shape", { name: "from", data: { pointer: "/source /source/model /source/architecture" } });
    const shape = h("div", { class: "grid", hidden: from.value !== "shape" },
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
    from.addEventListener("change", () => { shape.hidden = from.value !== "shape"; });
    return [h("div", { class: "grid" }, wide(labelled("Start from", from))), shape];
}

const types = () => h("fieldset", { data: { pointer: "/space/types" } }, h("legend", {}, "What may go"), h("div", { class: "choices" },
    [["heads", "Attention heads"], ["ffn", "FFN channels"], ["stem", "Stem (hidden) channels"]].map(([t, label]) =>
        h("label", { class: "check" }, h("input", { type: "checkbox", name: `type_${t}`, checked: true }), label))), h("p", { class: "hint" }, ""));

const stopFields = () => h("div", { class: "grid" },
    labelled("Stop by", select([["ratio", "Share removed"], ["params", "Parameters left"], ["tokens", "Tokens"]], "ratio", { name: "stop_kind", data: { pointer: "/stop" } })),
    labelled("Stop at", text("stop_value", "0.7", "/stop/ratio /stop/params /stop/tokens"), "A share such as 0.7, or a number such as 1.2M."),
    labelled("Keep weights at", text("ratios", "0.3, 0.5, 0.7", "/snapshots /snapshots/ratios"), "Shares of parameters gone, by commas."),
    labelled("Seed", number("seed", 1, "/seed", { min: 0, step: 1 })));

const scheduleFields = () => h("div", { class: "grid" },
    labelled("Scope", select([["uniform", "Uniform, layers alike"], ["per_layer", "Per layer"]], "uniform", { name: "scope", data: { pointer: "/space/scope" } })),
    labelled("Steps before pruning", number("warmup", 50, "/schedule/warmup_steps", { min: 0, step: 1 })),
    labelled("Steps for a unit", number("unit", 1, "/schedule/steps_per_unit", { min: 1, step: 1 }), "More is slower and better informed."),
    labelled("Channels for a unit", number("channels", 1, "/schedule/channels_per_unit", { min: 1, step: 1 })));

const recipeFields = () => h("div", { class: "grid" },
    labelled("Sequences in a batch", number("batch", 8, "/recipe/batch_size", { min: 1, step: 1 })),
    labelled("Tokens in a sequence", number("seq_length", 128, "/recipe/sequence_length", { min: 2, step: 1 })),
    labelled("Learning rate", number("lr", 0.001, "/recipe/learning_rate", { min: 0 })),
    labelled("Warm-up steps", number("lr_warmup", 20, "/recipe/warmup_steps", { min: 0, step: 1 })));

const CRITERIA = [["param_first", "mean |w·g| (EfficientLLM)"], ["vectorize", "vectorize"], ["param_second", "w²·g²"], ["param_mix", "param_mix"], ["fisher", "Fisher"],
    ["magnitude_l1", "|w|"], ["magnitude_l2", "w²"], ["wanda_sp", "Wanda-sp"], ["flap", "FLAP"], ["minitron", "Minitron"], ["saap", "SAAP"], ["obs", "OBS"], ["bypass", "Bypass"], ["random", "random"]];

const moreFields = () => h("details", { class: "more" }, h("summary", {}, "More"), h("div", { class: "grid" },
    labelled("Score of a unit", select(CRITERIA, "param_first", { name: "criterion", data: { pointer: "/criterion" } })),
    labelled("After a removal", select([["none", "train on"], ["obs", "correct the neighbours (OBS)"], ["bias", "make up by biases (FLAP)"]], "none", { name: "update", data: { pointer: "/update" } })),
    labelled("Heads go", select([["kv_group", "with their KV head"], ["query", "query head by query head"]], "kv_group", { name: "head_unit", data: { pointer: "/space/head_unit" } })),
    labelled("Fewest KV heads", number("floor_heads", "", "/space/floors/heads", { min: 1, step: 1 }), "In every layer; empty: one."),
    labelled("Fewest FFN channels", number("floor_ffn", "", "/space/floors/ffn", { min: 1, step: 1 }), "Empty: an eighth."),
    labelled("Smallest hidden size", number("floor_stem", "", "/space/floors/stem", { min: 1, step: 1 }), "Empty: an eighth."),
    labelled("Layers left alone", text("frozen", "", "/space/frozen_layers"), "By number from 0, by commas."),
    labelled("Tokens after the pruning", text("recover", "", "/recover /recover/tokens"), "Training on, so that what is left recovers; empty: none."),
    labelled("Steps between validations", number("validate", 100, "/validation /validation/every_steps", { min: 1, step: 1 })),
    labelled("Backend", select([["cpu", "CPU"], ["cuda", "GPU"], ["cuda-exact", "GPU, the same bits every time"], ["ref", "Reference, slow"]], "cpu", { name: "backend", data: { pointer: "/backend" } }))));

/* `sources` are what one may start from besides a shape: [[value, label]]. */
export function buildForm(data, sources) {
    return h("form", { novalidate: true },
        section("What", h("div", { class: "grid" }, wide(labelled("Name", text("name", "", "/name", { maxlength: 200, required: true }))),
            wide(labelled("Data set", select(data.map((d) => [d.id, `${d.name} (${d.id})`]), null, { name: "dataset", data: { pointer: "/dataset" } }), data.length ? "" : "There is none yet: add one under “Data”.")))),
        section("Source", sourceFields(sources)), section("Space", types(), stopFields()), section("Schedule", scheduleFields()), section("Recipe", recipeFields(), moreFields()));
}

/* ---- what the form says */

const value = (form, name) => form.elements[name].value; /* no field may be called "length": elements has one */
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

const numbers = (list) => list.split(/[\s,]+/).filter(Boolean).map((r) => sent(Number(r), r));

function spaceOf(form) {
    const floors = Object.fromEntries(TYPES.filter((t) => value(form, `floor_${t}`) !== "").map((t) => [t, amount(form, `floor_${t}`)]));
    return { types: TYPES.filter((t) => form.elements[`type_${t}`].checked), scope: value(form, "scope"), head_unit: value(form, "head_unit"),
        floors, frozen_layers: numbers(value(form, "frozen")) };
}

function sourceOf(form) {
    const from = value(form, "from");
    if (from === "shape") return { shape: shapeOf(form), train: { tokens: sent(readCount(value(form, "train")), value(form, "train")) } };
    return from.startsWith("arch_") ? { architecture: from } : { model: from };
}

/* `base` is the search that is forked: what the form has no field for stays as it was there. */
export function bodyOf(form, base = {}) {
    const kind = value(form, "stop_kind"), stop = value(form, "stop_value"), same = value(form, "from") === "same";
    return {
        name: value(form, "name"), dataset: value(form, "dataset"), ...(same ? {} : { source: sourceOf(form) }),
        space: { ...base.space, ...spaceOf(form) }, criterion: criterionOf(form, base.criterion), update: value(form, "update"), backend: value(form, "backend"),
        validation: { ...base.validation, every_steps: amount(form, "validate") },
        schedule: { ...base.schedule, warmup_steps: amount(form, "warmup"), steps_per_unit: amount(form, "unit"), channels_per_unit: amount(form, "channels") },
        stop: { [kind]: kind === "ratio" ? sent(Number(stop), stop) : sent(readCount(stop), stop) },
        ...(value(form, "recover").trim() ? { recover: { ...base.recover, tokens: sent(readCount(value(form, "recover")), value(form, "recover")) } } : base.recover ? { recover: { tokens: 0 } } : {}),
        snapshots: { ...base.snapshots, ratios: numbers(value(form, "ratios")) },
        recipe: { batch_size: amount(form, "batch"), sequence_length: amount(form, "seq_length"), learning_rate: amount(form, "lr"), warmup_steps: amount(form, "lr_warmup") },
        seed: amount(form, "seed"),
    };
}

/* Another criterion starts from its own defaults. */
const criterionOf = (form, was) => (was && was.name === value(form, "criterion") ? was : { name: value(form, "criterion") });

/* ---- a search as the form */

function put(form, name, v) {
    if (v !== undefined && v !== null && form.elements[name]) form.elements[name].value = Array.isArray(v) ? v.join(", ") : v;
}

export function fillForm(form, search) {
    const { space = {}, schedule = {}, recipe = {}, stop = {}, source_shape: shape } = search;
    const [kind] = ["ratio", "params", "tokens"].filter((k) => stop[k] !== undefined && stop[k] !== null);
    const known = { name: `${search.name.slice(0, 180)}, again`, dataset: search.dataset, stop_kind: kind, stop_value: stop[kind], ratios: search.snapshots && search.snapshots.ratios, seed: search.seed,
        scope: space.scope, head_unit: space.head_unit, frozen: space.frozen_layers, warmup: schedule.warmup_steps, unit: schedule.steps_per_unit, channels: schedule.channels_per_unit,
        batch: recipe.batch_size, seq_length: recipe.sequence_length, lr: recipe.learning_rate, lr_warmup: recipe.warmup_steps, criterion: search.criterion && search.criterion.name,
        update: search.update, validate: search.validation && search.validation.every_steps, backend: search.backend, recover: search.recover && search.recover.tokens };
    for (const [name, v] of Object.entries(known)) put(form, name, v);
    for (const t of TYPES) {
        if (space.types) form.elements[`type_${t}`].checked = space.types.includes(t);
        put(form, `floor_${t}`, space.floors && space.floors[t]);
    }
    if (!shape || !isUniform(shape)) return;
    const shaped = { n_layers: shape.layers.length, hidden: shape.hidden_size, head_dim: shape.head_dim, vocab: shape.vocab_size, family: shape.family, ...shape.layers[0] };
    for (const [name, v] of Object.entries(shaped)) put(form, name, v);
    form.elements.tied.checked = shape.tie_word_embeddings !== false;
    put(form, "train", search.source && search.source.train && search.source.train.tokens);
}
