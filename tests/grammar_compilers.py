"""The grammar compilers of servers, run on text: whether a schema allows it.

llguidance is what prebuilt llama.cpp servers and vLLM's backend "guidance" compile schemas with,
xgrammar is vLLM's default. Tokens are single bytes, so that any text can be written.
"""

import importlib
import json
import sys
from functools import cache
from types import ModuleType
from typing import Any

import llguidance
import tvm_ffi  # before `torch` is replaced, which it would use  # noqa: F401

_END = 256
_TOKENS = [*(bytes([value]) for value in range(256)), b"</s>"]


def accepts_with_llguidance(schema: dict[str, Any], text: str) -> bool:
    """Whether llguidance allows a text.

    Raises:
        ValueError: The schema does not compile.
    """
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
    matcher = llguidance.LLMatcher(_llguidance_tokenizer(), grammar, log_level=0)
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    encoded = list(text.encode())
    return matcher.try_consume_tokens(encoded) == len(encoded) and matcher.is_accepting()


def accepts_with_xgrammar(schema: dict[str, Any], text: str) -> bool:
    """Whether xgrammar allows a text.

    Raises:
        RuntimeError: The schema does not compile.
    """
    compiled = _xgrammar_compiler().compile_json_schema(json.dumps(schema))
    matcher = _xgrammar().GrammarMatcher(compiled)
    return matcher.accept_string(text) and matcher.accept_token(_END)


class _Tokenizer:
    eos_token_id = _END
    bos_token_id = None
    tokens = _TOKENS
    special_token_ids = (_END,)

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@cache
def _llguidance_tokenizer() -> llguidance.LLTokenizer:
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Tokenizer()))


@cache
def _xgrammar() -> Any:
    """The package, without PyTorch and transformers, gigabytes that compiling does not use."""
    torch, transformers = ModuleType("torch"), ModuleType("transformers")
    torch.int32 = "int32"
    torch.tensor = lambda *_, **__: None
    torch.Tensor = torch.FloatTensor = torch.LongTensor = object
    for name in ("LogitsProcessor", "PreTrainedTokenizerBase", "PreTrainedTokenizerFast"):
        setattr(transformers, name, object)
    replaced = {"torch": torch, "transformers": transformers}
    sys.modules.update(replaced)
    try:
        return importlib.import_module("xgrammar")
    finally:
        for name in replaced:
            del sys.modules[name]


@cache
def _xgrammar_compiler() -> Any:
    package = _xgrammar()
    information = package.TokenizerInfo(_TOKENS, stop_token_ids=[_END])
    return package.GrammarCompiler(information, max_threads=1)
