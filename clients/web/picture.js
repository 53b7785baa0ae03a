/*
 * The shape as a picture: a row for every layer, its query heads in groups under their KV
 * heads on the left, its FFN on the right, the stem across the top.
 *
 *   survivors   every source unit where it stood: what is gone leaves a hole
 *   widths      what is left, pushed to the left, over the ghost of the source
 *
 * The channels are one pixel each in a small canvas of their own that is stretched onto
 * the big one, so that a frame costs the same for 6 and for 128 layers.
 */
import { h } from "./dom.js";
import { color, rgb } from "./colors.js";
import { BINS } from "./replay.js";

const longest = (lists) => Math.max(...lists.map((list) => list.length));
const LABEL = 34, GAP = 14, STEM = 16, TOP = 42;

export class Picture {
    constructor(replay, { label = "Shape of the model", onClick } = {}) {
        this.replay = replay;
        this.mode = "survivors";
        this.canvas = h("canvas", { class: "picture", role: "img", "aria-label": label });
        if (onClick) {
            this.canvas.classList.add("clickable");
            this.canvas.addEventListener("click", onClick);
        }
        this.dots = document.createElement("canvas");
        this.observer = new ResizeObserver(() => { this.measure(); this.draw(); });
        this.observer.observe(this.canvas);
        this.onTheme = () => { this.palette = null; this.draw(); };
        addEventListener("themechange", this.onTheme);
    }

    close() {
        this.observer.disconnect();
        removeEventListener("themechange", this.onTheme);
    }

    measure() {
        const ratio = devicePixelRatio || 1, { n } = this.replay;
        this.row = Math.max(5, Math.min(26, Math.floor(440 / n)));
        this.width = this.canvas.clientWidth;
        this.height = TOP + n * this.row + 4;
        this.canvas.style.height = `${this.height}px`;
        this.canvas.width = Math.round(this.width * ratio);
        this.canvas.height = Math.round(this.height * ratio);
        this.context = this.canvas.getContext("2d");
        this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
        const room = this.width - LABEL - GAP;
        this.heads = { x: LABEL, w: Math.round(room * 0.36) };
        this.channels = { x: LABEL + this.heads.w + GAP, w: room - Math.round(room * 0.36) };
        this.most = { q: longest(this.replay.queryAlive), kv: longest(this.replay.kvAlive), ffn: Math.max(...this.replay.ffnBins.map((b) => b.width)) };
        this.dots.width = BINS;
        this.dots.height = n + 1;
    }

    colors() {
        this.palette ||= {
            ...Object.fromEntries(["heads", "kv", "ffn", "stem", "ghost", "muted"].map((name) => [name, color(name)])),
            ffnDot: rgb("ffn"), stemDot: rgb("stem"), ghostDot: rgb("ghost"),
        };
        return this.palette;
    }

    draw() {
        if (!this.width) return;
        const { context: c } = this, palette = this.colors();
        c.clearRect(0, 0, this.width, this.height);
        c.font = "11px system-ui, sans-serif";
        c.textBaseline = "alphabetic";
        c.fillStyle = palette.muted;
        c.fillText(this.heads.w > 170 ? "query heads over KV heads" : "heads", this.heads.x, TOP - 6);
        c.fillText("FFN channels", this.channels.x, TOP - 6);
        c.fillText("stem", 2, STEM - 4);
        this.drawChannels(c, palette);
        for (let l = 0; l < this.replay.n; l++) this.drawLayer(c, palette, l);
    }

    drawLayer(c, palette, l) {
        const y = TOP + l * this.row, high = this.row - (this.row > 8 ? 3 : 1);
        if (this.row >= 10 || l % 4 === 0) {
            c.fillStyle = palette.muted;
            c.fillText(String(l), 8, y + Math.min(high, 12));
        }
        const { q, kv, queryAlive, kvAlive } = this.replay, packed = this.mode === "widths";
        const split = Math.max(1, Math.round(high * 0.7));
        this.cells(c, palette.heads, queryAlive[l], packed ? q[l] : -1, this.most.q, y, split);
        this.cells(c, palette.kv, kvAlive[l], packed ? kv[l] : -1, this.most.kv, y + split, high - split);
    }

    /* A row of cells, the width of the heads holding `most`; the first `n` are there, or those alive when n < 0. */
    cells(c, there, alive, n, most, y, high) {
        const step = this.heads.w / most, between = step > 4 ? 1 : 0, { ghost } = this.colors();
        for (let i = 0; i < alive.length; i++) {
            c.fillStyle = (n < 0 ? alive[i] : i < n) ? there : ghost;
            c.fillRect(this.heads.x + i * step, y, Math.max(1, step - between), high);
        }
    }

    drawChannels(c, palette) {
        const dots = this.dots.getContext("2d"), image = dots.createImageData(BINS, this.replay.n + 1);
        const { ffnBins, stemBins, ffn, hidden, n } = this.replay;
        this.paint(image, 0, stemBins, hidden, palette.stemDot, palette.ghostDot);
        for (let l = 0; l < n; l++) this.paint(image, l + 1, ffnBins[l], ffn[l], palette.ffnDot, palette.ghostDot);
        dots.putImageData(image, 0, 0);
        c.imageSmoothingEnabled = false;
        const high = this.row - (this.row > 8 ? 3 : 1);
        c.drawImage(this.dots, 0, 0, stemBins.n, 1, LABEL, 2, this.width - LABEL, STEM - 2);
        for (let l = 0; l < n; l++)
            c.drawImage(this.dots, 0, l + 1, ffnBins[l].n, 1, this.channels.x, TOP + l * this.row,
                Math.max(1, this.channels.w * ffnBins[l].width / this.most.ffn), high);
    }

    paint(image, row, bins, width, full, ghost) {
        const edge = (width / bins.width) * bins.n, { data } = image;
        for (let i = 0, at = row * BINS * 4; i < bins.n; i++, at += 4) {
            const level = this.mode === "widths" ? Math.max(0, Math.min(1, edge - i)) : bins.level(i);
            for (let k = 0; k < 3; k++) data[at + k] = ghost[k] + (full[k] - ghost[k]) * level;
            data[at + 3] = 255;
        }
    }
}

/* A shape without a history, for pages that show one: as if it were its own source, or
 * within `source`, whose missing parts are ghosts. */
export function frozen(shape, source = shape) {
    const bins = (width, of) => {
        const n = Math.min(BINS, of);
        return { n, width: of, level: (i) => Math.max(0, Math.min(1, (width / of) * n - i)) };
    };
    const of = (l) => source.layers[l] || shape.layers[l];
    const flags = (n, all) => Uint8Array.from({ length: Math.max(n, all) }, (_, i) => (i < n ? 1 : 0));
    return {
        source, n: shape.layers.length, hidden: shape.hidden_size,
        q: shape.layers.map((l) => l.q_heads), kv: shape.layers.map((l) => l.kv_heads), ffn: shape.layers.map((l) => l.ffn),
        queryAlive: shape.layers.map((layer, l) => flags(layer.q_heads, of(l).q_heads)),
        kvAlive: shape.layers.map((layer, l) => flags(layer.kv_heads, of(l).kv_heads)),
        ffnBins: shape.layers.map((layer, l) => bins(layer.ffn, of(l).ffn)),
        stemBins: bins(shape.hidden_size, source.hidden_size),
    };
}
