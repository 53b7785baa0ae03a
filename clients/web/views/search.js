/*
 * One search: its state on top, and ways to look at it below (?tab=): live, the shape
 * time machine, the shapes at round ratios, the scores behind them, and what was asked for.
 */
import { h, fill, say } from "../dom.js";
import { liveItem, eta } from "../live.js";
import { insistently } from "../reader.js";
import { Trajectory } from "../trajectory.js";
import { badge, heading, link, stat, verbButtons, forkLink, problemBox, notifyProblem, ACTIVE } from "../common.js";
import { count, percent, duration, fixed, whole } from "../format.js";

const TABS = [["live", "Live"], ["machine", "Time machine"], ["shapes", "Shapes"], ["scores", "Scores"], ["settings", "Settings"]];
const PANES = { live: "./search_live.js", machine: "./search_machine.js", shapes: "./search_shapes.js", scores: "./search_scores.js", settings: "./search_settings.js" };

/* The head of the page, kept current. */
function summary(item, changed) {
    const state = h("span", { class: "state" }), reason = h("p", { class: "reason" }), actions = h("span");
    const bar = h("progress", { max: 1, "aria-label": "Progress by tokens" });
    const values = Object.fromEntries(["params", "gone", "loss", "tokens", "speed", "eta", "removals"].map((k) => [k, h("span")]));
    values.speed_stat = stat("Tokens/s", values.speed);
    values.eta_stat = stat("ETA", values.eta);
    values.took_stat = stat("Took", values.took = h("span"));
    const title = heading(item.name, state, actions);
    const element = h("div", { class: "overview" }, title, reason, bar,
        h("dl", { class: "stats" },
            stat("Parameters left", values.params), stat("Removed", values.gone), stat("Removals", values.removals),
            stat("Loss", values.loss), stat("Tokens", values.tokens), values.speed_stat, values.eta_stat, values.took_stat,
            stat("Data set", link(item.dataset))));
    let shown = null;
    const draw = (s) => {
        if (s.state !== shown) {
            fill(state, badge(s.state));
            fill(actions, verbButtons("searches", s, changed, forkLink(s)));
        }
        shown = s.state;
        say(reason, s.reason ? `${s.reason}${s.attempt > 1 ? ` (attempt ${s.attempt})` : ""}` : "");
        bar.hidden = !s.tokens_planned || ["succeeded", "failed", "cancelled"].includes(s.state);
        bar.value = s.tokens_planned ? Math.min(1, (s.tokens || 0) / s.tokens_planned) : 0;
        say(values.params, `${count(s.params_now)} of ${count(s.params_source)}`);
        say(values.gone, percent(s.ratio));
        say(values.loss, fixed(s.loss));
        say(values.tokens, count(s.tokens));
        say(values.speed, count(s.tokens_per_second));
        say(values.eta, duration(eta(s)));
        values.speed_stat.hidden = values.eta_stat.hidden = !ACTIVE.has(s.state);
        values.took_stat.hidden = !s.finished_at || !s.started_at;
        say(values.took, duration((Date.parse(s.finished_at) - Date.parse(s.started_at)) / 1000));
        say(values.removals, whole(s.removals));
    };
    draw(item);
    return { element, draw };
}

function tabs(current, choose) {
    const buttons = TABS.map(([key, label]) => h("button", { type: "button", role: "tab", id: `tab_${key}`, "aria-controls": "pane",
        "aria-selected": String(key === current), tabindex: key === current ? "0" : "-1", on: { click: () => choose(key) } }, label));
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Ways to look at this search" }, buttons);
    list.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        const at = buttons.indexOf(document.activeElement);
        const to = buttons[(at + by + buttons.length) % buttons.length];
        to.focus();
        to.click();
    });
    return { list, mark: (key) => buttons.forEach((b, i) => {
        b.setAttribute("aria-selected", String(TABS[i][0] === key));
        b.tabIndex = TABS[i][0] === key ? 0 : -1;
        if (b.tabIndex === 0) list.scrollLeft = b.offsetLeft - list.offsetLeft - 40;
    }) };
}

export async function show(page, { id, place, signal, pulse }) {
    let trajectory = null, head = null, pane = null;
    const follow = insistently(() => trajectory.read());
    const live = liveItem({
        path: "/v1/searches", id, signal, onState: (state) => {
            pulse(state);
            if (state !== "live" || !trajectory) return;
            follow();
            if (pane && pane.again) pane.again();
        },
        changed: (item) => {
            if (head) head.draw(item);
            if (!trajectory) return;
            Object.assign(trajectory.search, item);
            if (item.removals > trajectory.replay.length) follow();
        },
        onEvent: (event) => {
            if (trajectory) trajectory.hear(event);
            if (pane && pane.hear) pane.hear(event);
        },
    });
    const item = await live.ready;
    head = summary(item, () => live.again());
    trajectory = new Trajectory({ ...item }, signal);
    const body = h("div", { class: "pane", id: "pane", role: "tabpanel" });
    let leaving = new AbortController();
    const choose = async (key) => {
        leaving.abort();
        leaving = new AbortController();
        signal.addEventListener("abort", () => leaving.abort(), { once: true });
        const here = leaving.signal;
        place.set("tab", key === "live" ? "" : key);
        bar.mark(key);
        body.setAttribute("aria-labelledby", `tab_${key}`);
        body.setAttribute("aria-busy", "true");
        pane = null;
        try {
            const view = await import(PANES[key]);
            if (here.aborted) return;
            const made = await view.pane(body, { item: trajectory.search, trajectory, place, signal: here });
            if (here.aborted) return;
            pane = made; /* it hears what happens while it reads */
            await made.ready;
        } catch (error) {
            if (!here.aborted) fill(body, problemBox(error, () => choose(key)));
        }
        if (!here.aborted) body.removeAttribute("aria-busy");
    };
    const first = PANES[place.get("tab")] ? place.get("tab") : "live";
    const bar = tabs(first, choose);
    fill(page, head.element, bar.list, body);
    trajectory.read().catch(notifyProblem);
    await choose(first);
}
