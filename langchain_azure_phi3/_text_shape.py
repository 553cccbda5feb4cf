"""What a text is made of, as numbers from which its tokens can be estimated.

A tokenizer cuts a text into words, numbers, punctuation and white space before it looks
anything up, so how many tokens come out depends on few things: how long the words are and in
which script, whether they are English (vocabularies hold mostly English words), how digits,
signs and line breaks are strung together. Those are counted here, in one pass.
"""

import re
from collections.abc import Callable, Sequence

NAMES = (
    # Words in Latin letters, English ones and others: how many, and letters beyond a length.
    *("english", "english_over_4", "english_over_7", "english_over_10"),
    *("foreign", "foreign_over_4", "foreign_over_7", "foreign_over_10"),
    # Letters with accents, words glued to what stands before, capitals in mid-word or in rows.
    *("accents", "rare_accents", "glued", "capitalised", "capitals"),
    # Letters and digits in long mixed rows: keys, hashes, base64.
    "random_letters",
    # Numbers: digits, groups of three, spaces before.
    *("digits", "digit_groups", "spaced_numbers"),
    # Signs: runs, changes within a run, repetitions within a run, spaces before.
    *("sign_runs", "sign_changes", "sign_repeats", "spaced_signs"),
    # White space: line breaks, rows of them, runs of spaces, spaces in them.
    *("breaks", "break_runs", "space_runs", "spaces"),
    # Other scripts: runs and characters.
    *("cyrillic", "cyrillic_letters", "arabic", "arabic_letters", "two_bytes", "two_byte_letters"),
    *("devanagari", "devanagari_letters", "hangul", "hangul_letters"),
    *("kana", "han", "cjk_signs", "three_bytes", "four_bytes"),
)
"""What `shape` counts, in its order."""

_AT = {name: index for index, name in enumerate(NAMES)}

_PIECE = re.compile(
    r"(?P<random_letters>(?=[A-Za-z+]*[0-9])[A-Za-z0-9+]{16,})"
    r"|(?P<latin>[A-Za-z\u00aa-\u024f]+)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<breaks>[\r\n]+)"
    r"|(?P<spaces>[ \t]{2,}|\t)"
    r"|(?P<signs>[!-/:-@\[-`{-\u00a9]+)"
    r"|(?P<cyrillic>[\u0400-\u052f]+)"
    r"|(?P<arabic>[\u0600-\u06ff]+)"
    r"|(?P<two_bytes>[\u0250-\u07ff]+)"
    r"|(?P<devanagari>[\u0900-\u097f]+)"
    r"|(?P<hangul>[\u1100-\u11ff\uac00-\ud7af]+)"
    r"|(?P<kana>[\u3040-\u30ff]+)"
    r"|(?P<han>[\u3400-\u9fff]+)"
    r"|(?P<cjk_signs>[\u3000-\u303f\uff00-\uffef]+)"
    r"|(?P<three_bytes>[\u0800-\uffff]+?)"
    r"|(?P<four_bytes>[\U00010000-\U0010ffff])"
)
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

_Counts = list[float]


def shape(text: str) -> Sequence[float]:
    """The counts of `NAMES` for a text."""
    counts: _Counts = [0.0] * len(NAMES)
    words: list[str] = []
    for piece in _PIECE.finditer(text):
        kind = piece.lastgroup
        start, end = piece.span()
        if kind == "latin":
            words.append(piece.group())
            _count_word(counts, text, start, end)
        elif kind is not None:
            _COUNTERS[kind](counts, text, start, end)
    _tell_english(counts, words)
    return counts


def _count_word(counts: _Counts, text: str, start: int, end: int) -> None:
    before = text[start - 1] if start else " "
    counts[_GLUED] += before not in " \n\t"
    word = text[start:end]
    if not word.isascii():
        counts[_ACCENTS] += sum("\x7f" < letter < "\u0100" for letter in word)
        counts[_ACCENTS + 1] += sum(letter > "\xff" for letter in word)
    if word.islower():
        _count_length(counts, end - start)
        return
    parts = _WORD.findall(word)
    counts[_GLUED] += len(parts) - 1
    for part in parts:
        length = len(part)
        if length > 1 and part.isupper():
            counts[_CAPITALS] += length
        else:
            counts[_CAPITALISED] += part[0].isupper()
            _count_length(counts, length)


def _count_length(counts: _Counts, length: int) -> None:
    counts[0] += 1
    if length > 4:
        counts[1] += length - 4
        if length > 7:
            counts[2] += length - 7
            if length > 10:
                counts[3] += length - 10


def _count_number(counts: _Counts, text: str, start: int, end: int) -> None:
    counts[_DIGITS] += end - start
    counts[_DIGITS + 1] += (end - start + 2) // 3
    counts[_DIGITS + 2] += text[start - 1 : start] == " "


def _count_signs(counts: _Counts, text: str, start: int, end: int) -> None:
    changes = sum(text[at] != text[at - 1] for at in range(start + 1, end))
    counts[_SIGNS] += 1
    counts[_SIGNS + 1] += changes
    # A row of one sign is few tokens however long it is: 2, 4, 8 and so on are in vocabularies.
    counts[_SIGNS + 2] += (end - start - 1 - changes).bit_length()
    counts[_SIGNS + 3] += text[start - 1 : start] == " "


def _runs_and_length(name: str) -> Callable[[_Counts, str, int, int], None]:
    at = _AT[name]

    def count(counts: _Counts, _text: str, start: int, end: int) -> None:
        counts[at] += 1
        counts[at + 1] += end - start

    return count


def _length(name: str) -> Callable[[_Counts, str, int, int], None]:
    at = _AT[name]

    def count(counts: _Counts, _text: str, start: int, end: int) -> None:
        counts[at] += end - start

    return count


def _tell_english(counts: _Counts, words: Sequence[str]) -> None:
    """Divide the words between English and other languages by the evidence of the frequent ones."""
    foreign = sum(word in _FOREIGN or not word.isascii() for word in words)
    english = sum(word in _ENGLISH for word in words)
    share = foreign / (foreign + english) if foreign else 0.0
    for at in range(4):
        counts[4 + at] = counts[at] * share
        counts[at] -= counts[4 + at]


_ACCENTS, _GLUED, _CAPITALISED, _CAPITALS = 8, 10, 11, 12
_DIGITS, _SIGNS = _AT["digits"], _AT["sign_runs"]
_LENGTH_ONLY = ("random_letters", "kana", "han", "cjk_signs", "three_bytes", "four_bytes")
_COUNTERS: dict[str, Callable[[_Counts, str, int, int], None]] = {
    "number": _count_number,
    "signs": _count_signs,
    "breaks": _runs_and_length("breaks"),
    "spaces": _runs_and_length("space_runs"),
    **{
        name: _runs_and_length(name)
        for name in ("cyrillic", "arabic", "two_bytes", "devanagari", "hangul")
    },
    **{name: _length(name) for name in _LENGTH_ONLY},
}
