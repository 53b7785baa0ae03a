/*
 * One stream of events. EventSource cannot send a token, so this reads the stream with
 * fetch and does what EventSource would: it reconnects with Last-Event-ID, waits longer
 * after each failure (up to 10 s), and takes silence of more than 45 s for a dead
 * connection.
 *
 *     follow({ after, signal, onEvent, onState })
 *
 *   after            the id of the last event that was seen, or null for "from now"
 *   onEvent(event)   { id, type, data } with data parsed
 *   onState(state)   "live" or "away"
 *
 * It ends with `signal`, or when the token is refused.
 */
import { ask } from "./api.js";

const SILENCE_MS = 45000, LONGEST_WAIT_MS = 10000;

/* Bytes of text/event-stream in, events out. */
export class EventParser {
    constructor(onEvent) {
        this.onEvent = onEvent;
        this.rest = "";
        this.lastId = null; /* of the last event handed on: one cut in half is asked for again */
        this.retry = null;
        this.clear();
    }

    clear() { this.type = ""; this.lines = []; this.id = this.lastId; }

    push(text) {
        const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
        this.rest = lines.pop();
        lines.forEach((line) => this.line(line));
    }

    line(line) {
        if (line === "") return this.dispatch();
        const colon = line.indexOf(":");
        if (colon === 0) return undefined;
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") this.lines.push(value);
        else if (name === "event") this.type = value;
        else if (name === "id" && !value.includes("\0")) this.id = value;
        else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
        return undefined;
    }

    dispatch() {
        const { type, lines } = this;
        this.lastId = this.id;
        this.clear();
        if (!lines.length) return;
        let data = lines.join("\n");
        try { data = JSON.parse(data); } catch { /* handed on as text */ }
        this.onEvent({ id: this.lastId, type: type || "message", data });
    }
}

function pause(ms, signal) {
    return new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
}

/* One connection, until it ends. */
async function readStream({ signal, onState }, parser) {
    const headers = { Accept: "text/event-stream" };
    if (parser.lastId !== null) headers["Last-Event-ID"] = parser.lastId;
    const quiet = new AbortController();
    const stop = () => quiet.abort();
    signal.addEventListener("abort", stop, { once: true });
    let timer = setTimeout(stop, SILENCE_MS);
    try {
        const response = await ask("/v1/events", { headers, signal: quiet.signal });
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        onState("live");
        for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            clearTimeout(timer);
            timer = setTimeout(stop, SILENCE_MS);
            parser.push(value);
        }
    } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
    }
}

export async function follow(options) {
    const { signal, onEvent, onState, after = null } = options;
    const parser = new EventParser(onEvent);
    parser.id = parser.lastId = after;
    let failures = 0;
    while (!signal.aborted) {
        try {
            await readStream({ signal, onState: (s) => { failures = 0; onState(s); } }, parser);
        } catch (error) {
            if (error.status === 401 || error.status === 403) return;
        }
        if (signal.aborted) return;
        onState("away");
        const wait = Math.min(LONGEST_WAIT_MS, (parser.retry || 1000) * 2 ** failures++);
        await pause(wait * (0.75 + Math.random() / 2), signal);
        parser.rest = "";
        parser.clear();
    }
}
