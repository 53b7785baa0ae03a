/*
 * The frame: who is signed in, which page the address names, the bar on top.
 *
 * An address is "#/searches/srch_3?tab=machine". A page is a module of views/ with
 * show(main, { id, place, signal }); `signal` ends with the page, and what a page starts
 * it ties to it. Pages are loaded when they are first asked for.
 */
import { h, fill } from "./dom.js";
import { token, dropToken, applyTheme, toggleTheme, isDark } from "./session.js";
import { forgetOffers } from "./api.js";
import { problemBox, heading, copy } from "./common.js";
import { drawBasket } from "./basket.js";
import { stopListening } from "./events.js";

const ROUTES = [
    [/^\/searches$/, "searches", "Searches"],
    [/^\/searches\/new$/, "new_search", "New search"],
    [/^\/searches\/(?<id>[^/]+)$/, "search", "Search"],
    [/^\/runs$/, "runs", "Runs"],
    [/^\/runs\/(?<id>[^/]+)$/, "run", "Run"],
    [/^\/architectures\/(?<id>[^/]+)$/, "architecture", "Architecture"],
    [/^\/compare$/, "compare", "Compare shapes"],
    [/^\/comparisons$/, "comparisons", "Auto versus human"],
    [/^\/comparisons\/(?<id>[^/]+)$/, "comparison", "Comparison"],
    [/^\/evaluations$/, "evaluations", "Evaluations"],
    [/^\/evaluations\/(?<id>[^/]+)$/, "evaluation", "Evaluation"],
    [/^\/exports$/, "exports", "Exports"],
    [/^\/exports\/(?<id>[^/]+)$/, "export", "Export"],
    [/^\/pareto$/, "pareto", "Pareto"],
    [/^\/(?:datasets|models)(?:\/(?<id>[^/]+))?$/, "datasets", "Data"],
    [/^\/queue$/, "queue", "Queue"],
];

const NAV = [["searches", "Searches"], ["runs", "Runs"], ["comparisons", "Auto vs human"], ["compare", "Compare"],
    ["pareto", "Pareto"], ["evaluations", "Evaluations"], ["exports", "Exports"], ["datasets", "Data"], ["queue", "Queue"]];

const bar = document.getElementById("bar"), main = document.getElementById("main");
let leaving = new AbortController(), wanted = null;

function parse(hash) {
    const [path, query] = (hash.replace(/^#/, "") || "/searches").split("?");
    return { path, query: new URLSearchParams(query || "") };
}

/* The query of the address as a small store; changes do not make a new page. A page that is
 * being left, its address already another, writes nothing any more. */
function placeFor(path, query) {
    return {
        get: (name) => query.get(name),
        set(name, value) {
            if (value === "" || value === null || value === undefined) query.delete(name);
            else query.set(name, value);
            const text = query.toString();
            if (parse(location.hash).path === path) history.replaceState(null, "", `#${path}${text ? `?${text}` : ""}`);
        },
    };
}

function drawBar(path) {
    const at = path.split("/")[1];
    const here = (name) => name === at || (name === "datasets" && at === "models");
    const nav = h("nav", { "aria-label": "Pages" }, NAV.map(([name, label]) =>
        h("a", { href: `#/${name}`, "aria-current": here(name) ? "page" : null }, label)));
    const theme = h("button", { type: "button", class: "quiet", id: "theme", on: { click: toggleTheme } });
    const here_link = h("button", { type: "button", class: "quiet", title: "The address of this page as it is now, without your token", on: { click: () => copy(location.href, "The link is copied.") } }, "Copy link");
    fill(bar, h("a", { class: "brand", href: "#/searches" }, "Lathe"), nav,
        h("span", { id: "pulse", class: "pulse", role: "status" }), here_link, theme,
        h("button", { type: "button", class: "quiet", on: { click: signOut } }, "Sign out"));
    bar.hidden = false;
    nameTheme();
    const current = nav.querySelector("[aria-current]");
    if (current && nav.scrollWidth > nav.clientWidth) nav.scrollLeft = current.offsetLeft - 16;
}

function nameTheme() {
    const button = document.getElementById("theme");
    if (!button) return;
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
}

function signOut() {
    dropToken();
    stopListening();
    forgetOffers();
    go();
}

async function signIn() {
    const { show } = await import("./views/login.js");
    bar.hidden = true;
    document.title = "Sign in · Lathe";
    show(main, { done: go });
}

/* "live" and "away", for the dot in the bar. */
export function pulse(state) {
    const dot = document.getElementById("pulse");
    if (!dot) return;
    dot.dataset.state = state;
    dot.textContent = state === "live" ? "Live" : "Reconnecting";
}

function find(path) {
    for (const [pattern, module, title] of ROUTES) {
        const match = pattern.exec(path);
        if (match) return { module, title, id: match.groups && match.groups.id && decodeURIComponent(match.groups.id) };
    }
    return null;
}

/* Unless somebody is elsewhere on the page by now: its heading is there before all of its data. */
function focusHeading() {
    const title = main.querySelector("h1");
    if (title && document.activeElement === document.body) title.focus({ preventScroll: true });
}

async function go(event) {
    leaving.abort();
    leaving = new AbortController();
    const { signal } = leaving;
    if (!token()) return signIn();
    const { path, query } = parse(location.hash);
    drawBar(path);
    drawBasket();
    const route = find(path);
    fill(main, h("p", { class: "loading", role: "status" }, "Loading"));
    if (event) scrollTo(0, 0);
    if (!route) {
        fill(main, heading("No such page"), h("p", {}, h("a", { href: "#/searches" }, "To the searches")));
        return undefined;
    }
    document.title = `${route.id ? `${route.id} · ` : ""}${route.title} · Lathe`;
    wanted = path;
    try {
        const view = await import(`./views/${route.module}.js`);
        if (signal.aborted) return undefined;
        await view.show(main, { id: route.id, path, place: placeFor(path, query), signal, pulse });
    } catch (error) {
        if (signal.aborted || error.name === "AbortError" || error.status === 401) return undefined;
        fill(main, heading(route.title), problemBox(error, go));
    }
    if (event && wanted === path && !signal.aborted) focusHeading();
    return undefined;
}

applyTheme();
addEventListener("hashchange", go);
addEventListener("themechange", nameTheme);
addEventListener("signedout", () => { leaving.abort(); signIn(); });
go();
