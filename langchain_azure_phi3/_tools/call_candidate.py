"""A JSON object in a response that may be a tool call, and its enclosing tags and brackets."""

from langchain_azure_phi3._tools.json_scanner import JsonScanner
from langchain_azure_phi3._tools.lexer import TokenType

_MAX_OPEN = 64


class CandidateObject:
    """An object that may be a call, and the part of it that was read so far."""

    def __init__(self, scanner: JsonScanner, *, marked: bool = False) -> None:
        self.scanner = scanner
        self.pieces: list[str] = []
        self._marked = marked

    @property
    def is_settled(self) -> bool:
        """Whether it is complete, or certainly not a call."""
        return self.scanner.is_settled or self._is_data

    @property
    def may_be_call(self) -> bool:
        """Whether the part read so far looks like a call."""
        classifier = self.scanner.classifier
        return self._marked or (classifier is not None and classifier.classification == "call")

    @property
    def name(self) -> str:
        """The tool's name, or the part of it that was read so far."""
        return "" if self.scanner.classifier is None else self.scanner.classifier.name

    @property
    def _is_data(self) -> bool:
        classifier = self.scanner.classifier
        return not self._marked and classifier is not None and classifier.classification == "data"

    def read(self, text: str, at: int) -> int:
        """Continue at an index; return the index of the first character that was not read."""
        end = self.scanner.read(text, at)
        # Where calls are marked, data is read to its end and reported as an error.
        return self.scanner.read(text, end) if self._marked and not self.scanner.closed else end

    def read_as_data(self, *, arrays: int) -> bool:
        """Read the rest of this object, and arrays around it, as data; `False` to stop."""
        classifier = self.scanner.classifier
        is_json = classifier is not None and classifier.has_quotes
        self.scanner.read_as_data(arrays=arrays)
        return is_json and not self.scanner.closed


class Nesting:
    """The tags, fences and arrays that are open around an object, and whether they mark calls."""

    def __init__(self, *, quoted: bool = False) -> None:
        """`quoted`: the content is part of a sentence, a quotation or inline code."""
        self._open: list[TokenType] = []
        self.marked = False
        self.quoted = quoted

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open."""
        return not self._open

    def __contains__(self, opener: TokenType) -> bool:
        return opener in self._open

    @property
    def arrays(self) -> int:
        """The number of open arrays."""
        return self._open.count(TokenType.ARRAY_START)

    def open(self, opener: TokenType, *, marked: bool = False) -> None:
        """Enter the enclosure that a token opens; `marked`: the token announces calls."""
        if len(self._open) < _MAX_OPEN:  # there are no calls below this depth
            self._open.append(opener)
        self.marked = self.marked or marked

    def close_arrays(self) -> None:
        """Leave the arrays and everything inside them."""
        if TokenType.ARRAY_START in self._open:
            del self._open[self._open.index(TokenType.ARRAY_START) :]

    def close_all(self) -> None:
        """Leave everything; calls that follow directly are still marked."""
        self._open.clear()

    def mark_following(self) -> None:
        """After a call, treat further objects in the same enclosure as calls too."""
        self.marked = bool(self._open)


class Line:
    """The text before the current position on its line."""

    def __init__(self) -> None:
        self.is_blank = True
        self.is_in_code = False  # between single backticks
        self.is_quotation = False  # after Markdown's `>`
        self.is_tagged = False  # after a tag that announces calls

    def feed(self, text: str) -> None:
        """Move past a piece of text."""
        _, line_break, line = text.rpartition("\n")
        if line_break:
            self.is_blank = True
            self.is_in_code = self.is_quotation = self.is_tagged = False
        if self.is_blank:
            self.is_quotation = line.lstrip().startswith(">")
            self.is_blank = line == "" or line.isspace()
        self.is_in_code ^= line.count("`") % 2 == 1
