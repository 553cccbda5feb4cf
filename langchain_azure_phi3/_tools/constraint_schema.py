"""Rewrites JSON schemas in the subset that the servers' grammar compilers share.

The compilers are llama.cpp's converter to GBNF (common/json-schema-to-grammar.cpp), llguidance,
which some builds of llama.cpp use instead, and xgrammar, which vLLM uses. Each ignores or rejects
different keywords, so only those that all of them support are sent.

The rewritten schema accepts what the original accepts, with these exceptions: an object that
declares its properties has no others, unless the schema allows them explicitly; properties are in
the declared order; a keyword of one type, such as `properties`, implies that type; strings with a
pattern, a known format or a short `maxLength` contain no character that needs an escape. Keywords
outside the subset are checked when the response is validated.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from langchain_azure_phi3._tools.constraint_types import REWRITE_TYPE, closed_object
from langchain_azure_phi3._tools.schema_merging import json_key, merge_schemas, number_or_none
from langchain_azure_phi3._types import Json

_MAX_PARTS = 5_000
_MAX_CHARACTERS = 200_000
_MAX_DEPTH = 40
_MAX_ENUM_DEPTH = 8
_MAX_ENUM_NUMBER = 2**63
_MAX_CALLS = 16

# The type that a keyword implies if a schema names none.
_IMPLIED_TYPES = {
    **dict.fromkeys(("properties", "required", "additionalProperties"), "object"),
    "patternProperties": "object",
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems"), "array"),
    **dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string"),
}
_KEYWORDS = frozenset(
    {
        *_IMPLIED_TYPES,
        *("type", "enum", "anyOf", "additionalItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    }
)
_IS_TYPE: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (number := number_or_none(value)) is not None and number % 1 == 0,
    "number": lambda value: number_or_none(value) is not None,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_ANY_REFERENCE: Json = {"$ref": "#/$defs/Any"}
_ANY: Json = {
    "anyOf": [
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": _ANY_REFERENCE},
        *({"type": name} for name in ("string", "number", "boolean", "null")),
    ]
}


class _TooLargeError(ValueError):
    """A schema, or its expansion, exceeds the limits."""


def constraint_schema(schema: Json) -> Json | None:
    """Rewrite a schema for constrained decoding; `None` if it restricts nothing or is too large."""
    definitions = _Definitions()
    try:
        return definitions.finish(_Document(schema, definitions).rewrite_root())
    except (_TooLargeError, RecursionError):
        return None


def tool_calls_schema(
    tools: Sequence[Json], *, parallel: bool, alternative: Json | None = None
) -> Json | None:
    """Return the schema of a required call's text; `None` without tools, or if it is too large.

    Args:
        tools: The tools that may be called, in OpenAI's form.
        parallel: Whether the text is an array of calls instead of one call.
        alternative: The schema of text that is acceptable instead of a call.
    """
    definitions = _Definitions()
    try:
        calls = [_call_schema(tool["function"], definitions) for tool in tools]
        if not calls:
            return None
        call = calls[0] if len(calls) == 1 else {"anyOf": calls}
        if parallel:
            call = {"type": "array", "items": call, "minItems": 1, "maxItems": _MAX_CALLS}
        if alternative is not None:
            call = _any_of([call, _Document(alternative, definitions).rewrite_root()])
        return definitions.finish(call)
    except (_TooLargeError, RecursionError):
        return None


def _call_schema(function: Json, definitions: "_Definitions") -> Json:
    # "Omitting parameters defines a function with an empty parameter list":
    # https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
    parameters = function.get("parameters") or {"properties": {}}
    arguments = _Document(parameters, definitions).rewrite_root({"type": "object"})
    properties = {"name": {"const": function["name"]}, "arguments": arguments}
    return closed_object(properties, list(properties))


class _Definitions:
    """The definitions of a rewritten schema, and the limits of its size."""

    def __init__(self) -> None:
        self._rewritten: Json = {}
        self._names: dict[tuple[object, str], str] = {}
        self._waiting: list[tuple[str, Callable[[], Json]]] = []
        self._parts = 0

    def count(self, parts: int = 1) -> None:
        """Count parts of the schema.

        Raises:
            _TooLargeError: There are too many.
        """
        self._parts += parts
        if self._parts > _MAX_PARTS:
            raise _TooLargeError

    def reference(self, document: object, pointer: str, rewrite: Callable[[], Json]) -> Json:
        """Return a reference to the definition at a pointer, which is rewritten later.

        Args:
            document: Identifies the document.
            pointer: The JSON pointer.
            rewrite: Rewrites the definition.
        """
        key = (document, pointer)
        if key not in self._names:
            # Names of grammar rules have no other characters, and llama.cpp confuses names that
            # only differ in them.
            stem = re.sub(r"^[^a-zA-Z]+|[^a-zA-Z0-9]+", "", pointer.rpartition("/")[2])[:40]
            self._names[key] = f"{stem or 'Schema'}{len(self._names) + 1}"
            self._waiting.append((self._names[key], rewrite))
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def finish(self, root: Json) -> Json | None:
        """Return the schema with the definitions that it uses; `None` if it restricts nothing."""
        while self._waiting:
            name, rewrite = self._waiting.pop()
            self._rewritten[name] = rewrite() or _ANY_REFERENCE
        _cut_left_recursion(self._rewritten)
        self._rewritten["Any"] = _ANY
        while "$ref" in root:
            root = self._rewritten[_name(root)]
        if not root or root is _ANY:
            return None
        used = self._used_by(root)
        finished = {**root, "$defs": used} if used else root
        if len(json.dumps(finished)) > _MAX_CHARACTERS:
            raise _TooLargeError
        return finished

    def _used_by(self, root: Json) -> Json:
        used: Json = {}
        waiting = list(_references(root))
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = self._rewritten[name]
                waiting += _references(used[name])
        return used


class _Document:
    """One schema, whose references are resolved within itself."""

    def __init__(self, root: Any, definitions: _Definitions) -> None:
        self._root = root
        self._definitions = definitions

    def rewrite_root(self, expected: Json | None = None) -> Json:
        """Return the rewritten schema; empty if it restricts nothing.

        Args:
            expected: A schema that values must fit as well.
        """
        schema = self._root if expected is None else {"allOf": [self._root, expected]}
        return self._rewrite(schema, 0, frozenset())

    def _rewrite(self, schema: Any, depth: int, inlined: frozenset[str]) -> Json:
        """Rewrite a part of the schema; return an empty schema if it restricts nothing.

        Args:
            schema: The part.
            depth: How deep it is nested.
            inlined: The pointers of the definitions that are being expanded.
        """
        node, inlined = self._flatten(schema, depth, inlined)
        if "$ref" in node:
            return self._reference(node["$ref"])
        if isinstance(node.get("anyOf"), list):
            return self._union(node, depth, inlined)
        if isinstance(node.get("enum"), list):
            return self._enum(node)
        child = partial(self._child, depth=depth + 1, inlined=inlined)
        return _any_of(
            REWRITE_TYPE[name]({**node, "type": name}, child) for name in _type_names(node)
        )

    def _child(self, schema: Any, depth: int, inlined: frozenset[str]) -> Json:
        return self._rewrite(schema, depth, inlined) or _ANY_REFERENCE

    def _flatten(
        self, schema: Any, depth: int, inlined: frozenset[str]
    ) -> tuple[Json, frozenset[str]]:
        """Return the keywords of a schema, merged with those of its `allOf` and `$ref`.

        A lone reference remains one, with its pointer in place of its URI; so does a reference to a
        definition that is being expanded, without the keywords next to it.
        """
        self._definitions.count()
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return {}, inlined
        parts = [_own_keywords(schema)]
        pointer = self._pointer(schema.get("$ref"))
        if pointer is not None:
            parts.append({"$ref": pointer})
        combined = schema.get("allOf")
        for subschema in combined if isinstance(combined, list) else []:
            part, inlined = self._flatten(subschema, depth + 1, inlined)
            parts.append(part)
        parts = [part for part in parts if part]
        if len(parts) == 1:
            return parts[0], inlined
        merged: Json = {}
        for part in parts:
            while "$ref" in part:
                if part["$ref"] in inlined:
                    return part, inlined
                inlined |= {part["$ref"]}
                part, inlined = self._flatten(self._resolve(part["$ref"]), depth + 1, inlined)
            merged = merge_schemas(merged, part)
        return merged, inlined

    def _pointer(self, reference: Any) -> str | None:
        """Return the JSON pointer of a local reference; `None` for all others, never fetched."""
        if not isinstance(reference, str):
            return None
        identifier = self._root.get("$id") if isinstance(self._root, dict) else None
        if isinstance(identifier, str):
            reference = reference.removeprefix(identifier.rstrip("#"))
        is_local = reference == "#" or reference.startswith("#/")
        return unquote(reference[1:]) if is_local else None

    def _resolve(self, pointer: str) -> Any:
        """Return the schema at a pointer; `True`, the schema of anything, if there is none."""
        found = self._root
        for token in pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                return True
        return found

    def _reference(self, pointer: str) -> Json:
        target = self._resolve(pointer)
        if not isinstance(target, dict):
            return {}
        rewrite = partial(self._rewrite, target, 0, frozenset((pointer,)))
        return self._definitions.reference(self, pointer, rewrite)

    def _union(self, node: Json, depth: int, inlined: frozenset[str]) -> Json:
        """Merge each branch with the keywords next to the union, which compilers would ignore."""
        branches = [branch for branch in node["anyOf"] if branch is not False]
        shared = {key: value for key, value in node.items() if key != "anyOf"}
        schemas = [{"allOf": [shared, branch]} for branch in branches] if shared else branches
        return _any_of(
            [self._rewrite(schema, depth + 1, inlined) for schema in schemas or [shared]]
        )

    def _enum(self, node: Json) -> Json:
        values = node["enum"]
        self._definitions.count(len(values))
        types = _type_names(node)
        allowed = [value for value in values if _is_of_type(value, types)]
        if not allowed or not all(_is_writable(value) for value in allowed):
            return {}
        return {"const": allowed[0]} if len(allowed) == 1 else {"enum": allowed}


def _own_keywords(schema: Json) -> Json:
    """Return the supported keywords, with `const` as `enum` and `oneOf` as `anyOf`."""
    node = {key: value for key, value in schema.items() if key in _KEYWORDS}
    if "const" in schema:
        node["enum"] = [schema["const"]]
    if "anyOf" not in node and "oneOf" in schema:
        node["anyOf"] = schema["oneOf"]
    return node


def _type_names(node: Json) -> list[str]:
    """Return the types that a schema names or implies; empty for any type."""
    found = node.get("type")
    if found is None:
        implied = {_IMPLIED_TYPES[key] for key in node if key in _IMPLIED_TYPES}
        return list(implied) if len(implied) == 1 else []
    names: list[Any] = found if isinstance(found, list) else [found]
    if not all(isinstance(name, str) and name in REWRITE_TYPE for name in names):
        return []
    return [name for name in dict.fromkeys(names) if name != "integer" or "number" not in names]


def _is_of_type(value: Any, types: list[str]) -> bool:
    return not types or any(_IS_TYPE[name](value) for name in types)


def _is_writable(value: Any, depth: int = 0) -> bool:
    """Whether all compilers read an enum's value correctly."""
    if isinstance(value, list | dict):
        members = value.values() if isinstance(value, dict) else value
        is_plain = depth < _MAX_ENUM_DEPTH and "$ref" not in value
        return is_plain and all(_is_writable(member, depth + 1) for member in members)
    if isinstance(value, str | bool) or value is None:
        return True
    number = number_or_none(value)
    return number is not None and abs(number) < _MAX_ENUM_NUMBER


