/*
 * Building elements. Text only ever enters the page as text: there is no way here to
 * hand in markup, so a name like "<img onerror=...>" is shown as it is written.
 *
 *     h("a", { class: "name", href: "#/runs" }, "All ", h("b", {}, name))
 *
 * Props: `class`, `text`, `on: { click: fn }`, `data: { id: 1 }`; the DOM properties
 * value, checked, disabled, hidden, selected; everything else is an attribute, left out
 * when null, undefined or false, and empty when true. A string of CSS is refused by the
 * page's policy; sizes go through `vars: { "--w": "40%" }`.
 */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "indeterminate"]);
const SVG = "http://www.w3.org/2000/svg";

function set(node, name, value) {
    if (name === "class") node.setAttribute("class", value);
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [type, fn] of Object.entries(value)) node.addEventListener(type, fn);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
}

function build(node, props, children) {
    for (const [name, value] of Object.entries(props || {}))
        if (value !== null && value !== undefined && value !== false) set(node, name, value);
    node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
    return node;
}

export function h(tag, props, ...children) {
    return build(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
    return build(document.createElementNS(SVG, tag), props, children);
}

/* Replaces what is in `node`. */
export function fill(node, ...children) {
    node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
    return node;
}

/* Sets text only when it differs, so that selections and screen readers are left alone. */
export function say(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

/* fn at most every `ms`, the last call always counting. */
export function throttle(fn, ms) {
    let timer = 0, last = 0;
    return (...args) => {
        clearTimeout(timer);
        const wait = Math.max(0, last + ms - performance.now());
        timer = setTimeout(() => { last = performance.now(); fn(...args); }, wait);
    };
}

export function debounce(fn, ms) {
    let timer = 0;
    return (...args) => { clearTimeout(timer); timer = setTimeout(() => fn(...args), ms); };
}

/* A labelled control of a form. `hint` stands below it, and so do the server's findings. */
let next = 0;
export function labelled(label, control, hint) {
    const id = control.id || (control.id = `field_${++next}`);
    const say_id = `${id}_say`;
    control.setAttribute("aria-describedby", say_id);
    return h("div", { class: "field" },
        h("label", { for: id }, label), control,
        h("p", { class: "hint", id: say_id }, hint || ""));
}

export function select(options, value, props) {
    const node = h("select", props, options.map((o) => {
        const [key, text] = Array.isArray(o) ? o : [o, o];
        return h("option", { value: key }, text);
    }));
    if (value !== undefined && value !== null) node.value = value;
    return node;
}
