"""Almost-JSON, as models write it."""

import time

from langchain_azure_phi3._tools.lenient_json import parse_lenient_json


def test_what_json_does_not_have_is_read() -> None:
    """Each mistake has one meaning."""
    for text, value in [
        (r'{"first\_name": "a\_b\*c"}', {"first_name": "a_b*c"}),
        ("{'place': 'Val d'Isère', 'a': 'l'été'}", {"place": "Val d'Isère", "a": "l'été"}),
        ('{"poem": "one\ntwo\tthree"}', {"poem": "one\ntwo\tthree"}),
        ('{"n": 7}}', {"n": 7}),
        ('{{"n": 7}}', {"n": 7}),
        ('{"n": [1, 2}', {"n": [1, 2]}),
        ('{"a": "b" "c": 1}', {"a": "b", "c": 1}),
        ('{"a": ["x" "y"]}', {"a": ["x", "y"]}),
        ('{"a": "He said "no", then left", "b": 2}', {"a": 'He said "no", then left', "b": 2}),
        ('{"code": "if a == "b": {pass}", "n": 1}', {"code": 'if a == "b": {pass}', "n": 1}),
        (r'{"path": "D:\Work\src", "re": "\d+"}', {"path": r"D:\Work\src", "re": r"\d+"}),
        (r'{"face": "😀"}', {"face": "😀"}),
        ('{"a": "b", /* why */ "c": 1 // that\n}', {"a": "b", "c": 1}),
        ("{a: True, b: None, c: Paris}", {"a": True, "b": None, "c": "Paris"}),
        ("{“a”: “b”}", {"a": "b"}),
        (r"{\"a\": \"b\"}", {"a": "b"}),
        ('{"a": 007, "b": 1.2.3, "day": 2024-05-01}', {"a": 7, "b": "1.2.3", "day": "2024-05-01"}),
    ]:
        assert parse_lenient_json(text) == value, text


def test_what_has_no_meaning_is_nothing() -> None:
    """A key without a value, code, and depths that no arguments have."""
    for text in ('{"a": , "b": 1}', '{"a"}', '{"a": f(1)}', "{'", '{"a": ' * 100 + "1" + "}" * 100):
        assert parse_lenient_json(text) is None, text


def test_degenerate_text_is_read_in_linear_time() -> None:
    """60,000 characters of any repetition take less than half a second of CPU time."""
    for beginning in ("", '{"a": "', '{"a": ', '["'):
        for unit in (
            '{"q" ',
            "{'",
            "{",
            '"a" ',
            '{"a": "',
            "'",
            ',"',
            '{"a":"x",   "',
            "/*",
            '\\"',
        ):
            start = time.thread_time()
            parse_lenient_json(beginning + unit * (60_000 // len(unit)))

            assert time.thread_time() - start < 0.5, (beginning, unit)
