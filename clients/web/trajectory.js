/*
 * A search's trajectory in the page: read page by page, continued by events, and read
 * again from the first hole when an event came too early.
 */
import { get } from "./api.js";
import { Replay } from "./replay.js";
import { throttle } from "./dom.js";

const PAGE = 1000;

export class Trajectory {
    /* changed(trajectory) when removals were added, at most ten times a second */
    constructor(search, signal, changed) {
        this.search = search;
        this.signal = signal;
        this.replay = new Replay(search.source_shape);
        this.listeners = new Set(changed ? [changed] : []);
        this.tell = throttle(() => !signal.aborted && this.listeners.forEach((fn) => fn(this)), 100);
    }

    get removals() { return this.replay.removals; }

    read() {
        this.reading ||= this.readPages().finally(() => { this.reading = null; });
        return this.reading;
    }

    async readPages() {
        let page_token = null;
        const query = { from_ordinal: this.replay.length + 1, page_size: PAGE };
        do {
            const page = await get(`/v1/searches/${this.search.id}/trajectory`, { ...query, page_token }, this.signal);
            this.replay.add(page.items.filter((r) => r.ordinal > 0));
            page_token = page.next_page_token;
            this.tell();
        } while (page_token);
    }

    hear(event) {
        if (event.type !== "removal") return;
        if (this.replay.add([event.data])) this.tell();
        else this.read().catch(() => {});
    }

    /* The architecture after `ordinal` removals, by name. */
    async architectureAt(ordinal) {
        const known = ordinal > 0 && this.removals[ordinal - 1].architecture;
        if (known) return known;
        const page = ordinal > 0
            ? await get(`/v1/searches/${this.search.id}/trajectory`, { from_ordinal: ordinal, page_size: 1 }, this.signal)
            : await get(`/v1/searches/${this.search.id}/shapes`, { ratios: "0" }, this.signal);
        return page.items[0].architecture;
    }
}
