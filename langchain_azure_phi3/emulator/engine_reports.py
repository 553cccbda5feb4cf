"""The reports of self-hosted servers about their models and their work.

Sources: llama.cpp's server (October 2026), which was run for this, and vLLM's and Ollama's code.
"""

import time

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.models import Model
from langchain_azure_phi3.emulator.server_types import Engine

# The same for each response, so that tests can compare.
_PROMPT_TOKEN_MS, _ANSWER_TOKEN_MS = 2.0, 25.0
_OWNERS = {"vllm": "vllm", "llama.cpp": "llamacpp", "ollama": "library", None: "microsoft"}


def list_entry(engine: Engine | None, model: Model) -> Json:
    """Return the entry of a model in `/v1/models`."""
    entry: Json = {"id": model.name, "object": "model", "created": int(time.time())}
    entry["owned_by"] = _OWNERS[engine]
    if engine == "vllm":
        entry |= {"root": f"microsoft/{model.registry_name}", "parent": None}
        entry["max_model_len"] = model.context
    if engine == "llama.cpp":
        entry["meta"] = {"n_ctx": model.context}
    return entry


def props(model: Model) -> Json:
    """Return the body of llama.cpp's `/props`."""
    return {
        "default_generation_settings": {"n_ctx": model.context},
        "total_slots": 1,
        "model_path": f"/models/{model.name}.gguf",
    }


def timings(engine: Engine | None, prompt_tokens: int, answer_tokens: int) -> Json:
    """Return the fields for llama.cpp's timings, or for Ollama's durations in nanoseconds."""
    prompt_ms, answer_ms = prompt_tokens * _PROMPT_TOKEN_MS, answer_tokens * _ANSWER_TOKEN_MS
    if engine == "llama.cpp":
        parts = (("prompt", prompt_tokens, prompt_ms), ("predicted", answer_tokens, answer_ms))
        found: Json = {"cache_n": 0}
        for name, tokens, milliseconds in parts:
            per_token = milliseconds / max(1, tokens)
            found |= {f"{name}_n": tokens, f"{name}_ms": milliseconds}
            found[f"{name}_per_token_ms"] = per_token
            found[f"{name}_per_second"] = 1000 / per_token if per_token > 0 else 0.0
        return {"timings": found}
    if engine == "ollama":
        prompt, answer = int(prompt_ms * 1e6), int(answer_ms * 1e6)
        durations = {"prompt_eval_duration": prompt, "eval_duration": answer}
        return {"total_duration": prompt + answer, "load_duration": 0, **durations}
    return {}