def _any_of(branches: Iterable[Json]) -> Json:
    """Combine rewritten schemas, without nested and repeated ones; empty if one allows anything."""
    distinct: dict[str, Json] = {}
    for branch in branches:
        if not branch:
            return {}
        nested = branch["anyOf"] if branch.keys() == {"anyOf"} else [branch]
        distinct.update({json_key(part): part for part in nested})
    found = list(distinct.values())
    return found[0] if len(found) == 1 else {"anyOf": found} if found else {}


def _cut_left_recursion(definitions: Json) -> None:
    """Let definitions with a direct cycle, without a property or item between, accept anything.

    No finite value matches such a cycle, and llama.cpp rejects its grammar.
    """
    direct: dict[str, list[str]] = {}
    for name, schema in definitions.items():
        branches = [schema, *schema.get("anyOf", ())]
        direct[name] = [_name(branch) for branch in branches if "$ref" in branch]
    # Depth first: a definition that occurs again on the path to it contains itself.
    entered: set[str] = set()
    on_path: set[str] = set()
    for start in list(definitions):
        path = [] if start in entered else [(start, iter(direct[start]))]
        entered.add(start)
        on_path.update(name for name, _ in path)
        while path:
            found = next(path[-1][1], None)
            if found is None:
                on_path.discard(path.pop()[0])
            elif found in on_path:
                definitions[found] = _ANY_REFERENCE
            elif found not in entered:
                entered.add(found)
                on_path.add(found)
                path.append((found, iter(direct.get(found, ()))))


def _name(reference: Json) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the definitions that a rewritten schema refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield _name(value)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)
