"""What a text says that a value could be taken from: numbers, quotations, names, places, lists."""

import re
from collections.abc import Callable, Iterable, Iterator


def vocabulary(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())


NUMBER = r"(?<![\w.-])(?<!\d[:/])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,15})?(?!\d|[.:/-]\d)"
_CAPITAL = r"(?:[A-ZÀ-ÖØ-Þ][\w'\u2019-]*)"
_RUN = rf"{_CAPITAL}(?: {_CAPITAL})*(?:, [A-Z]{{2}}\b)?"
_IS = r"(?:is|are|was|=|:|named|called)"
_END = r"(?=[,;?!\n]|\.(?:\s|$)|\s+and\s|$)"
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_MONTH = "|".join(_MONTHS)

NUMBERS = re.compile(f"({NUMBER})")
# An apostrophe within a word opens and closes nothing.
_WITHIN = r"(?<=\w)['\u2019](?=\w)"
_QUOTED = (
    r"[\"“„](?=\S)([^\"“”„\n]+)[\"”“]",
    rf"(?<!\w)['\u2018](?=\S)((?:[^'\u2018\u2019\n]|{_WITHIN})+)['\u2019](?!\w)",
    r"[«「`]([^«»「」`\n]+)[»」`]",
)
QUOTATIONS = re.compile("|".join(_QUOTED))
EXPRESSIONS = re.compile(r"((?:[(\d][\d.()\s]*[-+*/^]\s*)+[(\d][\d.()\s]*)")
SUBJECTS = re.compile(
    r"\b(?:about|search(?:ing)? for|look(?:ing)? for)\s+(.+?)(?=[.,;?!\n]|$)", re.I
)
_NAMES = re.compile(rf"\b(?:(?i:named|called|name is)|I am|I'm)\s+({_RUN}|\w+)")
_RUNS = re.compile(rf"\b({_RUN})")
_ITEM = r"[\w'\u2019-]+"
_PAIR = rf"{_ITEM}\s+(?:and|or)\s+{_ITEM}"
_LISTS = re.compile(rf"((?:{_ITEM},\s+)+(?:{_PAIR}|(?:(?:and|or)\s+)?{_ITEM}))")
_PAIRS = re.compile(f"({_PAIR})")
_PLACE = r"\b(?:{})\s+(?:the\s+)?({})"
_LOWER = r"[a-zà-ÿ]{3,}"
_FORMATS = {
    "email": re.compile(r"([\w.+-]+@[\w-]+(?:\.[\w-]+)+)"),
    "uri": re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s\"'<>)]*[^\s\"'<>).,;?!])", re.I),
    "date-time": re.compile(r"\b(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)"),
    "date": re.compile(r"\b(\d{4}-\d\d-\d\d)\b"),
    "time": re.compile(r"\b(\d{1,2}:\d\d(?::\d\d)?)\b"),
    "uuid": re.compile(r"\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b", re.I),
}
_WRITTEN_DATES = (
    re.compile(rf"\b((?:{_MONTH})\s+\d{{1,2}}[a-z]*,?\s+\d{{4}})\b", re.I),
    re.compile(rf"\b(\d{{1,2}}[a-z]*\s+(?:{_MONTH}),?\s+\d{{4}})\b", re.I),
)
# Words that open a sentence with a capital and name nobody.
_OPENERS = vocabulary(
    "a add an and are ask book calculate call can compute convert could create delete describe do "
    "does explain extract find first fetch for generate get give hello hey hi how i if in is it "
    "let list look make my name now order please plan question read remember return schedule "
    "search send set show summarize tell text thank the then there they this translate use user "
    "using we what when where which who why will with would write yes you your"
)
_NO_PLACES = vocabulary(
    "about and any celsius each english euros fahrenheit german french general json kelvin least "
    "now order that the them there this today tomorrow tonight using you your"
)


