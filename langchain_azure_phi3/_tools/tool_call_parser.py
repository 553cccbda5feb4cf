"""Tool calls found in text, while it streams.

Text is held back only while it may still become a call, and no character is looked at twice but
the few that may begin a marker. Not passed on, besides the calls themselves: what marks or
separates them (tags, fences, brackets, commas, white space), and control tokens of the chat
template at the beginning, at the end or beside a call.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from langchain_azure_phi3._tools.json_scanner import CallClassifier, JsonScanner
from langchain_azure_phi3._tools.tool_call_formats import CallNormalizer
from langchain_azure_phi3._tools.tools import Call, Tool, Toolbox

TRUNCATED = "The answer broke off inside this call."

# Phi-4-mini was trained on <|tool_call|>, which its hosts' templates rename; vLLM's template for
# it asks for functools; Foundry Local and servers for other models use the tags without bars.
_TAGS = ("tool_call", "tool_calls", "function_call", "function_calls", "functioncall")
_PLAIN_TAGS = (*_TAGS, "tools", "response")
_OPENERS = (
    *(f"<|{tag}|>" for tag in _TAGS),
    *(f"<{tag}>" for tag in _PLAIN_TAGS),
    "functools",
)
_CLOSERS = (
    *(f"<|/{tag}|>" for tag in _TAGS),
    *(f"</|{tag}|>" for tag in _TAGS),
    *(f"</{tag}>" for tag in _PLAIN_TAGS),
)
_CONTROLS = (
    "<|end|>",
    "<|endoftext|>",
    "<|assistant|>",
    "<|user|>",
    "<|im_end|>",
    "<|im_start|>",
    "</s>",
)
_FENCE = "```"
_MARKERS = (*_OPENERS, *_CLOSERS, *_CONTROLS, _FENCE)
_LONGEST_MARKER = max(map(len, _MARKERS))

_MARKED_LANGUAGES = frozenset(
    {"tool_call", "tool_calls", "tool_use", "tool", "function_call", "function", "functools"}
)
_LANGUAGES = _MARKED_LANGUAGES | {"", "json", "jsonc", "json5", "text", "plaintext"}

_WORTH_A_LOOK = re.compile(r"[<`{\[]|f(?=u|\Z)")
_IN_WORD = re.compile(r"\w")
_SPACE = re.compile(r"\s*")
_SEPARATORS = re.compile(r"[\s,;}\]]*")
_WORD = re.compile(r"[\w+#.-]*")


class ParseResult(NamedTuple):
    """What the last piece of text brought.

    Attributes:
        text: To pass on to the user now.
        calls: Those completed since.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()


