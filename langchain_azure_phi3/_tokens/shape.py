"""What a text is made of, as numbers from which its tokens can be estimated.

A tokenizer cuts a text into words, numbers, punctuation and white space before it looks
anything up, so how many tokens come out depends on few things: how long the words are and in
which script, whether they are English (vocabularies hold mostly English words), how digits,
signs and line breaks are strung together. Those are counted here. A text has far fewer
different pieces than pieces, so each different one is looked at once.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

NAMES = (
    # Words in Latin letters, English ones and others: how many, and letters beyond a length.
    *("english", "english_over_4", "english_over_7", "english_over_10"),
    *("foreign", "foreign_over_4", "foreign_over_7", "foreign_over_10"),
    # Letters with accents, words without a space before, capitals in front or in rows.
    *("accents", "rare_accents", "glued", "capitalised", "capitals"),
    # Letters and digits in long mixed rows: keys, hashes, base64.
    "random_letters",
    # Numbers: digits, groups of three, spaces before.
    *("digits", "digit_groups", "spaced_numbers"),
    # Signs: runs, changes within a run, repetitions within a run, spaces before.
    *("sign_runs", "sign_changes", "sign_repeats", "spaced_signs"),
    # White space: rows of line breaks, and breaks in them; indentation and the like.
    *("break_runs", "breaks", "space_runs", "spaces"),
    # Other scripts: runs and characters.
    *("cyrillic", "cyrillic_letters", "arabic", "arabic_letters", "two_bytes", "two_byte_letters"),
    *("devanagari", "devanagari_letters", "hangul", "hangul_letters"),
    *("kana", "han", "cjk_signs", "three_bytes", "four_bytes"),
)
"""What `shape` counts, in its order."""

_PATTERNS = {
    "break_runs": r"[\r\n]+",
    # All but the last space, which belongs to what follows.
    "space_runs": r"[ \t]+(?=[ \t])|\t",
    "random_letters": r" ?(?=[A-Za-z+]*[0-9])[A-Za-z0-9+]{16,}",
    "latin": r" ?[A-Za-z\u00aa-\u024f]+",
    "digits": r" ?[0-9]+",
    "sign_runs": r" ?[!-/:-@\[-`{-\u00a9]+",
    "cyrillic": r" ?[\u0400-\u052f]+",
    "arabic": r" ?[\u0600-\u06ff]+",
    "two_bytes": r" ?[\u0250-\u07ff]+",
    "devanagari": r" ?[\u0900-\u097f]+",
    "hangul": r" ?[\u1100-\u11ff\uac00-\ud7af]+",
    "kana": r"[\u3040-\u30ff]+",
    "han": r"[\u3400-\u9fff]+",
    "cjk_signs": r"[\u3000-\u303f\uff00-\uffef]+",
    "three_bytes": r"[\u0800-\uffff]",
    "four_bytes": r"[\U00010000-\U0010ffff]",
}
# Compiled when first used (by `re` itself): as slow as importing the rest of the package.
_PIECE = "|".join(_PATTERNS.values())
_KIND = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items())
_WORD = re.compile(r"[A-Z\u00c0-\u00de]?[a-z\u00aa-\u00bf\u00df-\u024f]+|[A-Z\u00c0-\u00de]+")

# Frequent words that are frequent in one language only. Their shares tell which vocabulary a
# text needs; text without any (code, tables) counts as English.
_ENGLISH_WORDS = """
the of and to is that it for with as are be this was have from not you by or they which if at an
will but when what there can how
"""
_FOREIGN_WORDS = """
der das und ist nicht ein eine den dem mit von zu auf für wird oder sich auch werden
le la les des est et une un dans pour que qui sur pas au du en il ce ne
el los las y es por con para se lo su más como del di che per non sono della nel si gli e o os
uma não com da em mais het een van niet dat op te zijn w na nie się jest że z jak od po
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FOREIGN = frozenset(_FOREIGN_WORDS.split())

_AT = {name: index for index, name in enumerate((*NAMES, "said_english", "said_foreign"))}
_LONGEST_REMEMBERED = 32

_Found = Iterator[tuple[str, int]]


def shape(text: str) -> Sequence[float]:
    """The counts of `NAMES` for a text."""
    counts = [0.0] * len(_AT)
    for piece, times in Counter(re.findall(_PIECE, text)).items():
        remembered = _counted if len(piece) <= _LONGEST_REMEMBERED else _counted.__wrapped__
        for at, count in remembered(piece):
            counts[at] += count * times
    said_foreign, said_english = counts.pop(), counts.pop()
    foreign = said_foreign / (said_foreign + said_english) if said_foreign else 0.0
    for at in range(4):
        counts[4 + at] = counts[at] * foreign
        counts[at] -= counts[4 + at]
    return counts


@lru_cache(maxsize=8_192)
def _counted(piece: str) -> tuple[tuple[int, int], ...]:
    """Where in the counts a piece belongs, and how often."""
    # A look-ahead cannot see past the piece; the space it looked for is put back.
    match = re.match(_KIND, piece + " ")
    kind = match.lastgroup if match is not None else None
    found = _READERS.get(kind, _letters)(piece, kind) if kind is not None else ()
    return tuple((_AT[name], count) for name, count in found if count)


def _word(piece: str, _kind: str) -> _Found:
    word = piece.lstrip(" ")
    parts = _WORD.findall(word)
    yield "glued", len(parts) - piece.startswith(" ")
    yield "accents", sum("\x7f" < letter < "\u0100" for letter in word)
    yield "rare_accents", sum(letter > "\xff" for letter in word)
    yield "said_english", word in _ENGLISH
    yield "said_foreign", word in _FOREIGN or not word.isascii()
    for part in parts:
        length = len(part)
        if length > 1 and part.isupper():
            yield "capitals", length
            continue
        yield "capitalised", part[0].isupper()
        yield "english", 1
        yield "english_over_4", max(0, length - 4)
        yield "english_over_7", max(0, length - 7)
        yield "english_over_10", max(0, length - 10)


def _number(piece: str, _kind: str) -> _Found:
    digits = len(piece.lstrip(" "))
    yield "digits", digits
    yield "digit_groups", (digits + 2) // 3
    yield "spaced_numbers", piece.startswith(" ")


def _signs(piece: str, _kind: str) -> _Found:
    signs = piece.lstrip(" ")
    changes = sum(one != other for one, other in pairwise(signs))
    yield "sign_runs", 1
    yield "sign_changes", changes
    # A row of one sign is few tokens however long it is: 2, 4, 8 and so on are in vocabularies.
    yield "sign_repeats", (len(signs) - 1 - changes).bit_length()
    yield "spaced_signs", piece.startswith(" ")


def _run(piece: str, kind: str) -> _Found:
    yield kind, 1
    yield NAMES[_AT[kind] + 1], len(piece) - piece.startswith(" ")


def _letters(piece: str, kind: str) -> _Found:
    yield kind, len(piece) - piece.startswith(" ")


_READERS: dict[str, Callable[[str, str], _Found]] = {
    "latin": _word,
    "digits": _number,
    "sign_runs": _signs,
    **dict.fromkeys(("break_runs", "space_runs", "cyrillic", "arabic"), _run),
    **dict.fromkeys(("two_bytes", "devanagari", "hangul"), _run),
}
