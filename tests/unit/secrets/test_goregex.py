from __future__ import annotations

import pytest
from kustodian.secrets.goregex import compiled

# Each row was run through Go's regexp.MatchString.
ROWS = [
    ("^(data|stringData)$", {"data": True, "stringData": True, "metadata": False, "Data": False, "dataX": False}),
    ("((?i)(pass|secret($|[^N])|key|^data$))", {"PassWord": True, "SECRET": True, "secretName": False, "DATA": True}),
    ("^(?i)data$", {"data": True, "DATA": True, "data2": False}),
    ("(?i)a|b", {"A": True, "B": True}),
    ("(a(?i)b|c)d", {"aBD": False, "aBd": True, "Cd": True, "cD": False, "Ab": False}),
    ("(?i:a)b", {"Ab": True, "AB": False}),
    ("(?i)a(?-i)b", {"Ab": True, "AB": False}),
    ("(?U)a+$", {"aa": True, "b": False}),
    ("(?P<n>a)(?<m>b)", {"ab": True, "a": False}),
    (r"\Aa\z", {"a": True, "ab": False}),
    ("a$", {"a": True, "a\n": False}),
    ("[[:alpha:]]_[[:digit:][:upper:]]", {"a_1": True, "a_B": True, "1_1": False, "a_b": False}),
    ("^[^[:alnum:]]$", {"-": True, "a": False}),
    ("^[]a]$", {"]": True, "a": True, "b": False}),
    ("^[a[]$", {"[": True, "a": True}),
    ("^[&&|~]$", {"&": True, "|": True, "~": True}),
    (r"^\Qa.b\E$", {"a.b": True, "axb": False}),
    (r"^\Qa.(", {"a.(x": True}),
    (r"\x{61}\x62", {"ab": True}),
    (r"^\w+$", {"abc_1": True, "ä": False}),
    (r"^\d$", {"1": True, "\u0661": False}),
    ("a{2}", {"aa": True, "a": False}),
    ("a{,2}", {"a{,2}": True, "aa": False}),
    (r"a\|b|c", {"a|b": True, "c": True, "a": False}),
    (r"^\pL+$", {"größe": True, "a1": False}),
    ("", {"": True, "x": True}),
]


@pytest.mark.parametrize(("pattern", "texts"), ROWS, ids=[pattern for pattern, _texts in ROWS])
def test_a_pattern_finds_what_go_finds(pattern: str, texts: dict[str, bool]) -> None:
    assert {text: bool(compiled(pattern).search(text)) for text in texts} == texts


@pytest.mark.parametrize("pattern", ["(", ")", "a)", "(a", "*", "[", "[a", r"(a)\1", "[[:nope:]]", "(?z)a"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its text is the caller's to frame
        compiled(pattern)
