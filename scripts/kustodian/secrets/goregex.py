"""Go's regular expressions: the rules of a SOPS file are written for them (https://pkg.go.dev/regexp/syntax).

Python's differ where rules of real repositories lie (`((?i)(pass|key))`, `[[:alpha:]]`, what `$` means). RE2 has the
very syntax that Go's package took over.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_SAME_IN_BOTH = re.compile(r"[A-Za-z0-9_^$()|]*")
"""Patterns that mean the same to Python, for keys of one line: nearly all rules. They save loading RE2."""


@cache
def compiled(pattern: str) -> Any:
    """The pattern, with a method `search`. Raises `ValueError` for one that Go does not take either."""
    if _SAME_IN_BOTH.fullmatch(pattern) and "(?" not in pattern:
        try:
            return re.compile(pattern.replace("$", r"\Z"))
        except re.error as error:
            raise ValueError(str(error)) from None
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(str(error)) from None
