/*
 * The stylesheet's colours for canvases. light-dark() is resolved by asking a hidden
 * element; the answers hold until the theme changes ("themechange").
 */
import { h } from "./dom.js";

const probe = h("span", { hidden: true, "aria-hidden": "true" });
let known = new Map();

addEventListener("themechange", () => { known = new Map(); });

/* color("heads") -> "rgb(0, 95, 160)" from --heads. */
export function color(name) {
    if (!known.has(name)) {
        if (!probe.isConnected) document.body.append(probe);
        probe.style.color = `var(--${name})`;
        known.set(name, getComputedStyle(probe).color);
    }
    return known.get(name);
}

/* The colour of the light scheme, whatever the page wears: for files. */
export function lightColor(name) {
    probe.style.colorScheme = "light";
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(--${name})`;
    const found = getComputedStyle(probe).color;
    probe.style.colorScheme = "";
    return found;
}

/* [r, g, b] */
export function rgb(name) {
    return (color(name).match(/[\d.]+/g) || [0, 0, 0]).slice(0, 3).map(Number);
}

/* For series that have no meaning of their own: six that differ also for the colour-blind. */
export const SERIES = ["s1", "s2", "s3", "s4", "s5", "s6"];
export const TYPES = ["heads", "ffn", "stem"];
export const TYPE_NAMES = { heads: "Heads", ffn: "FFN channels", stem: "Stem (hidden)" };
