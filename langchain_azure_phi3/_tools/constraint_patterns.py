r"""Translates regular expressions into a form that all grammar compilers read the same way.

llama.cpp supports neither `\d` nor `(?:`, and few escapes; xgrammar and llama.cpp require a pattern
that describes the complete string, where JSON Schema searches for a match anywhere in it
(https://json-schema.org/understanding-json-schema/reference/regular_expressions). The output
contains literals, classes of ranges, plain groups, `|` and greedy quantifiers, between `^` and `$`.

Patterns apply to the text between the quotes, so no class contains a quote, a backslash or a
control character: they would need an escape, which xgrammar does not allow next to a pattern.
"""

Ranges = list[tuple[int, int]]

_MAX_LENGTH = 1_000
_MAX_DEPTH = 20
# llama.cpp writes out a bounded repetition, and rejects more than 2,000 repetitions.
_MAX_EXPANDED = 1_000
_HIGHEST = 0x10FFFF
_NEEDS_ESCAPE: Ranges = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F)]
_SPECIAL = frozenset("^$.[]()|{}*+?")
_DIGITS: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACES: Ranges = [(0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x2000, 0x200A), (0x3000, 0x3000)]
_LINE_BREAKS: Ranges = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)]
_CONTROL_ESCAPES = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D, "0": 0}
_HEX_ESCAPES = {"x": 2, "u": 4}
_SIMPLE_QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class _UnsupportedError(ValueError):
    """A pattern that the grammar compilers cannot express."""


def translate_pattern(pattern: str) -> str | None:
    """Translate a pattern for all grammar compilers; return `None` if one cannot express it.

    Lookarounds, backreferences, word boundaries, flags, Unicode properties, and strings that
    cannot be written without an escape are not expressible.
    """
    if len(pattern) > _MAX_LENGTH:
        return None
    try:
        return _Translator(pattern).translate()
    except _UnsupportedError:
        return None


