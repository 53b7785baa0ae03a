/*
 * The shape time machine: the picture of the model after any removal, wound by two
 * sliders (by removal, by ratio), by the keyboard or by itself. A click opens the
 * architecture that is shown.
 */
import { h, fill, say, labelled, throttle } from "../dom.js";
import { Picture } from "../picture.js";
import { describe } from "../cost.js";
import { notifyProblem, section, layerSheet } from "../common.js";
import { TYPES, TYPE_NAMES } from "../colors.js";
import { saveMenu } from "../save.js";
import { count, percent, whole, score } from "../format.js";

const SECONDS = 12; /* of a whole playback */
const READOUT_MS = 80; /* between two texts: nobody reads sixty a second, and they cost more than the picture */

export class Machine {
    constructor({ item, trajectory, place, signal }) {
        this.item = item;
        this.trajectory = trajectory;
        this.replay = trajectory.replay;
        this.place = place;
        this.follow = !place.get("at");
        this.picture = new Picture(this.replay, { label: "Layers by heads and FFN channels at the removal chosen below", onClick: () => this.open() });
        this.scrub = h("input", { type: "range", min: 0, max: 0, step: 1, id: "scrub", on: { input: () => this.choose(Number(this.scrub.value)) } });
        this.ratio = h("input", { type: "range", min: 0, max: 1, step: 0.001, id: "by_ratio", on: { input: () => this.chooseRatio() } });
        this.readout = h("div", { class: "readout", role: "status" });
        this.play = h("button", { type: "button", on: { click: () => this.togglePlay() } }, "Play");
        this.openButton = h("button", { type: "button", class: "quiet", on: { click: () => this.open() } }, "Open this architecture");
        this.tell = throttle(() => !signal.aborted && this.describe(), READOUT_MS);
        this.element = this.build();
        this.changed = () => this.grow();
        trajectory.listeners.add(this.changed);
        signal.addEventListener("abort", () => this.close());
        this.grow();
        const at = Number(place.get("at"));
        if (place.get("at") && Number.isInteger(at)) this.wanted = at;
        this.choose(this.wanted ?? this.replay.length, true);
    }

    build() {
        const mode = h("select", { id: "mode", on: { change: (e) => { this.picture.mode = e.target.value; this.picture.draw(); } } },
            h("option", { value: "survivors" }, "Which units survive"), h("option", { value: "widths" }, "How wide it is"));
        const legend = h("div", { class: "legend" }, [["heads", "Query heads"], ["kv", "KV heads"], ["ffn", "FFN"], ["stem", "Stem"], ["ghost", "Removed"]]
            .map(([name, label]) => h("span", { class: "key" }, h("span", { class: "swatch", vars: { "--swatch": `var(--${name})` } }), label)));
        return section("Shape time machine",
            h("div", { class: "controls" }, h("label", { for: "mode" }, "Show"), mode, this.play, this.openButton, this.menu()),
            legend, this.picture.canvas, this.readout,
            h("div", { class: "sliders" }, labelled("Removal", this.scrub, "Arrow keys step by one, Page Up and Page Down by many."),
                labelled("Share of parameters removed", this.ratio, "The first shape at which this share is removed.")));
    }

    /* The picture as it is, and the shape. */
    menu() {
        const name = () => `${this.item.id}, removal ${this.replay.ordinal}`;
        return saveMenu(`Picture of ${this.item.id}`, { json: () => this.replay.shape(),
            svg: () => import("../picture_svg.js").then(({ pictureSvg }) => pictureSvg(this.replay, this.picture.mode === "widths", `${name()}: ${describe(this.replay.shape())}`)) });
    }

    /* More removals than before: stay at the end when we were there. */
    grow() {
        const n = this.replay.length, atEnd = this.follow && !this.playing;
        this.scrub.max = n;
        if (n) this.ratio.max = Math.max(0.001, 1 - this.replay.paramsAt(n, this.item.params_source) / this.item.params_source).toFixed(3);
        if (this.wanted !== undefined && this.wanted <= n) { this.choose(this.wanted); this.wanted = undefined; }
        else if (atEnd) this.choose(n, true);
        else this.tell();
    }

