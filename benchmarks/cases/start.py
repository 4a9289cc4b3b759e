"""The start of the command lines against that of an empty Python program."""

from __future__ import annotations

import sys
from pathlib import Path

from machine import BIN, ROOT
from measure import Command, Row, environment, pairs


def rows(_work: Path) -> list[Row]:
    nothing = Command((sys.executable, "-c", "pass"), ROOT, environment())
    commands = (("invoke", "--list"), ("kustodian", "--help"))
    return [
        pairs(
            f"{' '.join(command)} / python -c pass",
            Command((str(BIN / command[0]), *command[1:]), ROOT, environment()),
            nothing,
            count=15,
        )
        for command in commands
    ]
