/*
 * A line the size of a word.
 */
import { svg } from "./dom.js";

const WIDTH = 96, HEIGHT = 24;

/* Points [[x, y], ...] in order of x as an SVG path's data. */
export function sparkPath(points, width = WIDTH, height = HEIGHT) {
    const given = points.filter(([, y]) => Number.isFinite(y));
    if (given.length < 2) return "";
    const xs = given.map((p) => p[0]), ys = given.map((p) => p[1]);
    const [x0, x1] = [Math.min(...xs), Math.max(...xs)], [y0, y1] = [Math.min(...ys), Math.max(...ys)];
    const px = (x) => (1 + ((x - x0) / (x1 - x0 || 1)) * (width - 2)).toFixed(1);
    const py = (y) => (height - 2 - ((y - y0) / (y1 - y0 || 1)) * (height - 4)).toFixed(1);
    return given.map(([x, y], i) => `${i ? "L" : "M"}${px(x)} ${py(y)}`).join("");
}

export function spark(points, label) {
    return svg("svg", { class: "spark", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
        svg("path", { d: sparkPath(points) }));
}
