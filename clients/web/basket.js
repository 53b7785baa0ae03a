/*
 * Shapes set aside to be compared, two to six; kept in the tab.
 */
import { h, fill } from "./dom.js";

const KEY = "lathe.basket";
export const MOST = 6;

export function basket() {
    try {
        const list = JSON.parse(sessionStorage.getItem(KEY) || "[]");
        return Array.isArray(list) ? list.filter((x) => typeof x === "string").slice(0, MOST) : [];
    } catch { return []; }
}

export function keep(ids) {
    sessionStorage.setItem(KEY, JSON.stringify(ids.slice(0, MOST)));
    drawBasket();
}

/* Puts it in or takes it out; returns whether it is in. */
export function toggle(id) {
    const list = basket();
    const inside = list.includes(id);
    if (!inside && list.length >= MOST) return false;
    keep(inside ? list.filter((x) => x !== id) : [...list, id]);
    return !inside;
}

export function basketButton(id, label = "Compare") {
    const button = h("button", { type: "button", class: "small quiet", "aria-pressed": String(basket().includes(id)),
        on: { click: () => button.setAttribute("aria-pressed", String(toggle(id))) } }, label);
    button.setAttribute("aria-label", `Set ${id} aside to compare`);
    return button;
}

export function drawBasket() {
    const box = document.getElementById("basket"), list = basket();
    box.hidden = !list.length || location.hash.startsWith("#/compare");
    fill(box, h("span", {}, `${list.length} of ${MOST} shapes set aside: ${list.join(", ")}`),
        h("a", { class: "button small", href: `#/compare?ids=${list.join(",")}` }, "Compare"),
        h("button", { type: "button", class: "small quiet", on: { click: () => keep([]) } }, "Clear"));
}
