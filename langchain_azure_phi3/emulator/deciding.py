"""Which tool a question needs next, and with which arguments."""

import re
from dataclasses import dataclass

from langchain_azure_phi3.emulator import invention
from langchain_azure_phi3.emulator.evidence import Evidence, vocabulary, words_of
from langchain_azure_phi3.emulator.following import Offer, Wanted
from langchain_azure_phi3.emulator.wire import Json

# Words of names and descriptions that tell nothing about what a tool is for.
_PLAIN = vocabulary(
    "a an and any are as at be by call can do fetch for from function get give given has i in "
    "input is it its make me my no of on or output please return returns set some tell that the "
    "this to tool use useful using value was what when which who will with you your"
)
_SIGNS = {r"\d\s*\+\s*\d": "add sum plus", r"\d\s*[*\u00d7]\s*\d": "multiply product times"}
_CLAUSES = re.compile(r"(?<=[.?!;])\s+|\n|,?\s*\b(?:and\s+)?then\b|,\s*and\b|;", re.I)
_STEM = 6


@dataclass(frozen=True, slots=True)
class Call:
    """A tool to call, with its arguments."""

    name: str
    arguments: Json


def next_call(wanted: Wanted) -> Call | None:
    """The call that is due, or `None` where the answer is due in words."""
    offer = _due(wanted)
    if offer is None:
        return None
    clause = _clause_on(offer, wanted.question)
    results = [result.text for result in reversed(wanted.results) if not result.failed]
    # A later step works on what the steps before it gave.
    evidence = Evidence(clause, *results, wanted.question.replace(clause, "\n"))
    arguments = invention.instance({"type": "object", **offer.parameters}, evidence)
    return Call(offer.name, arguments if isinstance(arguments, dict) else {})


def _due(wanted: Wanted) -> Offer | None:
    if wanted.tool is not None:
        return wanted.offer(wanted.tool)
    needed = _needed(wanted)
    answered = {result.name for result in wanted.results}
    for offer in needed:
        if offer.name not in answered:
            return offer
    if not wanted.demanded or len(wanted.offers) == 0:
        return None
    # A call must come: of a tool that was not used yet, before one is used again.
    unused = [offer for offer in wanted.offers if offer.name not in answered]
    return (*unused, *needed, *wanted.offers)[0]


def _needed(wanted: Wanted) -> list[Offer]:
    """The tools that the question speaks of, in its order; else the one that it hints at."""
    spoken_of = [(_mention(offer, wanted.question), offer) for offer in wanted.offers]
    mentioned = sorted((at, n) for n, (at, _) in enumerate(spoken_of) if at is not None)
    if len(mentioned) > 0:
        return [wanted.offers[n] for _, n in mentioned]
    scored = [(_hints(offer, wanted.question), -n) for n, offer in enumerate(wanted.offers)]
    best, position = max(scored, default=(0, 0))
    return [wanted.offers[-position]] if best > 1 else []


def _mention(offer: Offer, question: str) -> int | None:
    """Where the question mentions a tool: by its name, or by all telling words of the name."""
    exact = re.search(rf"(?<!\w){re.escape(offer.name)}(?!\w)", question, re.I)
    if exact is not None:
        return exact.start()
    places = {_stem(match[0]): match.start() for match in re.finditer(r"[^\W_]+", question)}
    telling = [_stem(word) for word in words_of(offer.name) if word not in _PLAIN]
    if len(telling) == 0 or not all(word in places for word in telling):
        return None
    return min(places[word] for word in telling)


def _hints(offer: Offer, question: str) -> int:
    """Two for each telling word that question and name share, one for each of the description."""
    signs = [words for sign, words in _SIGNS.items() if re.search(sign, question) is not None]
    said = _telling(" ".join([question, *signs]))
    return 2 * len(said & _telling(offer.name)) + len(said & _telling(offer.description))


def _telling(text: str) -> set[str]:
    return {_stem(word) for word in words_of(text) if word not in _PLAIN and len(word) > 2}


def _stem(word: str) -> str:
    word = word.lower()
    for ending in ("ing", "ers", "er", "ies", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 2:
            word = word.removesuffix(ending)
            break
    return word[:_STEM]


def _clause_on(offer: Offer, question: str) -> str:
    """The part of the question that speaks of the tool."""
    clauses = [clause for clause in _CLAUSES.split(question) if clause and clause.strip()]
    on_it = [clause for clause in clauses if _mention(offer, clause) is not None]
    return on_it[0] if len(on_it) > 0 else question
