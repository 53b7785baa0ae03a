/*
 * The formats a model can be exported to, in words.
 */
export const FORMATS = {
    hf: ["Hugging Face", "A folder that transformers loads: config.json and safetensors, with its code where layers differ."],
    hf_padded: ["Hugging Face, padded", "Layers padded with zeros to one width, so that stock classes load it."],
    decilm: ["DeciLM", "Nemotron-NAS block configurations, for vLLM and SGLang."],
    gguf: ["GGUF", "One file for llama.cpp and ollama."],
    safetensors: ["safetensors", "The tensors alone, under our names."],
    shape: ["Shape", "The shape document without weights."],
};

/* Number types, and which format takes them. */
export const DTYPES = ["float32", "float16", "bfloat16", "q8_0", "q4_0"];
export const takes = (format, dtype) => (format === "gguf" || !dtype.startsWith("q")) && (format !== "shape" || dtype === "float32");

export const formatName = (key) => (FORMATS[key] ? FORMATS[key][0] : String(key));
export const targetName = (target) => `${formatName(target.format)}${target.dtype && target.format !== "shape" ? `, ${target.dtype}` : ""}`;
