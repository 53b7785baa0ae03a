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


/* Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom. */
const T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086,
    2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042, 2.04];

/* The mean of values with its 95 % interval, [low, mean, high]; of one value the value alone. */
export function interval(values) {
    const n = values.length, m = values.reduce((a, b) => a + b, 0) / n;
    if (n < 2) return [m, m, m];
    const half = T95[Math.min(n - 2, T95.length - 1)] * Math.sqrt(values.reduce((a, v) => a + (v - m) ** 2, 0) / (n - 1) / n);
    return [m - half, m, m + half];
}

/*
 * The difference a - b along x, seed by seed: a and b are [{ seed, points }]. Rows
 * [x, [low, mean, high]] where every seed that both have is known; `n` is how many those are.
 */
export function paired(a, b) {
    const pairs = a.flatMap((one) => b.filter((other) => other.seed === one.seed).map((other) => [one.points, other.points]));
    const xs = [...new Set(pairs.flatMap(([p, q]) => [...p, ...q].map(([x]) => x)))].sort((x, y) => x - y);
    const rows = [];
    for (const x of xs) {
        const values = pairs.map(([p, q]) => [at(p, x), at(q, x)]).filter(([y, z]) => y !== null && z !== null).map(([y, z]) => y - z);
        if (values.length && values.length === pairs.length) rows.push([x, interval(values)]);
    }
    return { rows, n: pairs.length };
}

/* Running mean that forgets, `weight` of the past in it; without the pull of the first value. */
export function smooth(points, weight) {
    let sum = 0, share = 0;
    return points.map(([x, y]) => {
        sum = sum * weight + y * (1 - weight);
        share = share * weight + (1 - weight);
        return [x, sum / share];
    });
}
