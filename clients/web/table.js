/*
 * A table that lives: rows are known by id and only cells whose text changed are touched,
 * so that focus and selection survive updates. Filter, sorting and page are in the
 * address, so that a view can be handed to somebody.
 *
 *     new Table({ columns, id, place, search, choices, empty })
 *   columns   [{ key, label, value(item), cell(item, value) -> node or text, num, opt, sort: false }]
 *             `opt` columns are left out on narrow screens, `live` ones where no row is active
 *   place     { get(name), set(name, value) }: the query of the address
 *   search    item -> text that the filter looks into
 *   choices   optional { label, value(item), options } for a second filter
 */
import { h, fill, say, select, debounce } from "./dom.js";
import { saveMenu } from "./save.js";

const PAGE = 20;
const ACTIVE = new Set(["queued", "starting", "running", "pausing"]);
let tables = 0;

export class Table {
    constructor(options) {
        this.options = options;
        this.items = [];
        this.rows = new Map();
        this.number = ++tables;
        this.headers = options.columns.map((column) => this.header(column));
        this.body = h("tbody");
        this.summary = h("span", { class: "summary" });
        this.previous = h("button", { type: "button", class: "quiet", on: { click: () => this.turn(-1) } }, "Previous");
        this.next = h("button", { type: "button", class: "quiet", on: { click: () => this.turn(1) } }, "Next");
        this.region = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.label },
            h("table", { class: "list" }, h("thead", {}, h("tr", {}, this.headers)), this.body));
        this.element = h("section", { class: "tablebox" }, this.controls(), this.region,
            h("nav", { class: "pages", "aria-label": `Pages of ${options.label}` }, this.summary, this.previous, this.next));
    }

    controls() {
        const { place, choices } = this.options;
        const change = debounce((name, value) => { place.set(name, value); place.set("page", ""); this.draw(); }, 120);
        const id = `filter_${this.number}`;
        const query = h("input", { type: "search", id, value: place.get("q") || "", placeholder: "Name or id",
            on: { input: (e) => change("q", e.target.value) } });
        const parts = [h("label", { for: id }, "Filter"), query];
        query.setAttribute("aria-label", `Filter of ${this.options.label}`);
        if (choices) parts.push(h("label", { for: `${id}_2` }, choices.label),
            select([["", `Any ${choices.label.toLowerCase()}`], ...choices.options], place.get("state") || "", { id: `${id}_2`, "aria-label": choices.label, on: { change: (e) => change("state", e.target.value) } }));
        return h("div", { class: "controls" }, h("div", { class: "controls", role: "search", "aria-label": `Filter of ${this.options.label}` }, parts),
            saveMenu(this.options.label, { rows: () => this.rowsToSave() }));
    }

    /* What the filter leaves, all pages of it. */
    rowsToSave() {
        const { columns, id } = this.options, kept = columns.filter((c) => c.sort !== false && c.key !== "id");
        return [["id", ...kept.map((c) => c.key)], ...this.chosen().map((item) => [id(item), ...kept.map((c) => c.value(item) ?? null)])];
    }

    header(column) {
        const label = column.sort === false ? column.label
            : h("button", { type: "button", class: "sort", on: { click: () => this.sortBy(column.key) } }, column.label,
                h("span", { class: "arrow", "aria-hidden": "true" }));
        return h("th", { scope: "col", class: classes(column), data: { key: column.key } }, label);
    }

    sortBy(key) {
        const { place } = this.options, now = place.get("sort") || this.options.sort || "";
        place.set("sort", now === `-${key}` ? key : `-${key}`);
        this.draw();
    }

    turn(by) {
        const { place } = this.options;
        const page = Math.max(0, Number(place.get("page") || 0) + by);
        place.set("page", page || "");
        this.draw();
        this.region.scrollTop = 0;
    }

    set(items, more = false) {
        this.items = items;
        this.more = more;
        this.draw();
    }

    /* Items that pass the filters, in order. */
    chosen() {
        const { place, columns, search, choices } = this.options;
        const query = (place.get("q") || "").toLowerCase(), state = place.get("state");
        const found = this.items.filter((item) => (!query || search(item).toLowerCase().includes(query))
            && (!state || !choices || choices.value(item) === state));
        const sort = place.get("sort") || this.options.sort || "", key = sort.replace(/^-/, "");
        const column = columns.find((c) => c.key === key);
        if (!column) return found;
        const sign = sort.startsWith("-") ? -1 : 1;
        return found.map((item) => [column.value(item), item]).sort(([a], [b]) => order(a, b, sign)).map(([, item]) => item);
    }

    draw() {
        const { place, columns, empty } = this.options, list = this.chosen();
        const pages = Math.max(1, Math.ceil(list.length / PAGE));
        const page = Math.min(Number(place.get("page") || 0), pages - 1);
        this.shown = list.slice(page * PAGE, (page + 1) * PAGE);
        const nodes = this.shown.map((item) => this.row(item));
        if (!nodes.length) nodes.push(h("tr", { class: "empty" }, h("td", { colspan: columns.length },
            this.items.length ? "Nothing matches the filter." : empty || "Nothing here yet.")));
        nodes.forEach((node, i) => { if (this.body.children[i] !== node) this.body.insertBefore(node, this.body.children[i] || null); });
        while (this.body.children.length > nodes.length) this.body.lastChild.remove();
        say(this.summary, `${list.length}${this.more ? "+" : ""} in all${pages > 1 ? `, page ${page + 1} of ${pages}` : ""}`);
        this.previous.hidden = this.next.hidden = pages < 2;
        this.previous.disabled = page === 0;
        this.next.disabled = page >= pages - 1;
        this.drawSort();
        this.hideIdle();
        if (this.options.onDraw) this.options.onDraw(this.shown);
    }

    hideIdle() {
        const idle = !this.shown.some((item) => ACTIVE.has(item.state));
        this.options.columns.forEach((column, i) => {
            if (column.live) for (const row of [this.headers, ...this.shown.map((item) => this.rows.get(this.options.id(item)).cells)]) row[i].hidden = idle;
        });
    }

    drawSort() {
        const sort = this.options.place.get("sort") || this.options.sort || "";
        for (const header of this.headers) {
            const { key } = header.dataset;
            if (sort.replace(/^-/, "") === key) header.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
            else header.removeAttribute("aria-sort");
        }
    }

    row(item) {
        const id = this.options.id(item);
        let row = this.rows.get(id);
        if (!row) {
            row = { cells: this.options.columns.map((column) => h(column.head ? "th" : "td",
                { class: classes(column), scope: column.head ? "row" : null })), seen: [] };
            row.node = h("tr", {}, row.cells);
            this.rows.set(id, row);
        }
        this.options.columns.forEach((column, i) => {
            const value = column.value(item), mark = column.mark ? column.mark(item) : String(value);
            if (row.seen[i] === mark) return;
            row.seen[i] = mark;
            fill(row.cells[i], column.cell ? column.cell(item, value) : String(value ?? "–"));
        });
        return row.node;
    }
}

const classes = (column) => [column.num ? "num" : "", column.opt ? "opt" : "", column.class || ""].join(" ").trim() || null;

/* Numbers by size, text by alphabet, the absent last either way. */
export function order(a, b, sign = 1) {
    const none = (x) => x === null || x === undefined || Number.isNaN(x);
    if (none(a) || none(b)) return none(a) - none(b);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}
