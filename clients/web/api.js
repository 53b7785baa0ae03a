/*
 * The service, as pages see it. Every call takes an AbortSignal (a page that is left
 * stops asking) and either returns the parsed answer or throws a Problem.
 *
 * A 401 drops the token and tells the page with the event "signedout".
 */
import { token, dropToken } from "./session.js";

/* What the service said was wrong (RFC 9457), or that it could not be reached. */
export class Problem extends Error {
    constructor(status, body) {
        super(body.detail || body.title || `The service answered ${status}.`);
        this.status = status;
        this.code = body.code || "";
        this.errors = Array.isArray(body.errors) ? body.errors : [];
        this.request = body.request_id || "";
    }
}

const unreachable = (error) => new Problem(0, {
    code: "unreachable", detail: `The service cannot be reached (${error.message}). It is asked again when you retry.`,
});

async function problemOf(response) {
    let body = {};
    try { body = await response.json(); } catch { /* not ours: a proxy, or cut short */ }
    return new Problem(response.status, body);
}

/* fetch with the token; throws a Problem for anything but a 2xx. */
export async function ask(path, options = {}) {
    const headers = new Headers(options.headers), used = token();
    if (used && !headers.has("Authorization")) headers.set("Authorization", `Bearer ${used}`);
    let response;
    try {
        response = await fetch(path, { cache: "no-store", redirect: "error", ...options, headers });
    } catch (error) {
        throw error.name === "AbortError" ? error : unreachable(error);
    }
    if (response.ok) return response;
    if (response.status === 401 && !options.tryOnly && used === token()) {
        dropToken();
        dispatchEvent(new Event("signedout"));
    }
    throw await problemOf(response);
}

async function read(response) {
    if (response.status === 204) return null;
    try {
        return await response.json();
    } catch (error) {
        throw error.name === "AbortError" ? error : unreachable(error);
    }
}

const PAGE = 200; /* items of a list asked for at a time */

/* "/v1/runs" and { state: "running", x: null } -> "/v1/runs?state=running" */
export function withQuery(path, query) {
    const members = Object.entries(query || {}).filter(([, v]) => v !== null && v !== undefined && v !== "");
    return members.length ? `${path}?${new URLSearchParams(members)}` : path;
}

export async function get(path, query, signal) {
    return read(await ask(withQuery(path, query), { signal }));
}

/* crypto.randomUUID is not there for pages of another machine without TLS. */
function newKey() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/* A POST carries its own Idempotency-Key, so that a lost answer can be asked for again. */
export async function post(path, body, signal, key = newKey()) {
    return read(await ask(path, {
        method: "POST", signal, body: JSON.stringify(body || {}),
        headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    }));
}

export async function remove(path, signal) {
    return read(await ask(path, { method: "DELETE", signal }));
}

/* A file to the service's disk. Returns { id, bytes, sha256 }. */
export async function upload(file, signal) {
    return read(await ask("/v1/uploads", {
        method: "POST", signal, body: file, headers: { "Content-Type": "application/octet-stream" },
    }));
}

/* The items of a list, page after page, at most `limit`; `more` says there are others. */
export async function all(path, query, signal, limit = 500) {
    const items = [];
    let page_token = null;
    do {
        const page = await get(path, { page_size: PAGE, ...query, page_token }, signal);
        items.push(...page.items);
        page_token = page.next_page_token || null;
    } while (page_token && items.length < limit);
    return { items, more: page_token !== null };
}

const offered = new Map();

/* Does this service have the verb? It says so itself, by OPTIONS; each is asked once.
 * offers("POST", "/v1/searches/{id}/pause") */
export async function offers(method, path) {
    const place = path.replace(/\{[^}]*\}/g, "0");
    if (!offered.has(place)) offered.set(place, allowed(place).catch(() => { offered.delete(place); return ""; }));
    return (await offered.get(place)).split(/, */).includes(method);
}

async function allowed(path) {
    try {
        return (await ask(path, { method: "OPTIONS" })).headers.get("Allow") || "";
    } catch (error) {
        if (error.status === 404 || error.status === 405) return "";
        throw error;
    }
}

export function forgetOffers() { offered.clear(); }
