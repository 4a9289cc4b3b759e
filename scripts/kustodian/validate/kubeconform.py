"""Holds rendered streams to their schemas with the real kubeconform, strict and offline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kustodian import process
from kustodian.errors import ToolError


@dataclass(frozen=True, order=True)
class Complaint:
    """What kubeconform says of one resource. `fields` are pairs of a JSON pointer and a message."""

    kind: str
    api_version: str
    name: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """`invalid` breaks its schema; `unchecked` could not be held to one."""

    invalid: tuple[Complaint, ...] = ()
    unchecked: tuple[Complaint, ...] = ()


def check(
    program: Path, files: Sequence[Path], *, schemas: Sequence[str], skip: Sequence[str], timeout: float
) -> dict[Path, Verdict]:
    """The verdict on each file. `schemas` are kubeconform's -schema-location templates, tried in order.

    One run for many files, because each run loads the schemas anew; one worker in it, because others would load them
    for themselves, and because other runs keep the other processors busy. Raises `ToolError`.
    """
    command = [str(program), "-strict", "-summary", "-output", "json", "-n", "1"]
    for location in schemas:
        command += ["-schema-location", location]
    if skip:
        command += ["-skip", ",".join(skip)]
    environment = process.go_environment(GOMAXPROCS="1")
    done = process.run([*command, *map(str, files)], timeout=timeout, env=environment)
    try:
        report = json.loads(done.stdout)
        report["summary"]
        resources = report.get("resources") or []
    except (ValueError, KeyError, TypeError):
        raise ToolError(f"kubeconform failed: {done.error_text or f'exit code {done.returncode}'}") from None

    def complaints(file: Path, status: str) -> tuple[Complaint, ...]:
        found = (item for item in resources if item["filename"] == str(file) and item["status"] == status)
        return tuple(sorted(map(_complaint, found)))

    return {file: Verdict(complaints(file, "statusInvalid"), complaints(file, "statusError")) for file in files}


def _complaint(item: dict[str, Any]) -> Complaint:
    message = item.get("msg", "")
    return Complaint(
        item.get("kind", ""), item.get("version", ""), item.get("name", ""), message, tuple(sorted(_fields(message)))
    )


def _fields(message: str) -> Iterator[tuple[str, str]]:
    """The innermost complaints, each with its JSON pointer.

    They are in the message, as `- at '<pointer>': <what>`; the field `validationErrors` has the outermost ones only
    ("/spec: validation failed").
    """
    for part in re.split(r"\s+- at '", message)[1:]:
        pointer, _quote, what = part.partition("': ")
        if what and what != "validation failed":
            yield pointer, what.strip()
