"""An object within an answer that may be a tool call, and what is open around it."""

from langchain_azure_phi3._tools.json_scanner import JsonScanner
from langchain_azure_phi3._tools.lexer import TokenType

_MAX_OPEN = 64


class CandidateObject:
    """An object that may be a call, as far as it was read."""

    def __init__(self, scanner: JsonScanner, *, marked: bool = False) -> None:
        self.scanner = scanner
        self.pieces: list[str] = []
        self._marked = marked

    @property
    def is_settled(self) -> bool:
        """Whether it has ended, or is no call for certain."""
        return self.scanner.is_settled or self._is_data

    @property
    def may_be_call(self) -> bool:
        """Whether it is meant as a call, as far as it was read."""
        classifier = self.scanner.classifier
        return self._marked or (classifier is not None and classifier.classification == "call")

    @property
    def name(self) -> str:
        """The name in it, as far as it was read."""
        return "" if self.scanner.classifier is None else self.scanner.classifier.name

    @property
    def _is_data(self) -> bool:
        classifier = self.scanner.classifier
        return not self._marked and classifier is not None and classifier.classification == "data"

    def read(self, text: str, at: int) -> int:
        """Read on; the index of the first character that was not read."""
        end = self.scanner.read(text, at)
        # Where calls are marked, what seems to be data is read to its end, to be named an error.
        return self.scanner.read(text, end) if self._marked and not self.scanner.closed else end

    def read_as_data(self, *, arrays: int) -> bool:
        """Whether the rest of this object, and of arrays around it, is to be read as JSON."""
        classifier = self.scanner.classifier
        is_json = classifier is not None and classifier.has_quotes
        self.scanner.read_as_data(arrays=arrays)
        return is_json and not self.scanner.closed


class Nesting:
    """What is open around an object: tags, fences and arrays, and whether they mark calls."""

    def __init__(self, *, quoted: bool = False) -> None:
        """`quoted`: what is in it is part of a sentence, a quotation or inline code."""
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
        """How many arrays are open."""
        return self._open.count(TokenType.ARRAY_START)

    def open(self, opener: TokenType, *, marked: bool = False) -> None:
        """Enter what a token opens; `marked`: it says that calls follow."""
        if len(self._open) < _MAX_OPEN:  # deeper, there is no call
            self._open.append(opener)
        self.marked = self.marked or marked

    def close_arrays(self) -> None:
        """Leave the arrays and all that is in them."""
        if TokenType.ARRAY_START in self._open:
            del self._open[self._open.index(TokenType.ARRAY_START) :]

    def close_all(self) -> None:
        """Leave everything; calls that follow directly are still marked."""
        self._open.clear()

    def mark_following(self) -> None:
        """After a call: what is next to it in the same enclosure is meant as a call, too."""
        self.marked = bool(self._open)


class Line:
    """What stands before the current place on its line."""

    def __init__(self) -> None:
        self.is_blank = True
        self.is_in_code = False  # between single backticks
        self.is_quotation = False  # after Markdown's `>`
        self.is_tagged = False  # after a tag that says that calls follow

    def feed(self, text: str) -> None:
        """Go on behind a piece of text."""
        _, line_break, line = text.rpartition("\n")
        if line_break:
            self.is_blank = True
            self.is_in_code = self.is_quotation = self.is_tagged = False
        if self.is_blank:
            self.is_quotation = line.lstrip().startswith(">")
            self.is_blank = line == "" or line.isspace()
        self.is_in_code ^= line.count("`") % 2 == 1
