"""Joins characters that JSON writes as two escapes, and that some servers split into two events."""

from typing import Any

_Path = tuple[str | int, ...]


class SurrogateJoiner:
    """Joins halves of surrogate pairs; a lone half becomes U+FFFD.

    JSON may write a character beyond U+FFFF as two escapes. Python cannot encode a string that
    contains only one half, so this module never returns one.
    """

    def __init__(self) -> None:
        self._held: dict[_Path, str] = {}

    @property
    def is_holding(self) -> bool:
        """Whether a text ended with a first half, which the next event may complete."""
        return bool(self._held)

    def join(self, value: Any, path: _Path = (), *, hold: bool = False) -> Any:
        """Join the halves in a JSON value.

        Args:
            value: Any JSON value.
            path: Its position in the event.
            hold: Whether to keep a first half at the end of a text for the next value at this path.
        """
        if isinstance(value, str):
            return self._join_text(value, path, hold=hold)
        if isinstance(value, list):
            return [self.join(v, (*path, _key(v, i)), hold=hold) for i, v in enumerate(value)]
        if isinstance(value, dict):
            return {_joined(k): self.join(v, (*path, k), hold=hold) for k, v in value.items()}
        return value

    def join_event(self, event: Any) -> Any:
        """Join the deltas of an event with those of the events before it."""
        choices = event.get("choices") if isinstance(event, dict) else None
        if not isinstance(choices, list):
            return self.join(event)
        joined = [self._join_choice(choice, _key(choice, i)) for i, choice in enumerate(choices)]
        return {**self.join({**event, "choices": None}), "choices": joined}

    def _join_choice(self, choice: Any, key: str | int) -> Any:
        if not isinstance(choice, dict) or not isinstance(choice.get("delta"), dict):
            return self.join(choice)
        is_last = bool(choice.get("finish_reason"))
        delta = self.join(choice["delta"], (key,), hold=not is_last)
        if is_last:
            for path in [path for path in self._held if path[0] == key]:
                del self._held[path]
                if len(path) == 2:  # a text of the delta itself, not of a tool call
                    delta[path[1]] = "\ufffd"
        return {**self.join({**choice, "delta": None}), "delta": delta}

    def _join_text(self, text: str, path: _Path, *, hold: bool) -> str:
        text = self._held.pop(path, "") + text
        if hold and text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held[path] = text[:-1], text[-1]
        return _joined(text)


def _key(item: Any, position: int) -> str | int:
    """Return the key of a list's item, which is the same in all events of a stream."""
    index = item.get("index") if isinstance(item, dict) else None
    return index if isinstance(index, str | int) else position


def _joined(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
