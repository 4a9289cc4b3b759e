"""The benchmarks by name, in the order in which they run. Each module has `rows(work)`: the lines of the table."""

from __future__ import annotations

from types import ModuleType

from cases import generator, many, memory, one, resources, start

CASES: dict[str, ModuleType] = {
    "one": one,
    "many": many,
    "validate": resources,
    "memory": memory,
    "start": start,
    "generator": generator,
}
