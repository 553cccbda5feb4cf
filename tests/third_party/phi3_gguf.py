"""A Phi-3 with random weights, small enough for tests: nonsense, but real inference."""

from pathlib import Path

import gguf
import numpy as np

_WIDTH, _HEADS, _FEED, _BLOCKS, _CONTEXT = 64, 4, 128, 2, 2048
_CONTROL = ("<unk>", "<s>", "</s>")
_TURNS = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] "
    "+ '<|end|>\n' }}{% endfor %}{{ '<|assistant|>\n' }}"
)


def write(path: Path) -> None:
    """Write the model with a vocabulary of bytes and the control tokens of Phi-3."""
    writer = gguf.GGUFWriter(path, "phi3")
    writer.add_name("Phi-3-random")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_FEED)
    writer.add_block_count(_BLOCKS)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_sliding_window(_CONTEXT)
    _add_vocabulary(writer)
    _add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tokens() -> list[tuple[str, int]]:
    types = gguf.TokenType
    control = [(text, int(types.CONTROL)) for text in _CONTROL]
    octets = [(f"<0x{byte:02X}>", int(types.BYTE)) for byte in range(256)]
    letters = [(chr(code), int(types.NORMAL)) for code in range(97, 123)]
    turns = [(text, int(types.CONTROL)) for text in _TURNS]
    return [*control, *octets, *letters, *turns]


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens = _tokens()
    texts = [text for text, _ in tokens]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([token_type for _, token_type in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(texts.index("<|end|>"))
    writer.add_unk_token_id(0)
    writer.add_chat_template(_TEMPLATE)


def _add_weights(writer: gguf.GGUFWriter) -> None:
    random = np.random.default_rng(3)
    vocabulary = len(_tokens())

    def matrix(name: str, rows: int, columns: int) -> None:
        values = random.normal(0, 0.5, (rows, columns)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", values)

    def ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, dtype=np.float32))

    matrix("token_embd", vocabulary, _WIDTH)
    matrix("output", vocabulary, _WIDTH)
    ones("output_norm")
    for block in range(_BLOCKS):
        ones(f"blk.{block}.attn_norm")
        ones(f"blk.{block}.ffn_norm")
        matrix(f"blk.{block}.attn_qkv", 3 * _WIDTH, _WIDTH)
        matrix(f"blk.{block}.attn_output", _WIDTH, _WIDTH)
        matrix(f"blk.{block}.ffn_up", 2 * _FEED, _WIDTH)
        matrix(f"blk.{block}.ffn_down", _WIDTH, _FEED)
