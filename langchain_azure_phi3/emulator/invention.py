"""Values that fit a JSON schema, taken from what was said, else made up from the schema's words."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from langchain_azure_phi3.emulator import schemas
from langchain_azure_phi3.emulator.evidence import (
    EXPRESSIONS,
    NUMBERS,
    QUOTATIONS,
    SUBJECTS,
    Evidence,
    vocabulary,
    words_of,
)
from langchain_azure_phi3.emulator.wire import Json


class _Nothing:
    """What is found where nothing is."""


_NOTHING: Final = _Nothing()
_CLAUSES = re.compile(r"[;\n]|\.(?:\s|$)|,? and |, (?=[A-Z])")
_WORDS = re.compile(r"([^\s,;!?\"'()]*[^\s,;!?\"'().:])")
_DEEPEST = 5  # schemas may refer to themselves

_PLACES = vocabulary("address area city country location place region town where")
_ORIGINS = vocabulary("origin from source departure start")
_DESTINATIONS = vocabulary("destination to target arrival")
_NAMES = vocabulary("author character company customer name owner person recipient title user who")
_QUERIES = vocabulary(
    "content input keywords message phrase prompt q query question search sentence subject term "
    "text topic"
)
_FORMAT_WORDS = {"email": "email", "url": "uri", "uri": "uri", "link": "uri", "date": "date"}
_STAND_INS = {
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "date": "2024-01-01",
    "date-time": "2024-01-01T12:00:00Z",
    "time": "12:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Json, evidence: Evidence) -> Any:
    """A value that fits the schema; the keys of objects in the schema's order."""
    value = _Filler(schema, evidence).value(schema, "", needed=True)
    return {} if isinstance(value, _Nothing) else value


def made_up(name: str, description: str, text: str) -> str:
    """A short text that says what it stands for."""
    subject = SUBJECTS.search(text)
    what = description.strip().rstrip(".") or " ".join(words_of(name)) or "answer"
    about = "" if subject is None else f" about {subject[1]}"
    return f"{what[:1].upper()}{what[1:]}{about}"


