/*
 * A trajectory as a machine that can be wound to any removal.
 *
 * It holds the widths at the current ordinal and, for the picture, which units of the
 * source are still there: every head by itself, FFN and stem channels counted in at most
 * BINS columns. Winding costs the removals between here and there, so that 10,000 of
 * them are a matter of milliseconds.
 *
 * A removal names one unit of every layer when its layer is -1 (and -1 where a layer is
 * frozen), otherwise one of its layer. A unit of "heads" is a KV head with its query
 * heads; with "unit": "query" it is a query head of every KV group, named one after the
 * other.
 */
export const BINS = 256;

const sum = (list) => list.reduce((a, b) => a + b, 0);

export class Replay {
    constructor(source) {
        this.source = source;
        this.removals = [];
        this.ordinal = 0;
        this.n = source.layers.length;
        this.hidden = source.hidden_size;
        this.q = Int32Array.from(source.layers, (l) => l.q_heads);
        this.kv = Int32Array.from(source.layers, (l) => l.kv_heads);
        this.ffn = Int32Array.from(source.layers, (l) => l.ffn);
        this.queryAlive = source.layers.map((l) => new Uint8Array(l.q_heads).fill(1));
        this.kvAlive = source.layers.map((l) => new Uint8Array(l.kv_heads).fill(1));
        this.ffnBins = source.layers.map((l) => binsOf(l.ffn));
        this.stemBins = binsOf(source.hidden_size);
    }

    get length() { return this.removals.length; }

    /* Takes the next removals; those it has are skipped. False when one is missing before them. */
    add(removals) {
        for (const removal of removals) {
            if (removal.ordinal <= this.removals.length) continue;
            if (removal.ordinal !== this.removals.length + 1) return false;
            this.removals.push(removal);
        }
        return true;
    }

    /* Winds to the shape after `ordinal` removals; 0 is the source. */
    seek(ordinal) {
        const to = Math.max(0, Math.min(this.removals.length, Math.round(ordinal)));
        while (this.ordinal < to) this.turn(this.removals[this.ordinal++], -1);
        while (this.ordinal > to) this.turn(this.removals[--this.ordinal], +1);
        return this.ordinal;
    }

    turn(removal, sign) {
        const { index, type } = removal;
        if (type === "stem") {
            this.hidden += sign;
            this.stemBins.add(index[0], sign);
            return;
        }
        const every = removal.layer === -1;
        for (let l = every ? 0 : removal.layer, at = 0; at < index.length; l++) {
            const n = removal.unit === "query" ? this.kv[l] : 1;
            for (let i = at; i < at + n; i++) if (index[i] >= 0) this.turnUnit(removal, l, index[i], sign);
            at += n;
        }
    }

    turnUnit(removal, l, unit, sign) {
        if (removal.type === "ffn") {
            this.ffn[l] += sign;
            this.ffnBins[l].add(unit, sign);
        } else if (removal.unit === "query") {
            this.q[l] += sign;
            this.queryAlive[l][unit] = sign > 0 ? 1 : 0;
        } else {
            const share = this.queryAlive[l].length / this.kvAlive[l].length;
            this.kv[l] += sign;
            this.q[l] += sign * share;
            this.kvAlive[l][unit] = sign > 0 ? 1 : 0;
            this.queryAlive[l].fill(sign > 0 ? 1 : 0, unit * share, (unit + 1) * share);
        }
    }

    /* The current shape as a shape document. */
    shape() {
        return {
            ...this.source, hidden_size: this.hidden,
            layers: this.source.layers.map((_, l) => ({ q_heads: this.q[l], kv_heads: this.kv[l], ffn: this.ffn[l] })),
        };
    }

    /* Parameters after `ordinal` removals, as the trainer counted them. */
    paramsAt(ordinal, paramsSource) {
        return ordinal > 0 ? this.removals[ordinal - 1].params : paramsSource;
    }

    /* The first ordinal at which at least `ratio` of the source's parameters is gone, or the last. */
    ordinalOfRatio(ratio, paramsSource) {
        const target = paramsSource * (1 - ratio);
        let low = 0, high = this.removals.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.paramsAt(middle, paramsSource) <= target) high = middle;
            else low = middle + 1;
        }
        return low;
    }

    /* Share of each type's units that is gone after every removal: for the chart. Heads are query heads. */
    prunedShares() {
        const { layers, hidden_size: hidden } = this.source;
        const total = { heads: sum(layers.map((l) => l.q_heads)), ffn: sum(layers.map((l) => l.ffn)), stem: hidden };
        const gone = { heads: 0, ffn: 0, stem: 0 };
        return this.removals.map((r) => {
            gone[r.type] += this.unitsOf(r);
            return { heads: gone.heads / total.heads, ffn: gone.ffn / total.ffn, stem: gone.stem / total.stem };
        });
    }

    unitsOf({ type, unit, layer, index }) {
        if (type !== "heads" || unit === "query") return index.filter((i) => i >= 0).length;
        return sum(index.map((i, at) => {
            const { q_heads: q, kv_heads: kv } = this.source.layers[layer === -1 ? at : layer];
            return i >= 0 ? q / kv : 0;
        }));
    }
}

/* Channels 0..width-1 counted in columns; level(c) is the share of column c still there. */
export function binsOf(width) {
    const n = Math.min(BINS, width);
    const full = new Uint16Array(n), alive = new Uint16Array(n);
    for (let i = 0; i < width; i++) full[Math.floor((i * n) / width)]++;
    alive.set(full);
    return {
        n, width,
        add(i, sign) { alive[Math.floor((i * n) / width)] += sign; },
        level(c) { return alive[c] / full[c]; },
    };
}
