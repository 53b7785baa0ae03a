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
    const headers = new Headers(options.headers);
    if (token() && !headers.has("Authorization")) headers.set("Authorization", `Bearer ${token()}`);
    let response;
    try {
        response = await fetch(path, { cache: "no-store", redirect: "error", ...options, headers });
    } catch (error) {
        throw error.name === "AbortError" ? error : unreachable(error);
    }
    if (response.ok) return response;
    if (response.status === 401 && !options.tryOnly) {
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

/* "/v1/runs" and { state: "running", x: null } -> "/v1/runs?state=running" */
export function withQuery(path, query) {
    const members = Object.entries(query || {}).filter(([, v]) => v !== null && v !== undefined && v !== "");
    return members.length ? `${path}?${new URLSearchParams(members)}` : path;
}

export async function get(path, query, signal) {
    return read(await ask(withQuery(path, query), { signal }));
}

/* A POST carries its own Idempotency-Key, so that a lost answer can be asked for again. */
export async function post(path, body, signal, key = crypto.randomUUID()) {
    return read(await ask(path, {
        method: "POST", signal, body: JSON.stringify(body || {}),
        headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    }));
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
        const page = await get(path, { ...query, page_token }, signal);
        items.push(...page.items);
        page_token = page.next_page_token || null;
    } while (page_token && items.length < limit);
    return { items, more: page_token !== null };
}

let offered = null;

/* Does this service have the verb? Asked of its own description; without one, the verbs
 * that every service has. offers("POST", "/v1/searches/{id}/pause") */
export async function offers(method, path) {
    offered ||= get("/v1/openapi.json").then(verbsOf, () => { offered = null; return new Set(ALWAYS); });
    return (await offered).has(plain(method, path));
}

export function forgetOffers() { offered = null; }

const plain = (method, path) => `${method.toUpperCase()} ${path.replace(/\{[^}]*\}/g, "{}")}`;

const ALWAYS = ["searches", "runs", "comparisons"].map((name) => plain("POST", `/v1/${name}/{id}/cancel`));

export function verbsOf(document) {
    const verbs = new Set();
    for (const [path, item] of Object.entries(document.paths || {}))
        for (const method of Object.keys(item)) {
            verbs.add(plain(method, path));
            const parameters = item[method].parameters || [];
            if (parameters.some((p) => p.name === "dry_run")) verbs.add(`${plain(method, path)}?dry_run`);
        }
    return verbs;
}
