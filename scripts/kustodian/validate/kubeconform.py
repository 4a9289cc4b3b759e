"""Holds a rendered stream to its schemas with the real kubeconform, strict and offline."""

from __future__ import annotations

import json
import os
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

    valid: int
    skipped: int
    invalid: tuple[Complaint, ...]
    unchecked: tuple[Complaint, ...]


def check(program: Path, text: bytes, *, schemas: Sequence[str], skip: Sequence[str], timeout: float) -> Verdict:
    """`schemas` are kubeconform's -schema-location templates, tried in order. Raises `ToolError`."""
    command = [str(program), "-strict", "-summary", "-output", "json"]
    for location in schemas:
        command += ["-schema-location", location]
    if skip:
        command += ["-skip", ",".join(skip)]
    # The same setting as for kustomize: a short run with a small heap.
    done = process.run([*command, "-"], stdin=text, timeout=timeout, env={"GOGC": "400", **os.environ})
    try:
        report = json.loads(done.stdout)
        summary = report["summary"]
    except (ValueError, KeyError, TypeError):
        raise ToolError(f"kubeconform failed: {done.error_text or f'exit code {done.returncode}'}") from None
    resources = report.get("resources") or []
    # Sorted, because kubeconform checks several at once and prints them as they are done.
    return Verdict(
        summary["valid"],
        summary["skipped"],
        tuple(sorted(_complaint(item) for item in resources if item["status"] == "statusInvalid")),
        tuple(sorted(_complaint(item) for item in resources if item["status"] == "statusError")),
    )


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
