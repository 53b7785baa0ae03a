/*
 * The sparklines of a table: asked for when their rows are shown, a few at a time, and
 * continued by events.
 */
import { get } from "./api.js";
import { spark } from "./spark.js";
import { continued, passes, AGAIN_MS } from "./reader.js";
import { debounce, throttle } from "./dom.js";

const AT_ONCE = 3, POINTS = 60;

export class Sparks {
    constructor(path, signal, changed) {
        this.path = path;
        this.signal = signal;
        this.changed = throttle(() => !signal.aborted && changed(), 400);
        this.later = debounce(() => !signal.aborted && changed(), AGAIN_MS); /* drawing asks again for those not known */
        this.points = new Map();
        this.queue = [];
        this.asking = 0;
    }

    want(items) {
        for (const { id } of items) {
            if (this.points.has(id)) continue;
            this.points.set(id, []);
            this.queue.push(id);
        }
        this.pump();
    }

    pump() {
        while (this.asking < AT_ONCE && this.queue.length && !this.signal.aborted) {
            const id = this.queue.shift();
            this.asking++;
            get(`${this.path}/${id}/metrics`, { keys: "loss", x: "tokens", max_points: POINTS }, this.signal)
                .then((answer) => { this.points.set(id, continued(answer.series[0] ? answer.series[0].points : [], this.points.get(id))); this.changed(); })
                .catch((error) => { if (passes(error)) { this.points.delete(id); this.later(); } })
                .finally(() => { this.asking--; this.pump(); });
        }
    }

    hear(item, event) {
        const points = this.points.get(item.id);
        if (event.type !== "step" || !points) return;
        const last = points.length ? points[points.length - 1][0] : -1;
        const gap = points.length > POINTS ? (last - points[0][0]) / POINTS : 0;
        if (event.data.tokens > last + gap) points.push([event.data.tokens, event.data.loss]);
    }

    mark(id) {
        const points = this.points.get(id) || [];
        return points.length ? `${points.length} ${points[points.length - 1]}` : "";
    }

    draw(id, label) { return spark(this.points.get(id) || [], label); }
}
