/*
 * Resources that keep themselves current: read once, then told by events.
 *
 * The stream is opened before the resource is read, which is read once more when the
 * stream has surely begun, so nothing falls between; applying an event twice changes
 * nothing.
 */
import { all, get } from "./api.js";
import { listen, subjectOf } from "./events.js";
import { throttle } from "./dom.js";

const SETTLED_MS = 500;

/* Writes what an event says into its resource. True when it changed. */
export function apply(item, event) {
    const { data } = event;
    if (event.type === "state") {
        Object.assign(item, pick(data, ["state", "attempt", "reason"]));
    } else if (event.type === "step" || event.type === "removal") {
        Object.assign(item, pick(data, ["step", "tokens", "loss", "tokens_per_second", "phase"]));
        if ("params_now" in item && data.params) item.params_now = data.params;
        if (event.type === "removal") item.removals = Math.max(item.removals || 0, data.ordinal);
    } else if (event.type === "validation") {
        item.validation_loss = data.loss;
    } else if (event.type === "progress") {
        item.progress = pick(data, ["done", "total", "unit"]);
    } else if (event.type === "start") {
        Object.assign(item, pick(data, ["tokens_planned"]));
    } else {
        return false;
    }
    if (item.params_source && item.params_now) item.ratio = 1 - item.params_now / item.params_source;
    return true;
}

const pick = (from, names) => Object.fromEntries(names.filter((n) => from[n] !== undefined).map((n) => [n, from[n]]));

/* Seconds until it is done, at the speed of now. */
export function eta(item) {
    if (item.state === "running" && item.tokens_per_second > 0 && item.tokens_planned)
        return Math.max(0, item.tokens_planned - item.tokens) / item.tokens_per_second;
    return item.state === "running" ? item.eta_seconds : null;
}

/*
 * A list that follows its members. changed(items, more) is called at most twice a second.
 * Members that events tell of and the list does not know are a reason to read it again.
 */
export function liveList({ path, prefix, signal, changed, onState, onEvent }) {
    let items = null, more = false, reading = null;
    const tell = throttle(() => !signal.aborted && items && changed(items, more), 500);
    const read = () => {
        reading ||= all(path, {}, signal).then((answer) => {
            ({ items, more } = answer);
            changed(items, more);
        }).finally(() => { reading = null; });
        return reading;
    };
    const again = throttle(() => !signal.aborted && read().catch(() => {}), 1000);
    let lives = 0;
    listen({
        signal,
        onEvent: (event) => {
            const id = subjectOf(event);
            if (!items || typeof id !== "string" || !id.startsWith(prefix)) return;
            const item = items.find((one) => one.id === id);
            if (event.type === "deleted") {
                items = items.filter((one) => one !== item);
                return void tell();
            }
            if (!item) return void again();
            if (apply(item, event)) tell();
            if (event.type === "done" || (event.type === "state" && item.state === "succeeded")) again();
            if (onEvent) onEvent(item, event);
        },
        onState: (state) => {
            if (onState) onState(state);
            if (state === "live") setTimeout(again, lives++ ? 0 : SETTLED_MS);
        },
    });
    return { ready: read(), again: read };
}

/* One resource: changed(item) after every event that says something new. When it was deleted, here
 * or by somebody else, the page of all of its kind takes over. acted: for its buttons. */
export function liveItem({ path, id, signal, changed, onEvent, onState }) {
    let item = null, lives = 0;
    const read = async () => {
        item = await get(`${path}/${encodeURIComponent(id)}`, {}, signal);
        changed(item);
        return item;
    };
    const again = throttle(() => !signal.aborted && read().catch(() => {}), 500);
    const leave = () => { if (!signal.aborted) location.hash = path.replace("/v1/", "#/"); };
    listen({
        resource: id, signal,
        onEvent: (event) => {
            if (!item) return;
            if (event.type === "deleted") return void leave();
            if (onEvent) onEvent(event, item);
            if (apply(item, event)) changed(item);
            if (["done", "start", "state"].includes(event.type)) again();
        },
        onState: (state) => {
            if (onState) onState(state);
            if (state === "live") setTimeout(again, lives++ ? 0 : SETTLED_MS);
        },
    });
    return { ready: read(), again: read, acted: (answer) => (answer ? read() : leave()) };
}
