/*
 * Live events for everybody on the page, and in the browser: a browser gives a service
 * six connections (HTTP/1.1), so six tabs with a stream each would leave none for
 * anything else. All tabs together hold one stream. The tab with the lock reads it and
 * tells the others; when it is closed the next one goes on after the last event it was
 * told. Where there are no locks (plain HTTP from another machine) each tab has its own.
 *
 *     listen({ resource: "srch_3", signal, onEvent, onState })
 *
 *   resource         only events about this, or undefined for all
 *   onEvent(event)   { id, type, data }
 *   onState(state)   "live" or "away", first as it is now when that is known; at every
 *                    "live" read again what cannot be told by events
 */
import { follow } from "./stream.js";

const NAME = "lathe.events";
const listeners = new Set();
let session = null; /* { stop, channel, lastId, state, leads } while somebody is signed in */

/* Whom an event is about. */
export const subjectOf = (event) => event.data && (event.data.resource || event.data.id);

export function listen({ resource, signal, onEvent, onState = () => {} }) {
    const listener = { resource, onEvent, onState };
    listeners.add(listener);
    signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
    session ||= start();
    const { state } = session;
    if (state) queueMicrotask(() => listeners.has(listener) && onState(state));
}

/* At signing out: lets go of the stream, or of the hope for it. */
export function stopListening() {
    if (!session) return;
    session.stop.abort();
    if (session.channel) session.channel.close();
    session = null;
}

function hear(event) {
    session.lastId = event.id;
    for (const listener of [...listeners])
        if (!listener.resource || listener.resource === subjectOf(event)) listener.onEvent(event);
}

function turn(state) {
    session.state = state;
    for (const listener of [...listeners]) listener.onState(state);
}

function start() {
    const mine = { stop: new AbortController(), channel: null, lastId: null, state: null, leads: false };
    const { signal } = mine.stop;
    if (!navigator.locks || !globalThis.BroadcastChannel) {
        queueMicrotask(() => lead(mine));
        return mine;
    }
    mine.channel = new BroadcastChannel(NAME);
    mine.channel.addEventListener("message", ({ data }) => told(mine, data));
    mine.channel.postMessage({ ask: true });
    navigator.locks.request(NAME, { signal }, () => lead(mine)).catch(() => {});
    return mine;
}

/* What another tab says. */
function told(mine, { event, state, ask }) {
    if (session !== mine) return;
    if (ask && mine.leads && mine.state) mine.channel.postMessage({ state: mine.state });
    if (mine.leads) return;
    if (event) hear(event);
    if (state) turn(state);
}

/* Reads the stream until the session ends; the lock is ours as long. */
function lead(mine) {
    const tell = (message) => mine.channel && mine.channel.postMessage(message);
    const live = () => session === mine && !mine.stop.signal.aborted;
    mine.leads = true;
    return follow({
        after: mine.lastId, signal: mine.stop.signal,
        onEvent: (event) => { if (live()) { tell({ event }); hear(event); } },
        onState: (state) => { if (live()) { tell({ state }); turn(state); } },
    });
}

addEventListener("signedout", stopListening);
