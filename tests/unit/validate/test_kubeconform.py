from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kustodian.errors import ToolError, ToolTimeout
from kustodian.validate import kubeconform, schemas
from kustodian.validate.kubeconform import Complaint, Verdict

from ..kit import program

pytestmark = pytest.mark.xdist_group("schemas")


@pytest.fixture
def check(kubernetes: Path, tool: Callable[[str], Path], tmp_path: Path) -> Callable[..., Verdict]:
    file = tmp_path / "render.yaml"

    def run(text: str, *skip: str) -> Verdict:
        file.write_text(text, "utf-8")
        locations = (f"{kubernetes}/{schemas.TEMPLATE}",)
        return kubeconform.check(tool("kubeconform"), [file], schemas=locations, skip=skip, timeout=30)[file]

    return run


Check = Callable[..., Verdict]
FILE = Path("a render.yaml")
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"


def test_every_field_that_is_wrong_is_named(check: Check) -> None:
    verdict = check(f"{SERVICE}spec: {{ports: [{{port: '80'}}, {{}}], selektor: {{a: b}}}}\nstatus: 1\n")
    (complaint,) = verdict.invalid
    assert (complaint.kind, complaint.api_version, complaint.name) == ("Service", "v1", "s")
    assert complaint.fields == (
        ("/spec", "additional properties 'selektor' not allowed"),
        ("/spec/ports/0/port", "got string, want integer"),
        ("/spec/ports/1", "missing property 'port'"),
        ("/status", "got number, want null or object"),
    )
    assert verdict.unchecked == ()


def test_resources_are_told_apart(check: Check) -> None:
    text = "---\n".join(
        [
            SERVICE,
            SERVICE.replace("name: s", "name: t") + "spec: 1\n",
            "apiVersion: a.b/v1\nkind: Custom\nmetadata: {name: c}\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: 1}\n",
        ]
    )
    verdict = check(text)
    assert [(complaint.kind, complaint.name, complaint.fields) for complaint in verdict.invalid] == [
        ("ConfigMap", "m", (("/data/a", "got number, want null or string"),)),
        ("Service", "t", (("/spec", "got number, want null or object"),)),
    ]
    assert verdict.unchecked == (Complaint("Custom", "a.b/v1", "c", "could not find schema for Custom"),)


def test_kinds_may_be_skipped(check: Check) -> None:
    text = "apiVersion: a.b/v1\nkind: Custom\nmetadata: {name: c}\n---\n" + SERVICE + "spec: 1\n"
    assert check(text, "Custom", "v1/Service") == Verdict()
    assert check(text, "a.b/v1/Custom").unchecked == ()
    assert len(check(text, "a.b/v1/Custom").invalid) == 1


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n"])
def test_an_empty_stream_is_valid(check: Check, text: str) -> None:
    verdict = check(text)
    assert (verdict.invalid, verdict.unchecked) == ((), ())


def test_what_is_no_resource_could_not_be_checked(check: Check) -> None:
    verdict = check("kind: X\n")
    assert verdict.unchecked == (Complaint("X", "", "", "error while parsing: missing 'apiVersion' key"),)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("", ()),
        ("could not find schema for X", ()),
        (
            "jsonschema validation failed with 'file:///x y/a.json#'\n- at '/a': validation failed\n"
            "  - at '/a/b': got string, want integer\n  - at '/a': additional properties 'c', 'd' not allowed",
            (("/a", "additional properties 'c', 'd' not allowed"), ("/a/b", "got string, want integer")),
        ),
        (
            "failed with 'x' - at '/a~1b/0': value must be one of 'x': y', 'z' - at '': missing property 'q'",
            (("", "missing property 'q'"), ("/a~1b/0", "value must be one of 'x': y', 'z'")),
        ),
        ("failed with 'x' - at '/a': 'p - at q' does not match pattern '^x - at y$'", None),
    ],
)
def test_the_innermost_complaints_are_read_from_the_message(
    tmp_path: Path, message: str, fields: tuple[tuple[str, str], ...] | None
) -> None:
    item = {"filename": str(FILE), "kind": "K", "version": "v1", "name": "n", "status": "statusInvalid", "msg": message}
    (complaint,) = stand_in(tmp_path, {"resources": [item], "summary": {"valid": 3, "skipped": 2}}).invalid
    assert complaint.message == message
    assert complaint.fields == (
        (("/a", "'p - at q' does not match pattern '^x - at y$'"),) if fields is None else fields
    )


def stand_in(folder: Path, report: dict[str, Any]) -> Verdict:
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    fake = program(folder / "kubeconform", f'cat "{folder}/report.json"\nexit 1\n')
    return kubeconform.check(fake, [FILE], schemas=[], skip=(), timeout=10)[FILE]


def test_valid_skipped_and_empty_resources_are_no_complaints(tmp_path: Path) -> None:
    resources = [
        {"filename": str(FILE), "status": status, "kind": "K"}
        for status in ("statusValid", "statusSkipped", "statusEmpty")
    ]
    assert stand_in(tmp_path, {"resources": resources, "summary": {"valid": 1, "skipped": 1}}) == Verdict()
    assert stand_in(tmp_path, {"resources": None, "summary": {"valid": 0, "skipped": 0}}) == Verdict()


def test_the_command_line_is_strict_and_has_every_location_in_order(tmp_path: Path) -> None:
    fake = program(
        tmp_path / "kubeconform",
        f"""
        printf '%s\\n' "$@" > "{tmp_path}/arguments"
        echo '{{"resources": [], "summary": {{"valid": 0, "skipped": 0}}}}'
        """,
    )
    files = [FILE, Path("/b.yaml")]
    kubeconform.check(fake, files, schemas=["/a b/{{.X}}", "/c"], skip=["B", "A"], timeout=10)
    assert (tmp_path / "arguments").read_text("utf-8").splitlines() == [
        *("-strict", "-summary", "-output", "json", "-n", "1"),
        *("-schema-location", "/a b/{{.X}}", "-schema-location", "/c", "-skip", "B,A", "a render.yaml", "/b.yaml"),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo oh no >&2; exit 1\n", "kubeconform failed: oh no"),
        ("exit 3\n", "kubeconform failed: exit code 3"),
        ("echo '{}'\n", "kubeconform failed: exit code 0"),
        ("echo '[1]'; exit 1\n", "kubeconform failed: exit code 1"),
    ],
)
def test_a_failure_of_the_program_is_an_error(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ToolError) as raised:
        kubeconform.check(program(tmp_path / "kubeconform", body), [FILE], schemas=[], skip=(), timeout=10)
    assert raised.value.message == message


def test_each_file_has_a_verdict_of_its_own(kubernetes: Path, tool: Callable[[str], Path], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(SERVICE, "utf-8")
    bad.write_text(f"{SERVICE}spec: 1\n", "utf-8")
    locations = (f"{kubernetes}/{schemas.TEMPLATE}",)
    found = kubeconform.check(tool("kubeconform"), [good, bad], schemas=locations, skip=(), timeout=30)
    assert found[good] == Verdict()
    assert [complaint.fields for complaint in found[bad].invalid] == [(("/spec", "got number, want null or object"),)]


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ToolTimeout):
        kubeconform.check(
            program(tmp_path / "kubeconform", "exec sleep 60\n"), [FILE], schemas=[], skip=(), timeout=0.2
        )
