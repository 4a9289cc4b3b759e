"""What differs between two documents, field by field, for people: the path of each field and its two values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""Stands for a field that one of the documents does not have; null is a value."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_NAMES = ("name", "type", "mountPath", "containerPort", "port")
"""What tells the items of a list apart, the surest first; Kubernetes merges most of its lists by one of these."""


@dataclass(frozen=True)
class Change:
    """One field. `path` reads like `spec.template.spec.containers[backend].image`."""

    path: str
    live: object
    git: object


def changes(live: object, git: object, path: str = "") -> Iterator[Change]:
    """Every field in which the two differ, as deep as both have it; a field that only one has comes as a whole."""
    if isinstance(live, Mapping) and isinstance(git, Mapping):
        for key in (*live, *(key for key in git if key not in live)):
            yield from changes(live.get(key, ABSENT), git.get(key, ABSENT), joined(path, str(key)))
    elif isinstance(live, list) and isinstance(git, list):
        yield from _items(live, git, path)
    elif isinstance(live, bool) is not isinstance(git, bool) or live != git:  # for Python True is 1, for JSON not
        yield Change(path, live, git)


def joined(path: str, key: str) -> str:
    """The path of a key below a path."""
    if not _PLAIN.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _items(live: list[Any], git: list[Any], path: str) -> Iterator[Change]:
    name = next((name for name in _NAMES if _tells_apart(name, live) and _tells_apart(name, git)), None)
    if name is None:
        for index in range(max(len(live), len(git))):
            one, other = (items[index] if index < len(items) else ABSENT for items in (live, git))
            yield from changes(one, other, f"{path}[{index}]")
        return
    ours, theirs = ({item[name]: item for item in items} for items in (live, git))
    for key in (*ours, *(key for key in theirs if key not in ours)):
        yield from changes(ours.get(key, ABSENT), theirs.get(key, ABSENT), f"{path}[{key}]")
    if list(ours) != list(theirs) and set(ours) == set(theirs):  # the order of containers or rules can matter
        yield Change(f"{path}[]", list(ours), list(theirs))


def _tells_apart(name: str, items: list[Any]) -> bool:
    values = [item.get(name) if isinstance(item, Mapping) else None for item in items]
    return all(isinstance(value, str | int) for value in values) and len(set(values)) == len(values)
