/*
 * A new search, from nothing, from a model (?model=), from kept weights (?architecture=), or
 * like another (?fork=). What the service finds wrong is shown while the form is filled in:
 * it is asked without starting anything (dry_run).
 */
import { h, fill, debounce } from "../dom.js";
import { all, get, post } from "../api.js";
import { params, describe } from "../cost.js";
import { heading, section, showFindings, clearFindings, notifyProblem } from "../common.js";
import { buildForm, bodyOf, fillForm, shapeOf } from "./search_form.js";
import { count, bytes, duration } from "../format.js";
import { Picture, frozen } from "../picture.js";

/* What the service estimates: the time only after it has trained something. */
function estimate(e) {
    return [`${count(e.tokens)} tokens`, `${bytes(e.memory_bytes)} of memory`, e.seconds && `about ${duration(e.seconds)}`].filter(Boolean).join(" · ");
}

class Preview {
    /* `known` are the shapes of sources that are not drawn by hand: { mod_1: shape } */
    constructor(form, known, signal) {
        this.form = form;
        this.known = known;
        this.line = h("p", { class: "lead", role: "status" });
        this.findings = h("div", { role: "alert" });
        this.picture = new Picture(frozen(shapeOf(form)), { label: "The source" });
        signal.addEventListener("abort", () => this.picture.close());
    }

    draw(extra = "") {
        const { form, picture } = this, from = form.elements.from.value, shape = from === "shape" ? shapeOf(form) : this.known[from];
        const whole = shape && shape.layers.length && [shape.hidden_size, shape.head_dim, shape.layers[0].q_heads, shape.layers[0].kv_heads, shape.layers[0].ffn].every((n) => n >= 1 && n <= 1e6);
        picture.canvas.hidden = !whole;
        if (whole) {
            picture.replay = frozen(shape);
            picture.measure();
            picture.draw();
        }
        this.line.textContent = [whole && `Source: ${count(params(shape))} parameters · ${describe(shape)}`, extra].filter(Boolean).join(" · ");
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

/* What one may start from, the one that was asked for first, and their shapes. */
async function sourcesOf(place, signal) {
    const { items } = await all("/v1/models", {}, signal).catch(() => ({ items: [] }));
    const models = items.filter((m) => m.state === "succeeded"), list = models.map((m) => [m.id, `${m.name} (${m.id})`]);
    const known = Object.fromEntries(models.map((m) => [m.id, m.shape]));
    const [fork, architecture, model] = ["fork", "architecture", "model"].map((name) => place.get(name));
    let base;
    if (fork) {
        base = await get(`/v1/searches/${encodeURIComponent(fork)}`, {}, signal);
        known.same = base.source_shape;
        list.unshift(["same", `The source of ${base.id}`]);
    } else if (architecture) {
        const item = await get(`/v1/architectures/${encodeURIComponent(architecture)}`, {}, signal);
        known[item.id] = item.shape;
        list.unshift([item.id, `The weights of ${item.id}`]);
    }
    return { base, known, list, first: base ? "same" : architecture || model || "shape" };
}

export async function show(page, { place, signal, pulse }) {
    pulse("live");
    const [{ items }, { base, known, list, first }] = await Promise.all([all("/v1/datasets", {}, signal), sourcesOf(place, signal)]);
    const data = items.filter((d) => !["failed", "cancelled"].includes(d.state)), form = buildForm(data, list);
    form.elements.from.value = first;
    form.elements.from.dispatchEvent(new Event("change"));
    const vocabulary = () => { const d = data.find((x) => x.id === form.elements.dataset.value); if (d && d.vocab_size) form.elements.vocab.value = d.vocab_size; };
    form.elements.dataset.addEventListener("change", vocabulary);
    vocabulary();
    if (base) fillForm(form, base);
    const path = base ? `/v1/searches/${base.id}/fork` : "/v1/searches", preview = new Preview(form, known, signal);
    const button = h("button", { type: "submit" }, "Start the search");
    form.append(section("Start", preview.line, preview.picture.canvas, preview.findings, h("div", { class: "buttons" }, button)));
    fill(page, heading(base ? `Fork of ${base.name}` : "New search"), form);
    preview.draw();
    let asked = 0, sent = false; /* an answer counts while nothing was asked after it */
    const check = debounce(async () => {
        const mine = ++asked;
        try {
            const body = bodyOf(form, base); /* a name can wait until it was sent once */
            const answer = await post(`${path}?dry_run=true`, { ...body, name: body.name || (sent ? "" : "new search") }, signal);
            if (mine !== asked) return;
            preview.clear();
            preview.draw(estimate(answer));
        } catch (error) {
            if (mine === asked && error.status >= 400 && error.status < 500 && error.status !== 401) { clearFindings(form); preview.blame(error); }
        }
    }, 400);
    form.addEventListener("input", () => { preview.draw(); check(); });
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        button.disabled = sent = true;
        asked++;
        try {
            const search = await post(path, bodyOf(form, base), signal);
            location.hash = `#/searches/${search.id}`;
        } catch (error) {
            preview.clear();
            const wrong = preview.blame(error);
            if (wrong && wrong.closest("details")) wrong.closest("details").open = true;
            if (wrong) wrong.focus();
            else notifyProblem(error);
        }
        button.disabled = false;
    });
    check();
}
