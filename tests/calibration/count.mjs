// Counts every sample with the real tokenizers:
// npm install llama-tokenizer-js gpt-tokenizer && node count.mjs samples.json
import { readFileSync, writeFileSync } from "node:fs";
import llama from "llama-tokenizer-js";
import { encode as cl100k } from "gpt-tokenizer/encoding/cl100k_base";
import { encode as o200k } from "gpt-tokenizer/encoding/o200k_base";

const [path] = process.argv.slice(2);
const samples = JSON.parse(readFileSync(path, "utf8"));
for (const sample of samples) {
  sample.counts = {
    "llama-32k": llama.encode(sample.text, false).length,
    cl100k: cl100k(sample.text).length,
    o200k: o200k(sample.text).length,
  };
}
const lines = samples.map((sample) => JSON.stringify(sample));
writeFileSync(path, `[\n${lines.join(",\n")}\n]\n`);
