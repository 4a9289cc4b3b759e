"""Go's regular expressions in Python: the rules of a SOPS file are written for Go.

The two differ where rules of real repositories lie: `((?i)(pass|key))` switches a flag in the middle, which Python
refuses; `$` is the end of the text and nothing else; `[[:alpha:]]` is a class. The syntax is that of
https://pkg.go.dev/regexp/syntax; whether something matches does not depend on greediness, so that `(?U)` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_TOKEN = re.compile(
    r"""
    \\Q(?P<quoted>.*?)(?:\\E|\Z) | \\x\{(?P<code>[0-9A-Fa-f]+)\} | (?P<escape>\\.)
  | \[(?P<not>\^?)(?P<set>\]?(?:\[:\^?\w+:\]|\\.|[^\]])*)\]
  | \(\?(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<scope>[:)]) | \(\?P?<(?P<name>\w+)> | (?P<open>\() | (?P<close>\))
  | (?P<or>\|) | (?P<end>\$) | (?P<brace>\{(?!\d+(?:,\d*)?\})) | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as Python's. Raises `ValueError` for one that Python can't express, or that is none."""
    try:
        return re.compile("".join(_translated(pattern)), re.ASCII)
    except (re.error, OverflowError) as error:
        raise ValueError(str(error)) from None


def _translated(pattern: str) -> Iterator[str]:
    # For each open group: the flags switched on or off within it so far, which reach to its end over every `|`.
    scopes: list[list[str]] = [[]]
    for token in _TOKEN.finditer(pattern):
        match token.lastgroup:
            case "scope":
                opened = _flags(token["flags"])
                yield opened
                if token["scope"] == ")":
                    scopes[-1].append(opened)
                else:
                    scopes.append([])
            case "open" | "name":
                yield "("
                scopes.append([])
            case "close" if len(scopes) > 1:
                yield ")" * len(scopes.pop()) + ")"
            case "close":
                raise ValueError("a group is closed that is not open")
            case "or":
                yield ")" * len(scopes[-1]) + "|" + "".join(scopes[-1])
            case _:
                yield _without_state(token)
    yield ")" * len(scopes[0])


def _without_state(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "quoted":
            return re.escape(token["quoted"])
        case "code":
            return re.escape(chr(int(token["code"], 16)))
        case "escape":
            return _escape(token["escape"])
        case "set":
            return f"[{token['not']}{_members(token['set'])}]"
        case "end":
            return r"\Z"  # with (?m) the end of a line as well, but a key is one line
        case "brace":
            return r"\{"
    return token["other"]


def _escape(text: str) -> str:
    if text == r"\z":
        return r"\Z"
    if text[1] in "pPCZ" or text[1].isdigit():
        raise ValueError(f"{text} has no equal in Python")
    return text


def _members(text: str) -> str:
    members = []
    for member in re.finditer(r"\[:(\^?)(\w+):\]|(\\.)|(.)", text, re.DOTALL):
        if member[2]:
            if member[1] or member[2] not in _POSIX:
                raise ValueError(f"{member[0]} has no equal in Python")
            members.append(_POSIX[member[2]])
        elif member[3]:
            members.append(_escape(member[3]))
        else:
            members.append(f"\\{member[4]}" if member[4] in "[&~|" else member[4])
    return "".join(members)


def _flags(text: str) -> str:
    on, minus, off = text.replace("U", "").partition("-")
    return f"(?{on}{minus if off else ''}{off}:"
