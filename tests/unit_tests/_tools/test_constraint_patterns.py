"""Regular expressions for grammar compilers, checked against Python's."""

import re

from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._tools.constraint_patterns import translate_pattern
from tests.grammar_compilers import accepts_with_llguidance, accepts_with_xgrammar

_PATTERNS = [
    *(
        r"^\d{3}-\w+$",
        r"^[A-Z][a-z]*( [A-Z][a-z]*)?$",
        "^(a|b|cd)+$",
        "abc",
        "^https?://",
        r"\.py$",
    ),
    *("^a|b$", "^(?:ab){2,3}$", "^a{2,}b{0,3}$", "^[^,;]+$", r"^[\w.+-]+@[\w-]+\.\w+$", "^.{2,5}$"),
    *(r"^\S+ \S+$", r"^[\^a]+$", r"^[+-\-]$", r"^[\]-a^]$", r"^a\/b\-c$", "^é{2}$", "^(((a)))$"),
    *(
        r"^[\u00e4-\u00fc]\x41$",
        "^(?P<year>[0-9]{4})$",
        "^a*?b+?c??$",
        r"^[\D]+$",
        "^#[0-9a-f]{6}$",
    ),
    *(r"^[-\^]$", r"^[^\W_]+$", r"^\$\(\)\[\]\{\}\|\*\?$", "^(|a)b$", r"^[a\&\&b]$", r"^[\[a]$"),
]
_TEXTS = st.one_of(
    st.text("abcdAB09 .-^,;:/@#é_[]{}()|*?$+", max_size=12),
    st.sampled_from(
        ["https://a", "me@x.org", "äA", "$()[]{}|*?", "#00ff9a", "2026", "cdab", "x.py"]
    ),
    st.one_of(st.from_regex(pattern, fullmatch=True) for pattern in _PATTERNS),
)


@given(st.sampled_from(_PATTERNS), _TEXTS)
def test_patterns_keep_their_meaning(pattern: str, text: str) -> None:
    """Compilers accept exactly the strings in which Python finds the pattern."""
    if any(character in '"\\' or not character.isprintable() for character in text):
        return  # a string that needs an escape
    translated = translate_pattern(pattern)
    assert translated is not None
    found = re.search(pattern, text, re.ASCII) is not None
    for accepts in (accepts_with_llguidance, accepts_with_xgrammar):
        schema = {"type": "string", "pattern": translated}
        assert accepts(schema, f'"{text}"') == found, (accepts.__name__, translated)


def test_inexpressible_patterns_are_dropped() -> None:
    """No grammar has lookarounds, backreferences, boundaries, flags or Unicode properties."""
    for pattern in [
        *("(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", r"\bword\b", "(?i)a", r"\p{L}+"),
        *("(a", "a)", "[a", "a**", "*a", "a{2", "[b-a]", "[]", "a$b", "^^a", "(^a)", r"\x4", "^$"),
        *('^"$', r"^\\$", r"^\n$", "a{1001}", "(a{40}){40}", "(" * 50 + "a" + ")" * 50, "a" * 2000),
        *("[[:alpha:]]", "a++", r"\k<name>", r"[\w-z]", "{2}", r"\u{1F600}", "(?<n", r"a\\"[:2]),
    ]:
        assert translate_pattern(pattern) is None, pattern


@given(st.text("()[]{}|*+?^$\\dwsbSDWa-z,0-9.:<>=!P", max_size=20))
def test_translated_patterns_compile(pattern: str) -> None:
    """Whatever the pattern, the translation is none, or one that compilers read."""
    translated = translate_pattern(pattern)
    if translated is not None:
        accepts_with_llguidance({"type": "string", "pattern": translated}, '"a"')
        accepts_with_xgrammar({"type": "string", "pattern": translated}, '"a"')
