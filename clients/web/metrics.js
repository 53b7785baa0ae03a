/*
 * What an evaluation measured: { acc: 0.61, acc_stderr: 0.01, ... } and how to show it.
 */
import { count, bytes, fixed, percent, score } from "./format.js";

const FIRST = ["acc_norm", "acc", "bits_per_byte", "perplexity", "word_perplexity", "decode_tokens_per_second"];
const NAMES = { acc: "Accuracy", acc_norm: "Accuracy, normalised", perplexity: "Perplexity", word_perplexity: "Perplexity a word", byte_perplexity: "Perplexity a byte", token_perplexity: "Perplexity a token",
    document_perplexity: "Perplexity, documents alike", bits_per_byte: "Bits a byte", prefill_tokens_per_second: "Tokens/s read", decode_tokens_per_second: "Tokens/s written",
    time_to_first_token_ms: "Time to the first token", ms_per_token: "Time a token", prompt_tokens: "Tokens of the prompt", generate_tokens: "Tokens written",
    llama_bench_prefill_tokens_per_second: "llama.cpp, tokens/s read", llama_bench_decode_tokens_per_second: "llama.cpp, tokens/s written" };

export const metricName = (key) => NAMES[key] || key.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());

const BESIDE = /_(stderr|stddev|min|max)$/;

/* Metrics of a result that are numbers: [[key, value, standard error or undefined]] */
export function metricsOf({ metrics }) {
    return Object.entries(metrics || {}).filter(([key, v]) => Number.isFinite(v) && !BESIDE.test(key)).map(([key, v]) => [key, v, metrics[`${key}_stderr`]]);
}

/* What stands beside a metric: "± 1.1 %" of its standard error, or from where to where it went. */
export function besideText(metrics, key) {
    const error = metrics[`${key}_stderr`] ?? metrics[`${key}_stddev`], [low, high] = [metrics[`${key}_min`], metrics[`${key}_max`]];
    if (Number.isFinite(error)) return `± ${isShare(key) ? `${(error * 100).toFixed(1)}\u00a0%` : valueText(key, error)}`;
    return Number.isFinite(low) ? `${valueText(key, low)} … ${valueText(key, high)}` : "–";
}

export const isShare = (key) => /^(acc|exact|em|f1)/.test(key);

export function valueText(key, value) {
    if (isShare(key)) return percent(value);
    if (/bytes/.test(key)) return bytes(value);
    if (/per_second/.test(key)) return count(value);
    if (/(_ms$|_ms_|^ms_|milliseconds)/.test(key)) return `${fixed(value, value < 10 ? 2 : 1)}\u00a0ms`;
    return Math.abs(value) >= 1e4 ? count(value) : Number.isInteger(value) ? String(value) : Math.abs(value) < 1e-2 ? score(value) : fixed(value, 3);
}

/* The one number of a result that a table of many shows: { key, value, error }. */
export function headline(result) {
    const all = metricsOf(result), best = FIRST.map((key) => all.find(([k]) => k === key)).find(Boolean) || all[0];
    return best ? { key: best[0], value: best[1], error: best[2] } : undefined;
}

export function scoreText(found) {
    if (!found) return "–";
    return valueText(found.key, found.value) + (Number.isFinite(found.error) ? ` ± ${isShare(found.key) ? (found.error * 100).toFixed(1) : score(found.error)}` : "");
}
