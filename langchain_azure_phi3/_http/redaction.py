"""Redacts secrets from errors: from their messages, attributes and causes."""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from langchain_azure_phi3.errors import AzurePhi3Error

REDACTED = "***"
# Local servers accept any word as a key ("ollama"); real keys and tokens are four times as long.
_SHORTEST = 7
# The last two are query parameters of Azure's shared access signatures and Functions.
_SECRET_NAME = re.compile(
    r"auth|cookie|credential|key|passw|secret|signature|token|^sig$|^code$", re.I
)
# The text of a completion is the user's: it stays as it was received.
_KEPT = frozenset({"partial", "usage_metadata"})


def find_secrets(signed: Iterable[str], named: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return values that must not appear in errors: credentials, and values such as `api-key`.

    Args:
        signed: Keys and tokens.
        named: Headers, and the parameters of the URL.
    """
    given = list(signed)
    for name, value in named:
        if _SECRET_NAME.search(name):
            given += [value, value.rpartition(" ")[2]]  # without its scheme, such as Bearer
    found = {secret for secret in given if len(secret) >= _SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))


def shown_headers(headers: Mapping[str, str], secrets: tuple[str, ...]) -> dict[str, str]:
    """Return the headers of a response without those that carry secrets, such as `set-cookie`.

    Args:
        headers: By name in lower case.
        secrets: Secrets to replace in the values.
    """
    pattern = _secrets_pattern(secrets)
    return {
        name: pattern.sub(REDACTED, value)
        for name, value in headers.items()
        if not _SECRET_NAME.search(name) or name.endswith("-tokens")  # a quota
    }


def _secrets_pattern(secrets: tuple[str, ...]) -> re.Pattern[str]:
    texts = [re.escape(text) for secret in secrets for text in _encodings(secret)]
    return re.compile("|".join(texts) or "(?!)")


def redact(error: AzurePhi3Error, secrets: tuple[str, ...]) -> None:
    """Replace `secrets` in an error and its causes, because servers quote what they reject.

    The frames of the HTTP libraries, which contain the signed request and its URL, are released.
    """
    pattern = _secrets_pattern(secrets)
    for each in _exception_chain(error):
        each.args = _redact_value(each.args, pattern)
        if each is not error:
            each.__traceback__ = None
        if isinstance(each, AzurePhi3Error):
            held = {key: value for key, value in vars(each).items() if key not in _KEPT}
            vars(each).update({key: _redact_value(value, pattern) for key, value in held.items()})


def _exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts; drop contexts that tracebacks do not show."""
    waiting: list[BaseException | None] = [error]
    known: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in known:
            continue
        known.add(id(each))
        if each.__suppress_context__ and each.__context__ is not each.__cause__:
            each.__context__ = None
        waiting += [each.__cause__, each.__context__]
        # httpcore puts h11's error, which quotes an invalid line, into its own.
        waiting += [given for given in each.args if isinstance(given, BaseException)]
        yield each


def _encodings(secret: str) -> set[str]:
    """Return the secret itself, and its encodings in URLs and JSON.

    .NET escapes the plus of base64, other servers the slash.
    """
    written = json.dumps(secret)[1:-1]
    escaped = {written.replace("/", "\\/"), written.replace("+", "\\u002B")}
    # Text that the environment could not decode cannot be encoded.
    quoted = {quote_plus(secret, errors="replace"), quote(secret, safe="", errors="replace")}
    return {secret, written, *escaped, *quoted}


def _redact_value(value: Any, pattern: re.Pattern[str]) -> Any:
    try:
        return _replace(value, pattern)
    except RecursionError:  # nested too deeply to be searched, so it is not shown
        return REDACTED


def _replace(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(REDACTED, value)
    if isinstance(value, bytes):
        return pattern.sub(REDACTED, value.decode("latin-1")).encode("latin-1")
    if isinstance(value, Mapping):
        return {_replace(k, pattern): _replace(v, pattern) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replace(item, pattern) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **_replace(held, pattern))
    if isinstance(value, BaseModel):  # a message, whose text is not changed
        held = {name: each for name, each in vars(value).items() if name != "content"}
        return value.model_copy(update=_replace(held, pattern))
    return value