def words_of(name: str) -> list[str]:
    """The words of an identifier, in lower case: of `getUserName`, `get_user-name` alike."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word.lower() for word in re.split(r"[\W_]+", spaced) if word]


def label_of(name: str) -> str:
    """A pattern for an identifier as people write it."""
    return r"[\s_-]*".join(re.escape(word) for word in words_of(name)) or r"(?!)"


def items_of(enumeration: str) -> list[str]:
    """What a list in words lists."""
    items = re.split(r",\s*(?:(?:and|or)\s+)?|\s+(?:and|or)\s+", enumeration)
    return [stripped for item in items if (stripped := item.strip(" \"'[]()"))]


def _iso_date(written: str) -> str:
    """`2024-03-05` for `March 5th, 2024`."""
    month = next(m for m in _MONTHS if m in written.lower())
    day, year = re.findall(r"\d+", written)
    return f"{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}"


def _anything(_: str) -> bool:
    return True


class Evidence:
    """A text whose facts are taken one after another, each once.

    Args:
        texts: The most telling first.

    Attributes:
        taken: Where the facts stood that were taken; to be set back when they were not used.
    """

    def __init__(self, *texts: str) -> None:
        self.text = "\n".join(text for text in texts if text.strip())
        self.taken: tuple[tuple[int, int], ...] = ()

    def take(self, pattern: re.Pattern[str], fits: Callable[[str], bool] = _anything) -> str | None:
        """The first match's (only) group that was not taken before and fits."""
        return next(self._taking(pattern, fits), None)

    def take_all(
        self, pattern: re.Pattern[str], fits: Callable[[str], bool] = _anything
    ) -> list[str]:
        """All that was not taken before and fits."""
        return list(self._taking(pattern, fits))

    def _taking(self, pattern: re.Pattern[str], fits: Callable[[str], bool]) -> Iterator[str]:
        before = self.taken
        for match in pattern.finditer(self.text):
            group = match.lastindex or 0
            start, end = match.span(group)
            if all(end <= a or b <= start for a, b in before) and fits(match[group]):
                self.taken = (*self.taken, (start, end))
                yield match[group]

    def number_near(self, name: str, fits: Callable[[str], bool]) -> str | None:
        """A number that stands beside the name: `age 27`, `aged 27`, `age: 27`, `3 days`."""
        label = label_of(name)
        linked = rf"\b{label}(?:d|s)?\s*(?:{_IS}|of|to|at)\s*({NUMBER})"
        beside = rf"\b{label}(?:d|s)?\s+({NUMBER})", rf"({NUMBER})[\s-]+{label}\b"
        patterns = (linked, *beside) if len(name) > 2 else (linked,)
        for pattern in patterns:
            found = self.take(re.compile(pattern, re.I), fits)
            if found is not None:
                return found
        return None

    def labelled(self, name: str) -> str | None:
        """What the text says that the name is: `city: Rome`, `the title is 'X'`."""
        label = rf"\b{label_of(name)}[\"']?\s*{_IS}\s*"
        plain = rf"((?:[^\"',;?!\n]|{_WITHIN})+?){_END}"
        for pattern in (*(label + quoted for quoted in _QUOTED), label + plain):
            found = self.take(re.compile(pattern, re.I))
            if found is not None:
                return found.strip()
        return None

    def listed(self, name: str) -> list[str]:
        """A list in words that the name introduces, else quotations, else any list in words."""
        label = label_of(name)
        labelled = rf"\b{label}s?\s*(?:{_IS}|include|including)\s*([^.;?!\n]+)"
        found = self.take(re.compile(labelled, re.I))
        if found is not None:
            return items_of(found)
        quoted = self.take_all(QUOTATIONS)
        if len(quoted) > 0:
            return quoted
        for pattern in (_LISTS, _PAIRS):
            found = self.take(pattern)
            if found is not None:
                return items_of(found)
        return []

    def formatted(self, format_name: str) -> str | None:
        """A value of a JSON schema's format; dates in words come out as ISO dates."""
        pattern = _FORMATS.get(format_name)
        found = None if pattern is None else self.take(pattern)
        if found is not None or format_name != "date":
            return found
        for written in _WRITTEN_DATES:
            found = self.take(written)
            if found is not None:
                return _iso_date(found)
        return None

    def place(self, prepositions: str = "in|at|near|for|to|from|of") -> str | None:
        """A place: what follows a preposition, with capitals where the writer used them."""
        found = self.take(re.compile(_PLACE.format(prepositions, _RUN)), _names_something)
        if found is not None:
            return found
        lower = re.compile(_PLACE.format("in|at|near|from", _LOWER))
        return self.take(lower, lambda word: word not in _NO_PLACES)

    def proper_name(self) -> str | None:
        """Someone's or something's name."""
        found = self.take(_NAMES)
        return found if found is not None else self.take(_RUNS, _names_something)

    def says(self, name: str) -> bool | None:
        """Whether the text speaks of it: `False` for `no punchline`, `None` for not at all."""
        label = label_of(name)
        if re.search(
            rf"\b(?:no|not|without|don't|never)\s+(?:an?\s+|the\s+)?{label}", self.text, re.I
        ):
            return False
        return True if re.search(rf"\b{label}", self.text, re.I) else None

    def mentioned(self, options: Iterable[str]) -> list[str]:
        """Those of the options that the text mentions, in the order of the text."""
        places = []
        for option in options:
            match = re.search(rf"(?<!\w){label_of(option)}s?(?!\w)", self.text, re.I)
            if match is not None:
                places.append((match.start(), option))
        return [option for _, option in sorted(places)]


def _names_something(run: str) -> bool:
    return run.split()[0].lower() not in _OPENERS