class _Translator:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._depth = 0

    def translate(self) -> str:
        """Return the translated pattern, with its anchors.

        Raises:
            _UnsupportedError: The pattern cannot be expressed.
        """
        branches, cost = [], 0
        while True:
            is_from_start = self._take("^")
            body, body_cost = self._sequence()
            is_to_end = self._take("$")
            branches.append(f"{'' if is_from_start else _ANY}{body}{'' if is_to_end else _ANY}")
            cost += body_cost
            if not self._take("|"):
                break
        if self._position < len(self._pattern) or cost > _MAX_EXPANDED or not any(branches):
            raise _UnsupportedError
        return f"^{branches[0]}$" if len(branches) == 1 else f"^({'|'.join(branches)})$"

    def _take(self, text: str) -> bool:
        is_next = self._pattern.startswith(text, self._position)
        self._position += len(text) if is_next else 0
        return is_next

    def _next(self) -> str:
        if self._position >= len(self._pattern):
            raise _UnsupportedError
        self._position += 1
        return self._pattern[self._position - 1]

    def _sequence(self) -> tuple[str, int]:
        """Return the atoms up to `|`, `)`, `$` or the end, and their number when written out."""
        parts, cost = [], 0
        while self._pattern[self._position : self._position + 1] not in ("", "|", ")", "$"):
            atom, atom_cost = self._atom()
            quantifier, factor = self._quantifier()
            parts.append(atom + quantifier)
            cost += atom_cost * factor
        return "".join(parts), cost

    def _atom(self) -> tuple[str, int]:
        char = self._next()
        if char == "(":
            return self._group()
        if char in "^*+?{":
            raise _UnsupportedError
        if char == "[":
            return _write_class(self._class()), 1
        if char == ".":
            return _write_class(_complement(_LINE_BREAKS)), 1
        return _write_class(self._escape() if char == "\\" else _only(char)), 1

    def _group(self) -> tuple[str, int]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _UnsupportedError
        if self._take("?") and not self._take(":"):
            self._skip_group_name()
        branches, cost = [], 0
        while True:
            body, body_cost = self._sequence()
            branches.append(body)
            cost += body_cost
            if not self._take("|"):
                break
        if not self._take(")"):
            raise _UnsupportedError
        self._depth -= 1
        return f"({'|'.join(branches)})", cost

    def _skip_group_name(self) -> None:
        """Skip `<name>` or Python's `P<name>`; others are lookarounds and flags."""
        self._take("P")
        if not self._take("<") or self._take("=") or self._take("!"):
            raise _UnsupportedError
        while self._next() != ">":
            pass

    def _quantifier(self) -> tuple[str, int]:
        """Return the next quantifier, made greedy, and how often it writes out its atom."""
        found = next((mark for mark in _SIMPLE_QUANTIFIERS if self._take(mark)), None)
        if found is not None:
            least, most = _SIMPLE_QUANTIFIERS[found]
        elif self._take("{"):
            least, most = self._bounds()
            found = (
                f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"
            )
        else:
            return "", 1
        if not self._take("?") and self._take("+"):
            raise _UnsupportedError
        return found, max(least, most or 0, 1)

    def _bounds(self) -> tuple[int, int | None]:
        end = self._pattern.find("}", self._position)
        least, comma, most = self._pattern[self._position : end].partition(",")
        if end < 0 or not all(part == "" or _is_small_number(part) for part in (least, most)):
            raise _UnsupportedError
        self._position = end + 1
        if not comma:
            most = least
        if not comma and not least:
            raise _UnsupportedError
        return int(least or 0), int(most) if most else None

    def _class(self) -> Ranges:
        is_negated = self._take("^")
        ranges: Ranges = []
        while not self._take("]"):
            low = self._class_member()
            ranges += low
            if self._pattern[self._position : self._position + 1] != "-":
                continue
            if self._pattern[self._position + 1 : self._position + 2] == "]":
                continue  # a dash at the end is a literal
            self._position += 1
            ranges.append(_range(low, self._class_member()))
        return _complement(ranges) if is_negated else ranges

    def _class_member(self) -> Ranges:
        char = self._next()
        if char == "[" and self._pattern[self._position : self._position + 1] in (":", "=", "."):
            raise _UnsupportedError
        return self._escape() if char == "\\" else _only(char)

    def _escape(self) -> Ranges:
        char = self._next()
        known = {"d": _DIGITS, "w": _WORD, "s": _SPACES}.get(char.lower())
        if known is not None:
            return known if char.islower() else _complement(known)
        if char in _CONTROL_ESCAPES:
            code = _CONTROL_ESCAPES[char]
        elif char in _HEX_ESCAPES:
            code = self._hex_code(_HEX_ESCAPES[char])
        elif char.isalnum():
            raise _UnsupportedError  # backreferences, boundaries, Unicode properties
        else:
            code = ord(char)
        return [(code, code)]

    def _hex_code(self, length: int) -> int:
        digits = self._pattern[self._position : self._position + length]
        self._position += length
        try:
            return int(digits, 16) if len(digits) == length else int("")
        except ValueError:
            raise _UnsupportedError from None


def _is_small_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _only(char: str) -> Ranges:
    return [(ord(char), ord(char))]


def _range(low: Ranges, high: Ranges) -> tuple[int, int]:
    first, last = low[0][0], high[0][1]
    if len(low) > 1 or len(high) > 1 or first > last:
        raise _UnsupportedError
    return first, last


def _complement(ranges: Ranges) -> Ranges:
    """Return all characters that are in none of the ranges."""
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return [*found, (start, _HIGHEST)] if start <= _HIGHEST else found


def _write_class(ranges: Ranges) -> str:
    """Return a class, or a literal for a single character."""
    allowed = _complement(_complement(ranges) + _NEEDS_ESCAPE)
    if not allowed:
        raise _UnsupportedError
    first, last = allowed[0]
    if len(allowed) == 1 and first == last < 0x80:
        char = chr(first)
        return f"\\{char}" if char in _SPECIAL else char
    if allowed[-1][1] == _HIGHEST:
        return f"[^{_write_ranges(_complement(allowed))}]"
    return f"[{_write_ranges(allowed)}]"


def _write_ranges(ranges: Ranges) -> str:
    """Write ranges sorted, with `-` and `^` placed so that they need no escape, for llama.cpp."""
    written, marks = [], ""
    for low, high in ranges:
        marks += "".join(mark for mark in "-^" if ord(mark) in (low, high))
        start, end = low + (chr(low) in "-^"), high - (chr(high) in "-^")
        if start == end:
            written.append(_write_char(start))
        elif start < end:
            written.append(f"{_write_char(start)}-{_write_char(end)}")
    return "".join(written) + marks[::-1] if written else marks


def _write_char(code: int) -> str:
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\{chr(code)}" if chr(code) in "[]\\" else chr(code)


_ANY = f"{_write_class([(0, _HIGHEST)])}*"