class ToolCallParser:
    """Reads one answer."""

    def __init__(self, tools: Iterable[Tool], *, required: bool) -> None:
        """`demanded`: a call must come, so that the arguments of an only tool are one too."""
        self._tools = Toolbox(tools)
        only = self._tools.tools[0] if len(self._tools.tools) == 1 else None
        self._sole = only if required else None
        self._demanded = required
        self._forms = CallNormalizer(self._tools, only_tool=self._sole)
        self._mode: Callable[[str, int], int] = self._between
        self._pending = ""  # the beginning of a marker, at most
        self._held: list[str] = []  # read, but not known to be text
        self._object: list[str] = []  # the pieces of the object being read
        self._inside: list[str] = []  # what is open around it: "tag", "fence", "array"
        self._is_marked = False
        self._after_call = False
        self._last_told = ""
        self._is_over = False
        self._brackets = JsonScanner()
        self._probe = self._new_probe()
        self._text: list[str] = []
        self._calls: list[Call] = []

    def feed(self, text: str) -> ParseResult:
        """Read a piece of the answer."""
        self._read(text)
        return self._reading()

    def finish(self, *, truncated: bool = False) -> ParseResult:
        """Read the end; `cut_off`: the answer was not complete, as at the limit of tokens."""
        self._is_over = True
        self._read("")
        if self._mode == self._within_object:
            self._finish_object(truncated=truncated)
        if self._mode == self._between:
            self._finish_between()
        else:
            self._refuse()
        return self._reading()

    def _reading(self) -> ParseResult:
        reading = ParseResult("".join(self._text), tuple(self._calls))
        self._text, self._calls = [], []
        return reading

    def _read(self, text: str) -> None:
        text = self._pending + text
        at = 0
        while at < len(text):
            mode = self._mode
            following = mode(text, at)
            if following == at and self._mode == mode:
                break
            at = following
        self._pending = text[at:]

    # Each mode reads on from an index and gives the next; the same one when it needs more text.

    def _plain(self, text: str, at: int) -> int:
        """Ordinary text, up to what may begin a call."""
        found = _WORTH_A_LOOK.search(text, at)
        start = len(text) if found is None else found.start()
        self._tell(text[at:start])
        if start == len(text):
            return start
        is_within_word = text[start] == "f" and _IN_WORD.match(self._last_told) is not None
        following = None if is_within_word else self._begin(text, start)
        if following is None:
            self._tell(text[start])
            return start + 1
        return following

    def _between(self, text: str, at: int) -> int:
        """Before anything, after a call or after a control token: what follows decides."""
        filler = _SEPARATORS if self._after_call else _SPACE
        end = self._hold(text, at, filler)
        if "]" in text[at:end] and "array" in self._inside:
            del self._inside[self._inside.index("array") :]
        if end == len(text):
            return end
        following = self._begin(text, end)
        if following is not None:
            return following
        self._release_between()
        return end

    def _opened(self, text: str, at: int) -> int:
        """After a marker, a fence or a bracket: an object, or it was nothing."""
        end = self._hold(text, at, _SPACE)
        marker = self._marker(text, end) if end < len(text) else None
        if marker is None:
            return end
        if marker in _OPENERS or marker == _FENCE or (not marker and text[end] in "{["):
            return self._enter(text, end, marker)
        self._refuse()
        return end

    def _language(self, text: str, at: int) -> int:
        """After the backticks of a fence: the word that tells whether it may hold a call."""
        end = _word_end(text, at)
        word = text[at:end].casefold()
        may_go_on = end == len(text) and not self._is_over
        if may_go_on and any(language.startswith(word) for language in _LANGUAGES):
            return at
        self._inside.append("fence")
        if word not in _LANGUAGES:
            self._refuse()
            return at
        self._is_marked = self._is_marked or word in _MARKED_LANGUAGES
        self._held.append(text[at:end])
        self._mode = self._opened
        return end

    def _within_object(self, text: str, at: int) -> int:
        """An object that may be a call."""
        end = self._brackets.read(text, at, self._probe)
        is_data = self._probe.classification == "data"
        if self._is_marked and is_data and not self._brackets.closed:
            end = self._brackets.read(text, end)
        self._object.append(text[at:end])
        if self._brackets.closed:
            self._complete()
        elif self._brackets.exceeds_max_depth or (is_data and not self._is_marked):
            self._refuse()
        elif end < len(text):
            return self._at_odd_character(text, end)
        return end

    def _at_odd_character(self, text: str, at: int) -> int:
        """What JSON does not contain: the object's end, if it ends what is around the object."""
        marker = "]" if text[at] == "]" else self._marker(text, at)
        if marker is None:
            return at
        ends = {"]": "array" in self._inside, _FENCE: "fence" in self._inside, "": False}
        if ends.get(marker, True):
            self._complete()
            return at
        self._brackets.skip(text[at])
        self._object.append(text[at])
        return at + 1

    def _within_data(self, text: str, at: int) -> int:
        """JSON that is no call, whose inside is none either."""
        end = self._brackets.read(text, at)
        self._tell(text[at:end])
        if self._brackets.closed or self._brackets.exceeds_max_depth:
            self._mode = self._plain
        elif end < len(text):
            marker = "" if text[end] == "]" else self._marker(text, end)
            if marker:
                self._mode = self._plain
            elif marker is not None:
                self._brackets.skip(text[end])
                self._tell(text[end])
                return end + 1
        return end

    def _within_code(self, text: str, at: int) -> int:
        """A fenced block that holds no call, up to its end."""
        end = text.find(_FENCE, at)
        if end >= 0:
            self._mode = self._plain
            self._tell(text[at : end + len(_FENCE)])
            return end + len(_FENCE)
        ticks = 0 if self._is_over else len(text) - len(text.rstrip("`"))
        end = max(at, len(text) - ticks)
        self._tell(text[at:end])
        return end

    def _begin(self, text: str, at: int) -> int | None:
        """Enter what begins here; `None` if nothing does, the same index to wait for more."""
        marker = self._marker(text, at)
        if marker is None:
            return at
        if marker in _CONTROLS or marker in _CLOSERS:
            self._held.append(marker)
            self._mode = self._between
            return at + len(marker)
        if marker == _FENCE and self._after_call and "fence" in self._inside:
            self._inside.clear()
            return at + len(_FENCE)
        if marker or text[at] in "{[":
            return self._enter(text, at, marker)
        return None

    def _enter(self, text: str, at: int, marker: str) -> int:
        """Enter a tag, a fence, an array or an object."""
        if not marker and text[at] == "{":
            self._object = []
            self._brackets, self._probe = JsonScanner(), self._new_probe()
            self._mode = self._within_object
            return at
        opened = marker or "["
        self._held.append(opened)
        if marker == _FENCE:
            self._mode = self._language
        else:
            self._inside.append("tag" if marker else "array")
            self._is_marked = self._is_marked or marker != ""
            self._mode = self._opened
        return at + len(opened)

    def _complete(self) -> None:
        """The object is whole: a call, or text after all."""
        raw = "".join(self._object)
        marked = self._is_marked or self._demanded
        calls = self._forms.calls(raw, marked=marked)
        if not calls:
            self._refuse()
            return
        self._took(calls)

    def _took(self, calls: Iterable[Call]) -> None:
        self._calls.extend(calls)
        self._held.clear()
        self._object = []
        self._after_call = True
        self._is_marked = bool(self._inside)
        self._mode = self._between

    def _refuse(self) -> None:
        """What was held is text; so is the rest of a fence or of other JSON."""
        is_json = self._mode == self._within_object and self._probe.has_quotes
        arrays = self._inside.count("array")
        self._tell("".join(self._held) + "".join(self._object))
        self._held.clear()
        self._object = []
        if "fence" in self._inside:
            self._mode = self._within_code
        elif is_json:
            self._brackets.within(arrays)
            self._mode = self._plain if self._brackets.closed else self._within_data
        else:
            self._mode = self._plain
        self._leave()

    def _leave(self) -> None:
        self._inside.clear()
        self._is_marked = False
        self._after_call = False

    def _release_between(self) -> None:
        """Text follows: pass on what stood before it, without what belongs to a call."""
        held = "".join(self._held)
        if self._after_call:
            is_apart = self._last_told == "" or self._last_told.isspace()
            held = "" if is_apart else held[len(held.rstrip()) :]
        elif self._last_told == "":
            held = "".join(piece for piece in self._held if piece not in _MARKERS)
        self._held.clear()
        self._mode = self._within_code if "fence" in self._inside else self._plain
        self._tell(held)
        self._leave()

    def _finish_between(self) -> None:
        """The end follows: drop control tokens and what follows a call, keep mere space."""
        if not self._after_call and self._last_told == "":
            self._release_between()
        self._held.clear()

    def _finish_object(self, *, truncated: bool) -> None:
        """The end came within an object: a call without its last brackets, or half a call."""
        if not self._is_marked and self._probe.classification != "call":
            return
        if not truncated and not self._brackets.truncated:
            self._complete()
            return
        tool = self._tools.find(self._probe.name)
        name = self._probe.name if tool is None else tool.name
        self._took([Call(name, None, "".join(self._object), TRUNCATED)])

    def _new_probe(self) -> CallClassifier:
        return CallClassifier(
            self._tools, only_tool=self._sole, any_name=self._demanded or self._is_marked
        )

    def _hold(self, text: str, at: int, filler: re.Pattern[str]) -> int:
        found = filler.match(text, at)
        end = at if found is None else found.end()
        if end > at:
            self._held.append(text[at:end])
        return end

    def _tell(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._last_told = text[-1]

    def _marker(self, text: str, at: int) -> str | None:
        """The marker at an index, empty if there is none, `None` if more text must tell."""
        if text[at] not in "<`f":
            return ""
        for marker in _MARKERS:
            if text.startswith(marker, at):
                return marker
        rest = text[at : at + _LONGEST_MARKER]
        is_open = len(text) - at < _LONGEST_MARKER and not self._is_over
        return None if is_open and any(m.startswith(rest) for m in _MARKERS) else ""


def _word_end(text: str, at: int) -> int:
    found = _WORD.match(text, at)
    return at if found is None else found.end()
