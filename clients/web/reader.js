/*
 * Reads what the service has, one reading at a time, and keeps it current by events.
 *
 * An answer may be older than what was heard while it was on its way: those events are written
 * into it before it is shown, or what was deleted would be back. An event that is written twice
 * changes nothing, and one that is older than the answer is followed by those that made it.
 *
 *     const reader = new Reader({ ask, write, show })
 *
 *   ask()                 what is to be read, as a promise
 *   write(found, event)   puts an event into it; true when that changed something
 *   show(found)           after every reading
 */
export class Reader {
    constructor({ ask, write, show }) {
        Object.assign(this, { ask, write, show });
        this.found = null; /* null until something was read */
        this.under_way = this.next = null;
        this.heard = [];
    }

    read() {
        this.under_way = this.ask().then((found) => {
            this.found = found;
            this.heard.forEach((event) => this.write(found, event));
            this.show(found);
            return found;
        }).finally(() => { this.under_way = null; this.heard = []; });
        return this.under_way;
    }

    /* What was true before this call is in the answer: a reading under way is waited for, and
     * followed by another, the same for all who ask meanwhile. */
    again() {
        if (!this.under_way && !this.next) return this.read();
        this.next ||= this.under_way.catch(() => {}).then(() => { this.next = null; return this.read(); });
        return this.next;
    }

    /* True when the event changed what had been read. */
    hear(event) {
        if (this.under_way) this.heard.push(event);
        return this.found !== null && this.write(this.found, event);
    }
}

export const AGAIN_MS = 2000;

/* Refusals that say nothing of what was asked for: too much at once, a restart, no connection. */
export const passes = (error) => error.status === 0 || error.status === 429 || error.status >= 500;

/* ask() until there is an answer: once more a while after every refusal that passes. Any number of
 * calls make one repetition; a page that was left asks for nothing any more, its signal sees to that. */
export function insistently(ask, ms = AGAIN_MS) {
    let timer = 0;
    return function insist() {
        clearTimeout(timer);
        return ask().catch((error) => {
            clearTimeout(timer);
            if (passes(error)) timer = setTimeout(insist, ms);
        });
    };
}

/* Points of a curve as they were read, [x, ...], and after them those that were heard of meanwhile. At
 * the last x itself either may know what the other does not: a step is told before its validation. */
export function continued(points, heard) {
    if (!points.length) return heard;
    const last = points.at(-1), same = heard.find(([x]) => x === last[0]);
    return [...points.slice(0, -1), same ? last.map((v, i) => v ?? same[i]) : last, ...heard.filter(([x]) => x > last[0])];
}