class _Filler:
    def __init__(self, root: Json, evidence: Evidence) -> None:
        self._root = root
        self._evidence = evidence

    def value(self, schema: Any, name: str, *, needed: bool, depth: int = 0) -> Any:
        """A value, or nothing where none is needed and none was said."""
        schema = self._resolved(schema)
        if depth > 2 * _DEEPEST:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list):
            return self._option(schema, needed=needed)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return self._branch(schema, schema[key], name, needed=needed, depth=depth)
        kind = schemas.kind_of(schema)
        if isinstance(kind, list):
            branches = [{**schema, "type": one} for one in kind]
            return self._branch(schema, branches, name, needed=needed, depth=depth)
        if kind in ("object", "array"):
            whole = self._object if kind == "object" else self._array
            return whole(schema, name, needed=needed, depth=depth)
        return self._simple(schema, kind, name, needed=needed)

    def _simple(self, schema: Json, kind: str, name: str, *, needed: bool) -> Any:
        finders: Mapping[str, Callable[[Json, str], Any]] = {
            "integer": self._number,
            "number": self._number,
            "boolean": lambda _, own: self._truth(own),
            "null": lambda _schema, _own: None,
        }
        found = finders.get(kind, self._string)(schema, name)
        if not isinstance(found, _Nothing):
            return found
        mentioned = kind == "string" and name != "" and self._evidence.says(name) is True
        if not needed and not mentioned:
            return _NOTHING
        if "default" in schema and not mentioned:
            return schema["default"]
        return self._invented(schema, kind, name)

    def _invented(self, schema: Json, kind: str, name: str) -> Any:
        if kind == "boolean":
            return False
        if kind in ("integer", "number"):
            return schemas.bounded(1, schema, whole=kind == "integer")
        stand_in = _STAND_INS.get(_format_of(schema, name))
        if stand_in is not None:
            return stand_in
        description = str(schema.get("description", ""))
        text = self._evidence.proper_name() if description == "" and name != "" else None
        return schemas.sized(text or made_up(name, description, self._evidence.text), schema)

    def _resolved(self, schema: Any) -> Json:
        return schemas.resolved(schema, self._root)

    def _option(self, schema: Json, *, needed: bool) -> Any:
        options = schema["enum"]
        said = self._evidence.mentioned(str(o) for o in options if o is not None)
        if len(said) > 0:
            return next(option for option in options if str(option) == said[0])
        if not needed:
            return _NOTHING
        return schema.get("default", options[0] if len(options) > 0 else None)

    def _branch(
        self, schema: Json, branches: list[Any], name: str, *, needed: bool, depth: int
    ) -> Any:
        shared = {key: schema[key] for key in ("description", "default") if key in schema}
        own = [{**shared, **self._resolved(branch)} for branch in branches]
        real = [branch for branch in own if branch.get("type") != "null"]
        for branch in real if depth < _DEEPEST else ():
            found = self.value(branch, name, needed=False, depth=depth + 1)
            if not isinstance(found, _Nothing):
                return found
        if not needed:
            return _NOTHING
        if "default" in schema:
            return schema["default"]
        if len(real) < len(own) or len(real) == 0:
            return None
        return self.value(real[0], name, needed=True, depth=depth + 1)

    def _object(self, schema: Json, _: str, *, needed: bool, depth: int) -> Any:
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        if depth >= (_DEEPEST + 2 if needed else _DEEPEST):
            return {} if needed else _NOTHING
        before = self._evidence.taken
        # What is required takes its facts first; the result keeps the schema's order.
        found = {}
        for key in sorted(properties, key=lambda key: key not in required):
            own = self._resolved(properties[key])
            must = key in required and (needed or schemas.may_be_null(own))
            value = self.value(own, key, needed=must, depth=depth + 1)
            if not isinstance(value, _Nothing):
                found[key] = value
        told = any(value is not None for value in found.values())
        if not needed and not (told and all(key in found for key in required)):
            self._evidence.taken = before
            return _NOTHING
        return {key: found[key] for key in properties if key in found}

    def _array(self, schema: Json, name: str, *, needed: bool, depth: int) -> Any:
        if "prefixItems" in schema and needed:
            own = enumerate(schema["prefixItems"])
            return [self.value(one, f"{name} {n}", needed=True, depth=depth + 1) for n, one in own]
        items = self._resolved(schema.get("items", {}))
        found = self._items(items, name, depth)[: schema.get("maxItems")]
        if len(found) == 0 and not needed:
            return _NOTHING
        if len(found) == 0 and (depth < 2 or schema.get("minItems", 0) > 0):
            found = [self.value(items, name, needed=True, depth=depth + 1)]
        while 0 < len(found) < schema.get("minItems", 0):
            found.append(found[-1])
        return found

    def _items(self, items: Json, name: str, depth: int) -> list[Any]:
        if isinstance(items.get("enum"), list):
            return self._evidence.mentioned(str(option) for option in items["enum"])
        kind = schemas.kind_of(items)
        if kind in ("integer", "number"):
            found = self._evidence.take_all(NUMBERS, lambda text: schemas.fits(text, items))
            return [schemas.number_of(text, whole=kind == "integer") for text in found]
        if kind == "object":
            clauses = [Evidence(text) for text in _CLAUSES.split(self._evidence.text)]
            fillers = [_Filler(self._root, clause) for clause in clauses]
            told = [one.value(items, "", needed=False, depth=depth + 1) for one in fillers]
            return [item for item in told if not isinstance(item, _Nothing)]
        return list(self._evidence.listed(name)) if kind == "string" else []

    def _number(self, schema: Json, name: str) -> Any:
        def fits(text: str) -> bool:
            return schemas.fits(text, schema)

        found = self._evidence.number_near(name, fits)
        if found is None:
            found = self._evidence.take(NUMBERS, fits)
        if found is None:
            return _NOTHING
        return schemas.number_of(found, whole=schema.get("type") == "integer")

    def _truth(self, name: str) -> Any:
        said = self._evidence.labelled(name)
        if said is not None and said.lower() in ("true", "false", "yes", "no", "on", "off"):
            return said.lower() in ("true", "yes", "on")
        spoken_of = self._evidence.says(name)
        return _NOTHING if spoken_of is None else spoken_of

    def _string(self, schema: Json, name: str) -> Any:
        for finder in (self._formatted, self._spelled_out, self._by_meaning):
            found = finder(schema, name)
            if found is not None:
                return schemas.sized(found, schema)
        return _NOTHING

    def _formatted(self, schema: Json, name: str) -> str | None:
        return self._evidence.formatted(_format_of(schema, name))

    def _spelled_out(self, schema: Json, name: str) -> str | None:
        if _format_of(schema, name) in _STAND_INS or name == "":
            return None
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            return self._evidence.take(_WORDS, _matching(pattern))
        found = self._evidence.labelled(name)
        return found if found is not None else self._evidence.take(QUOTATIONS)

    def _by_meaning(self, schema: Json, name: str) -> str | None:
        words = set(words_of(name))
        if "expression" in words or "equation" in words:
            found = self._evidence.take(EXPRESSIONS)
            return None if found is None else found.strip()
        finders: tuple[tuple[frozenset[str], Callable[[], str | None]], ...] = (
            (_ORIGINS, partial(self._evidence.place, "from")),
            (_DESTINATIONS, partial(self._evidence.place, "to|into")),
            (_PLACES, self._evidence.place),
            (_NAMES, self._evidence.proper_name),
            (_QUERIES, self._query),
        )
        finder = next((finder for known, finder in finders if words & known), None)
        return None if finder is None or _format_of(schema, name) in _STAND_INS else finder()

    def _query(self) -> str | None:
        subject = SUBJECTS.search(self._evidence.text)
        if subject is not None:
            return subject[1]
        lines = self._evidence.text.strip().splitlines()
        return lines[0] if len(lines) > 0 else None


def _format_of(schema: Json, name: str) -> str:
    guessed = next((_FORMAT_WORDS[w] for w in words_of(name) if w in _FORMAT_WORDS), "")
    return str(schema.get("format", guessed))


def _matching(pattern: str) -> Callable[[str], bool]:
    try:
        compiled = re.compile(pattern)
    except re.error:
        return lambda _: False
    return lambda text: compiled.search(text) is not None


def written(value: Any) -> str:
    """JSON as a model writes it: a space after each comma and colon, letters as they are."""
    return json.dumps(value, ensure_ascii=False)
