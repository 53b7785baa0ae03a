/*
 * Pareto: the points that no other point beats in both x and y, smaller being better.
 */
export function front(points) {
    const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
    const best = [];
    for (const point of sorted)
        if (!best.length || point.y < best[best.length - 1].y) best.push(point);
    return best;
}
