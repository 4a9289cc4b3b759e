from __future__ import annotations

import io
import json
from pathlib import Path

from kustodian.build import Outcome, Summary
from kustodian.errors import RenderError
from kustodian.finding import Finding
from kustodian.report import json as report
from kustodian.repository import Overlay
from kustodian.validate import Checked, Report

OVERLAY = Overlay("overlays/größe", Path("/repo/overlays/größe"))
SUMMARY = Summary({"ConfigMap": 2, "Secret": 1}, ("web:1",), 1, 1234, "ab" * 32)
FINDING = Finding("schema", "wrong", "Deployment/web", "base/web.yaml", 7, OVERLAY.path, "mend it")


def test_a_build_is_one_document_with_every_field_of_every_overlay() -> None:
    stream = io.StringIO()
    outcomes = [
        Outcome(OVERLAY, 0.12345, SUMMARY, output="build/overlays/größe.yaml"),
        Outcome(OVERLAY, 1.0, SUMMARY, output="-"),
        Outcome(OVERLAY, 2.0, error=RenderError("no", hint="do")),
    ]
    report.built(outcomes, 3.45678, stream)
    text = stream.getvalue()
    assert text.endswith("}\n")
    assert "größe" in text
    built = {
        "path": "overlays/größe",
        "environment": "größe",
        "status": "built",
        "output": "build/overlays/größe.yaml",
        "resources": 3,
        "kinds": {"ConfigMap": 2, "Secret": 1},
        "images": ["web:1"],
        "sealedSecrets": 1,
        "bytes": 1234,
        "sha256": "ab" * 32,
        "seconds": 0.123,
        "error": None,
    }
    failed = dict.fromkeys(built) | {
        "path": "overlays/größe",
        "environment": "größe",
        "status": "failed",
        "seconds": 2.0,
        "error": "no\n  → do",
    }
    assert json.loads(text) == {"overlays": [built, {**built, "output": "-", "seconds": 1.0}, failed], "seconds": 3.457}


def test_a_validation_is_one_document_with_overlays_and_findings() -> None:
    stream = io.StringIO()
    tree = Finding("plain-secret", "open", file="a.yaml", line=3)
    checked = [
        Checked(OVERLAY, 0.5, resources=4, skipped=1),
        Checked(OVERLAY, 0.5, resources=4, findings=(FINDING,)),
        Checked(OVERLAY, 0.5, findings=(FINDING,), errors=(RenderError("no"), RenderError("neither", hint="do"))),
    ]
    report.validated(Report(tuple(checked), (tree,)), 1.0, stream)
    document = json.loads(stream.getvalue())
    overlay = {"path": "overlays/größe", "environment": "größe", "seconds": 0.5}
    assert document["overlays"] == [
        {**overlay, "status": "clean", "resources": 4, "skipped": 1, "findings": 0, "errors": []},
        {**overlay, "status": "findings", "resources": 4, "skipped": 0, "findings": 1, "errors": []},
        {
            **overlay,
            "status": "error",
            "resources": 0,
            "skipped": 0,
            "findings": 1,
            "errors": ["no", "neither\n  → do"],
        },
    ]
    shown = {
        "rule": "schema",
        "message": "wrong",
        "resource": "Deployment/web",
        "file": "base/web.yaml",
        "line": 7,
        "overlay": "overlays/größe",
        "mend": "mend it",
    }
    opened = {**dict.fromkeys(shown, ""), "rule": "plain-secret", "message": "open", "file": "a.yaml", "line": 3}
    assert document["findings"] == [opened, shown, shown]
    assert document["seconds"] == 1.0


def test_nothing_is_still_a_document() -> None:
    stream = io.StringIO()
    report.built([], 0.0, stream)
    assert json.loads(stream.getvalue()) == {"overlays": [], "seconds": 0.0}
