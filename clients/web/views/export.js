/*
 * One export: for each format the files with their checksums, the proof that they say what
 * the model says, and which runtimes load them.
 */
import { h, fill } from "../dom.js";
import { liveItem } from "../live.js";
import { badge, heading, section, sheet, num, stat, verbButtons, copyButton } from "../common.js";
import { fileSheet } from "../artifacts.js";
import { subjectLink } from "../subjects.js";
import { FORMATS, targetName } from "../formats.js";
import { save } from "../save.js";
import { bytes, clock, percent, score, whole } from "../format.js";

/* On what share of the positions both would say the same next. */
const agreement = ({ same_first_choice: same }) => percent(same, same < 1 ? 2 : 0);

function proof(target) {
    const { parity } = target;
    if (target.format === "shape") return h("p", { class: "hint" }, "A shape has no logits to compare.");
    if (!parity) return h("p", { class: "hint" }, target.files && target.files.length ? "This format was not run against the model." : "The proof comes with the files.");
    return h("dl", { class: "stats" },
        stat("Prompts", whole(parity.prompts)), stat("Positions", whole(parity.positions)), stat("Largest logit difference", score(parity.max_abs_logit_difference)),
        stat("Mean KL, nats", score(parity.mean_kl)), stat("Same first choice", agreement(parity)));
}

function files(target) {
    const list = target.files || [];
    if (!list.length) return null;
    const sums = list.map((f) => `${f.sha256}  ${f.name}\n`).join("");
    return [fileSheet(`Files of ${targetName(target)}`, list), h("div", { class: "controls after" }, h("button", { type: "button", class: "small quiet", on: { click: () => save("SHA256SUMS", "text/plain", sums) } }, "SHA256SUMS"), copyButton(() => sums, "Copy checksums"))];
}

function runtimes(target) {
    const list = target.runtimes || [];
    return list.length ? sheet(`Runtimes of ${targetName(target)}`, ["Runtime", "Loads it", "How, or why not"], list.map((r) => h("tr", {}, h("th", { scope: "row" }, r.runtime || r.name),
        h("td", {}, h("span", { class: `mark ${r.loads ? "yes" : "no"}` }, r.loads ? "Yes" : "No")), h("td", {}, r.why || "–"))), { menu: false }) : null;
}

function targetPanel(target) {
    const stored = target.params_stored && target.params && target.params_stored !== target.params;
    return section(targetName(target), h("p", { class: "hint" }, (FORMATS[target.format] || ["", ""])[1]),
        h("p", {}, target.params ? `${whole(target.params)} parameters${stored ? `, ${whole(target.params_stored)} stored (${percent(target.params_stored / target.params - 1)} more)` : ", stored as they are"}.` : null),
        h("h3", {}, "The same model?"), proof(target), (target.runtimes || []).length ? h("h3", {}, "Who loads it") : null, runtimes(target),
        (target.files || []).length ? h("h3", {}, "Files") : null, files(target));
}

const sizeOf = (target) => (target.files || []).reduce((sum, f) => sum + f.bytes, 0) || null;

/* All formats at a glance. */
function overview(item) {
    const done = (item.targets || []).filter((t) => (t.files || []).length);
    if (done.length < 2) return null;
    return section("At a glance", sheet("The formats side by side", ["Format", "#Size", "#Stored more", "#Largest logit difference", "#Mean KL", "#Same first choice", "Loaded by"], done.map((t) => {
        const p = t.parity || {}, loads = (t.runtimes || []).filter((r) => r.loads).map((r) => r.runtime);
        return h("tr", {}, h("th", { scope: "row" }, targetName(t)), num(bytes(sizeOf(t)), sizeOf(t)), num(percent(t.overhead), t.overhead ?? null), num(score(p.max_abs_logit_difference), p.max_abs_logit_difference ?? null),
            num(score(p.mean_kl), p.mean_kl ?? null), num(agreement(p), p.same_first_choice ?? null), h("td", {}, loads.join(", ") || "–"));
    })), h("p", { class: "hint" }, "Each file was read back and run on the same prompts as the model it came from."));
}

export async function show(page, { id, signal, pulse }) {
    let draw = () => {};
    const live = liveItem({ path: "/v1/exports", id, signal, onState: pulse, changed: (item) => draw(item) });
    const item = await live.ready;
    const state = h("span", { class: "state" }), actions = h("span"), reason = h("p", { class: "reason" }), body = h("div");
    let shown = "";
    draw = (now) => {
        const mark = JSON.stringify([now.state, now.reason, now.targets]);
        if (mark === shown) return;
        shown = mark;
        fill(state, badge(now.state));
        fill(actions, verbButtons("exports", now, live.acted));
        fill(reason, now.reason || "");
        fill(body, overview(now), (now.targets || []).map(targetPanel));
    };
    draw(item);
    fill(page, heading(item.name || `Export ${item.id}`, state, actions), reason,
        h("dl", { class: "stats" }, stat("Of", subjectLink(item)), stat("Formats", String((item.targets || []).length)), stat("Tokenizer", (item.tokenizer && item.tokenizer.kind) || "–"), stat("Created", clock(item.created_at))), body);
}
