from __future__ import annotations

import io
from pathlib import Path

import pytest
from kustodian import report as formats
from kustodian.build import Outcome, Summary
from kustodian.errors import RenderError, UsageError
from kustodian.finding import Finding
from kustodian.report import json, text
from kustodian.repository import Overlay
from kustodian.validate import Checked, Report


def overlay(name: str) -> Overlay:
    return Overlay(f"overlays/{name}", Path("/repo/overlays") / name)


SUMMARY = Summary({"ConfigMap": 2, "Deployment": 1, "Secret": 1}, ("a:1", "b:2"), 1, 12_345, "")


def built(*outcomes: Outcome, seconds: float = 1.5) -> str:
    stream = io.StringIO()
    text.built(outcomes, seconds, stream)
    return stream.getvalue()


def validated(*checked: Checked, tree: tuple[Finding, ...] = (), seconds: float = 1.5) -> str:
    stream = io.StringIO()
    text.validated(Report(checked, tree), seconds, stream)
    return stream.getvalue()


def test_one_overlay_gets_its_details_and_no_total() -> None:
    assert built(Outcome(overlay("staging"), 0.25, SUMMARY, output="build/overlays/staging.yaml")) == (
        "✓ overlays/staging → build/overlays/staging.yaml  (4 resources, 12.3 kB, 0.25 s)\n"
        "    2 ConfigMap, 1 Deployment, 1 Secret\n"
        "    image a:1\n"
        "    image b:2\n"
        "    1 sealed secret\n"
    )


def test_without_images_and_secrets_nothing_is_said_of_them() -> None:
    summary = Summary({"Namespace": 1}, (), 0, 10, "")
    assert built(Outcome(overlay("x"), 0.0, summary, output="-")) == (
        "✓ overlays/x → standard output  (1 resource, 10 B, 0.00 s)\n    1 Namespace\n"
    )


def test_several_overlays_get_a_total() -> None:
    lines = built(*(Outcome(overlay(name), 0.1, SUMMARY, output=name) for name in "ab")).splitlines()
    assert len(lines) == 2 * 5 + 1
    assert lines[-1] == "2 overlays built: 8 resources in 1.50 s"


def test_many_overlays_get_a_line_each() -> None:
    assert built(*(Outcome(overlay(name), 0.1, SUMMARY, output=name) for name in "abcde")) == (
        "".join(f"✓ overlays/{name} → {name}  (4 resources, 12.3 kB, 0.10 s)\n" for name in "abcde")
        + "5 overlays built: 20 resources in 1.50 s\n"
    )


def test_a_failed_overlay_is_shown_with_its_hint_and_counted() -> None:
    outcomes = (
        Outcome(overlay("a"), 0.1, SUMMARY, output="a"),
        Outcome(overlay("b"), 0.1, error=RenderError("overlays/b: no\nreally", hint="do this")),
    )
    lines = built(*outcomes).splitlines()
    assert lines[5:] == [
        "✗ overlays/b: no",
        "  really",
        "    → do this",
        "1 overlay built, 1 failed: 4 resources in 1.50 s",
    ]


def test_a_clean_validation_is_a_line_for_each_overlay_and_a_total() -> None:
    checked = (Checked(overlay("a"), 0.1, resources=3), Checked(overlay("b"), 0.2, resources=1, skipped=2))
    assert validated(*checked) == (
        "✓ overlays/a  (3 resources, 0.10 s)\n"
        "✓ overlays/b  (1 resource, 2 skipped, 0.20 s)\n"
        "2 overlays checked: 0 findings in 1.50 s\n"
    )


def test_a_finding_says_rule_place_message_and_what_to_do() -> None:
    finding = Finding(
        "schema", "/spec: wrong", "Deployment/shop/web", "base/web.yaml", 7, "overlays/a", "see the schema"
    )
    assert validated(Checked(overlay("a"), 0.1, findings=(finding,))) == (
        "✗ schema  overlays/a  Deployment/shop/web  base/web.yaml:7\n"
        "    /spec: wrong\n"
        "    → see the schema\n"
        "1 overlay checked: 1 finding in 1.50 s\n"
    )


def test_findings_of_the_tree_come_first_and_count() -> None:
    tree = (Finding("plain-secret", "open", file="a.yaml", line=3), Finding("encrypted", "is not", file="b.sops.yaml"))
    assert validated(Checked(overlay("a"), 0.1), tree=tree) == (
        "✗ plain-secret  a.yaml:3\n"
        "    open\n"
        "✗ encrypted  b.sops.yaml\n"
        "    is not\n"
        "✓ overlays/a  (0 resources, 0.10 s)\n"
        "1 overlay checked: 2 findings in 1.50 s\n"
    )


def test_what_could_not_be_checked_is_no_finding() -> None:
    errors = (RenderError("overlays/a: no", hint="do"), RenderError("overlays/a: neither"))
    assert validated(Checked(overlay("a"), 0.1, errors=errors)) == (
        "✗ overlays/a: no\n"
        "    → do\n"
        "✗ overlays/a: neither\n"
        "1 overlay checked: 0 findings, 2 could not be checked in 1.50 s\n"
    )


def test_colours_are_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    text.validated(Report((Checked(overlay("a"), 0.1),)), 0.0, stream)
    assert stream.getvalue().startswith("\x1b[32m✓\x1b[0m overlays/a")


def test_each_format_is_a_module_with_the_same_functions() -> None:
    assert formats.reporter("text") is text
    assert formats.reporter("json") is json
    for name in formats.FORMATS:
        assert callable(formats.reporter(name).built)
        assert callable(formats.reporter(name).validated)
    with pytest.raises(UsageError) as raised:
        formats.reporter("yaml")
    assert (raised.value.message, raised.value.hint) == ("--format yaml: unknown", "choose one of text, json")
