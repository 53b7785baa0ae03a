/*
 * What a shape costs, by the service's own formulas: d hidden size, h head dimension,
 * per layer Q query heads, K KV heads, F FFN channels.
 *
 *   layer       d (2 Q h + 2 K h + 3 F) + 2 d, and (Q + 2 K) h, 2 d for biases
 *   embedding   V d, twice when input and output are not tied;  final norm d
 *   training    6 N + 6 sum(Q h) context FLOPs for a token;  cache 4 K h bytes (16 bit)
 */
const sum = (list) => list.reduce((a, b) => a + b, 0);

export function attentionParams(shape, layer) {
    const rows = (layer.q_heads + layer.kv_heads) * shape.head_dim;
    const out = shape.output_bias ? shape.hidden_size : 0;
    const bias = shape.qkv_bias ? (layer.q_heads + 2 * layer.kv_heads) * shape.head_dim : 0;
    return 2 * shape.hidden_size * rows + bias + out;
}

export const ffnParams = (shape, layer) =>
    shape.hidden_size * (3 * layer.ffn + (shape.output_bias ? 1 : 0));

/* Parameters by what they are for. */
export function paramSplit(shape) {
    const embedding = shape.vocab_size * shape.hidden_size;
    return {
        embedding,
        output: shape.tie_word_embeddings ? 0 : embedding,
        attention: sum(shape.layers.map((l) => attentionParams(shape, l))),
        ffn: sum(shape.layers.map((l) => ffnParams(shape, l))),
        norms: (2 * shape.layers.length + 1) * shape.hidden_size,
    };
}

export const params = (shape) => sum(Object.values(paramSplit(shape)));

export function flopsPerToken(shape, context) {
    return 6 * params(shape) + 6 * sum(shape.layers.map((l) => l.q_heads)) * shape.head_dim * context;
}

export const kvBytesPerToken = (shape) => sum(shape.layers.map((l) => l.kv_heads)) * shape.head_dim * 4;

/* The totals of a shape that came without them. */
export function totalsOf(shape, context) {
    const { embedding, output } = paramSplit(shape);
    return { params: params(shape), params_non_embedding: params(shape) - embedding - output,
        flops_per_token: flopsPerToken(shape, context || 0), kv_bytes_per_token: kvBytesPerToken(shape), context };
}

/* The same width in every layer? */
export function isUniform(shape) {
    return shape.layers.every((l) => ["q_heads", "kv_heads", "ffn"].every((k) => l[k] === shape.layers[0][k]));
}

/* "6 layers · hidden 192 · heads 6/3 · FFN 512" */
export function describe(shape) {
    const range = (key) => {
        const list = shape.layers.map((l) => l[key]);
        const [low, high] = [Math.min(...list), Math.max(...list)];
        return low === high ? String(low) : `${low}–${high}`;
    };
    return `${shape.layers.length} layers · hidden ${shape.hidden_size} · heads ${range("q_heads")}` +
        ` (KV ${range("kv_heads")}) · FFN ${range("ffn")}`;
}
