/*
 * The curves of a comparison: what its runs reported, brought together by arm.
 */
const byX = (a, b) => a[0] - b[0];

/* The value of a curve at x, between its points; null outside. */
export function at(points, x) {
    if (!points.length || x < points[0][0] || x > points[points.length - 1][0]) return null;
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (points[middle][0] <= x) low = middle;
        else high = middle;
    }
    const [x0, y0] = points[low], [x1, y1] = points[high];
    return x1 === x0 ? y0 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

/* Curves of several seeds as rows [x, [lowest, mean, highest]]. */
export function band(curves) {
    const xs = [...new Set(curves.flatMap((c) => c.map(([x]) => x)))].sort((a, b) => a - b);
    return xs.map((x) => {
        const values = curves.map((c) => at(c, x)).filter((y) => y !== null);
        return [x, values.length ? [Math.min(...values), values.reduce((a, b) => a + b, 0) / values.length, Math.max(...values)] : null];
    });
}

/* Rows for a chart with bands: arms is a list of lists of curves; `shifts` moves an arm along x. */
export function armRows(arms, shifts = arms.map(() => 0)) {
    const rows = new Map();
    arms.forEach((curves, i) => band(curves.map((c) => [...c].sort(byX))).forEach(([x, y]) => {
        const key = x + shifts[i];
        if (!rows.has(key)) rows.set(key, [key, ...arms.map(() => [null, null, null])]);
        if (y) rows.get(key)[i + 1] = y;
    }));
    return [...rows.values()].sort(byX);
}

/* The x from which on the first curve stays below the second, or null. */
export function crossover(a, b) {
    const xs = [...new Set([...a, ...b].map(([x]) => x))].sort((p, q) => p - q);
    let since = null;
    for (const x of xs) {
        const ya = at(a, x), yb = at(b, x);
        if (ya === null || yb === null) continue;
        if (ya >= yb) since = null;
        else if (since === null) since = x;
    }
    return since;
}
