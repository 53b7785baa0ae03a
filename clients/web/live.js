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
import { Reader, insistently } from "./reader.js";

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
    const show = ({ items, more }) => changed(items, more);
    const write = (list, event) => {
        const item = list.items.find((one) => one.id === subjectOf(event));
        if (event.type === "deleted") list.items = list.items.filter((one) => one !== item);
        else if (!item) again();
        else if (event.type === "done" || (event.type === "state" && event.data.state === "succeeded")) again();
        return event.type === "deleted" || Boolean(item && apply(item, event));
    };
    const reader = new Reader({ ask: () => all(path, {}, signal), write, show });
    const tell = throttle(() => !signal.aborted && show(reader.found), 500);
    const again = throttle(insistently(() => reader.again()), 1000);
    let lives = 0;
    listen({
        signal,
        onEvent: (event) => {
            const id = subjectOf(event);
            if (typeof id !== "string" || !id.startsWith(prefix)) return;
            if (reader.hear(event)) tell();
            const item = onEvent && reader.found && reader.found.items.find((one) => one.id === id);
            if (item) onEvent(item, event);
        },
        onState: (state) => {
            if (onState) onState(state);
            if (state === "live") setTimeout(again, lives++ ? 0 : SETTLED_MS);
        },
    });
    return { ready: reader.read(), again: () => reader.again() };
}

/* One resource: changed(item) after every event that says something new. When it was deleted, here
 * or by somebody else, the page of all of its kind takes over. acted: for its buttons. */
export function liveItem({ path, id, signal, changed, onEvent, onState }) {
    const ask = () => get(`${path}/${encodeURIComponent(id)}`, {}, signal);
    const reader = new Reader({ ask, write: apply, show: changed });
    const again = throttle(insistently(() => reader.again()), 500);
    const leave = () => { if (!signal.aborted) location.hash = path.replace("/v1/", "#/"); };
    let lives = 0;
    listen({
        resource: id, signal,
        onEvent: (event) => {
            if (event.type === "deleted") return void leave();
            if (onEvent && reader.found) onEvent(event, reader.found);
            if (reader.hear(event)) changed(reader.found);
            if (["done", "start", "state", "evaluation"].includes(event.type)) again();
        },
        onState: (state) => {
            if (onState) onState(state);
            if (state === "live") setTimeout(again, lives++ ? 0 : SETTLED_MS);
        },
    });
    return { ready: reader.read(), again: () => reader.again(), acted: (answer) => (answer ? reader.again() : leave()) };
}