    choose(ordinal, following = false) {
        this.follow = following || ordinal === this.replay.length;
        this.target = ordinal;
        this.frame ||= requestAnimationFrame(() => this.show());
    }

    chooseRatio() {
        this.byRatio = true;
        this.choose(this.replay.ordinalOfRatio(Number(this.ratio.value), this.item.params_source));
    }

    show() {
        this.frame = 0;
        const ordinal = this.replay.seek(this.target);
        this.frames = (this.frames || 0) + 1;
        this.picture.draw();
        this.scrub.value = ordinal;
        const gone = 1 - this.replay.paramsAt(ordinal, this.item.params_source) / this.item.params_source;
        if (!this.byRatio) this.ratio.value = gone;
        this.byRatio = false;
        this.scrub.setAttribute("aria-valuetext", `removal ${ordinal} of ${this.replay.length}`);
        this.ratio.setAttribute("aria-valuetext", `${percent(gone)} of the parameters gone`);
        this.tell();
        clearTimeout(this.writing);
        this.writing = setTimeout(() => this.write(), 300);
    }

    write() {
        clearTimeout(this.writing);
        this.place.set("at", this.follow ? "" : this.replay.ordinal);
    }

    describe() {
        const { replay, item } = this, { ordinal } = replay;
        const params = replay.paramsAt(ordinal, item.params_source), removal = ordinal ? replay.removals[ordinal - 1] : null;
        const scores = (removal && removal.min_score) || {}, given = TYPES.filter((t) => Number.isFinite(scores[t])).map((t) => `${TYPE_NAMES[t]} ${score(scores[t])}`);
        const what = removal ? `${TYPE_NAMES[removal.type]} ${removal.layer === -1 ? "in every layer" : `of layer ${removal.layer}`}. Lowest scores then: ${given.join(" · ")}.`
            : "nothing, this is the source.";
        fill(this.readout,
            h("p", {}, h("strong", {}, `Removal ${whole(ordinal)} of ${whole(replay.length)}`), ` · ${count(params)} parameters (${percent(1 - params / item.params_source)} gone)` +
                (removal ? ` · ${count(removal.tokens)} tokens` : "")),
            h("p", {}, describe(replay.shape())), h("p", { class: "hint" }, `Removed: ${what}`));
    }

    togglePlay() {
        this.playing = !this.playing;
        say(this.play, this.playing ? "Stop" : "Play");
        if (!this.playing) return;
        const from = this.replay.ordinal >= this.replay.length ? 0 : this.replay.ordinal, start = performance.now();
        const tick = (now) => {
            if (!this.playing) return;
            const at = from + ((now - start) / 1000 / SECONDS) * this.replay.length;
            this.target = Math.min(this.replay.length, Math.max(from, Math.floor(at)));
            this.follow = false;
            this.show();
            if (this.target >= this.replay.length) this.togglePlay();
            else requestAnimationFrame(tick);
        };
        requestAnimationFrame(tick);
    }

    async open() {
        try {
            const id = await this.trajectory.architectureAt(this.replay.ordinal);
            if (this.closed) return;
            this.write(); /* Back leads to what was opened, not to the end */
            location.hash = `#/architectures/${id}`;
        } catch (error) { notifyProblem(error); }
    }

    close() {
        this.closed = true;
        this.playing = false;
        clearTimeout(this.writing);
        cancelAnimationFrame(this.frame);
        this.trajectory.listeners.delete(this.changed);
        this.picture.close();
    }
}

/* The widths of every layer as text, for those who do not see the picture. */
function layerTable(machine) {
    const box = h("details", { class: "numbers" }, h("summary", {}, "Layers in numbers"));
    box.addEventListener("toggle", () => {
        if (!box.open) return;
        fill(box, h("summary", {}, "Layers in numbers"), layerSheet(machine.replay.shape()));
    });
    return box;
}

export async function pane(body, context) {
    const machine = new Machine(context);
    machine.element.append(layerTable(machine));
    fill(body, machine.element);
    machine.picture.measure();
    machine.picture.draw();
    return {};
}
