from __future__ import annotations

import base64
import hashlib
import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from kustodian import build as stage
from kustodian.build import Outcome, Summary, build, refuse_unless_ignored, summarize
from kustodian.errors import OutputError, RenderError
from kustodian.render import Renderer, Secrets
from kustodian.repository import Overlay, Repository
from kustodian.secrets.seal import fingerprint

from tests.conftest import Identity, Repo

from .kit import program, write

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"


# Summaries


def test_a_render_is_counted() -> None:
    workload = (
        b"apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: j\n"
        b"spec:\n  jobTemplate:\n    spec:\n      template:\n"
        b"        spec:\n          containers:\n          - image: b:2\n          - image: a:1\n"
    )
    sealed = fingerprint("x")
    encoded = base64.b64encode(sealed.encode()).decode()
    text = b"---\n".join(
        [
            MAP.encode() + b"data:\n  note: 'image: not-one:1'\n",
            SECRET.encode(),
            SECRET.encode() + b"stringData:\n  a: " + sealed.encode() + b"\n",
            SECRET.encode() + b"data:\n  a: " + encoded.encode() + b"\n",
            workload,
            workload,
        ]
    )
    assert summarize(text) == Summary(
        {"ConfigMap": 1, "CronJob": 2, "Secret": 3}, ("a:1", "b:2"), 2, len(text), hashlib.sha256(text).hexdigest()
    )
    assert summarize(text).resources == 6
    assert summarize(b"") == Summary({}, (), 0, 0, hashlib.sha256(b"").hexdigest())


# Files


@pytest.fixture
def renderer(tmp_path: Path, tool: Callable[[str], Path]) -> Renderer:
    overlays = {
        f"overlays/{name}/{file}": text
        for name in ("a", "b")
        for file, text in {"kustomization.yaml": "resources: [m.yaml]\n", "m.yaml": MAP}.items()
    }
    broken = {"overlays/broken/kustomization.yaml": "resources: [gone.yaml]\n"}
    return Renderer(Repository.open(write(tmp_path / "repo ü", {**overlays, **broken})), tool("kustomize"))


def run(renderer: Renderer, output: Path | BinaryIO, *names: str) -> list[Outcome]:
    overlays = [renderer.repository.overlay_at(renderer.repository.root / "overlays" / name) for name in names]
    return build(renderer, overlays, output=output, on_done=lambda _outcome: None)


def test_each_overlay_is_written_under_its_path(renderer: Renderer) -> None:
    output = renderer.repository.root / "build"
    outcomes = run(renderer, output, "b", "a")
    assert [outcome.overlay.environment for outcome in outcomes] == ["b", "a"]
    assert [outcome.output for outcome in outcomes] == ["build/overlays/b.yaml", "build/overlays/a.yaml"]
    assert (output / "overlays" / "a.yaml").read_text("utf-8") == MAP
    assert outcomes[0].summary is not None
    assert outcomes[0].summary.kinds == {"ConfigMap": 1}


def test_one_failure_does_not_stop_the_others(renderer: Renderer) -> None:
    seen: list[Outcome] = []
    overlays = [
        renderer.repository.overlay_at(renderer.repository.root / "overlays" / name) for name in ("a", "broken", "b")
    ]
    outcomes = build(renderer, overlays, output=renderer.repository.root / "build", on_done=seen.append)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, RenderError)
    assert outcomes[1].summary is None
    assert sorted(outcome.overlay.path for outcome in seen) == ["overlays/a", "overlays/b", "overlays/broken"]
    assert not (renderer.repository.root / "build" / "overlays" / "broken.yaml").exists()


def test_a_stream_gets_the_renders_in_the_order_asked_for(renderer: Renderer) -> None:
    stream = io.BytesIO()
    outcomes = run(renderer, stream, "a", "broken", "b")
    assert [outcome.output for outcome in outcomes] == ["-", "", "-"]
    assert stream.getvalue() == f"{MAP}---\n{MAP}".encode()
    assert not (renderer.repository.root / "build").exists()


def test_an_output_outside_of_the_repository_is_shown_in_full(renderer: Renderer, tmp_path: Path) -> None:
    (outcome,) = run(renderer, tmp_path / "elsewhere", "a")
    assert outcome.output == str(tmp_path / "elsewhere" / "overlays" / "a.yaml")


def test_a_folder_that_cannot_be_written_is_one_overlays_failure(renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (outcome,) = run(renderer, tmp_path / "file", "a")
    assert isinstance(outcome.error, OutputError)
    assert outcome.error.message.startswith(f"can't write {tmp_path / 'file' / 'overlays' / 'a.yaml'}: ")


def test_two_overlays_for_one_file_are_refused_before_anything_is_written(renderer: Renderer, tmp_path: Path) -> None:
    overlays = [Overlay("same", tmp_path / "one" / "same"), Overlay("same", tmp_path / "two" / "same")]
    with pytest.raises(OutputError) as raised:
        build(renderer, overlays, output=tmp_path / "out", on_done=lambda _outcome: None)
    assert raised.value.message == (
        f"{tmp_path / 'one' / 'same'} and {tmp_path / 'two' / 'same'} would both be written to "
        f"{tmp_path / 'out' / 'same.yaml'}"
    )
    assert not (tmp_path / "out").exists()


# Revealed renders


@pytest.fixture
def revealed(repo: Repo, identity: Identity, tool: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Renderer:
    repo.secret_overlay("staging", f"{SECRET}stringData:\n  a: hunter2\n")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(identity.file))
    return Renderer(Repository.open(repo.root), tool("kustomize"), Secrets.REVEALED, tool("sops"))


def test_a_revealed_render_is_a_private_file_that_git_ignores(revealed: Renderer) -> None:
    (outcome,) = run(revealed, revealed.repository.root / "build", "staging")
    assert outcome.output == "build/overlays/staging.revealed.yaml"
    path = revealed.repository.root / outcome.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"hunter2" in path.read_bytes()


def refused(target: Path) -> OutputError:
    with pytest.raises(OutputError) as raised:
        refuse_unless_ignored(target)
    return raised.value


def test_a_revealed_render_is_never_one_git_add_away(revealed: Renderer) -> None:
    output = revealed.repository.root / "out"
    with pytest.raises(OutputError) as raised:
        run(revealed, output, "staging")
    target = output / "overlays" / "staging.revealed.yaml"
    assert raised.value.message == f"{target} holds plain secrets and git does not ignore it"
    assert raised.value.hint == "write to standard output (--output -), or add the folder to .gitignore"
    assert not output.exists()


def test_an_ignored_file_that_git_tracks_all_the_same_is_refused(repo: Repo) -> None:
    repo.write({"build/x.yaml": ""})
    refuse_unless_ignored(repo.root / "build" / "x.yaml")
    subprocess.run(["git", "add", "--force", "build/x.yaml"], cwd=repo.root, check=True)
    assert refused(repo.root / "build" / "x.yaml").message.endswith("holds plain secrets and git does not ignore it")


def test_a_link_out_of_the_ignored_folder_is_refused(repo: Repo) -> None:
    repo.write({"tracked.yaml": "", "build/other.yaml": ""})
    (repo.root / "build" / "file.yaml").symlink_to(repo.root / "tracked.yaml")
    assert str(repo.root / "tracked.yaml") in refused(repo.root / "build" / "file.yaml").message
    (repo.root / "build" / "folder").symlink_to(repo.root)
    assert str(repo.root / "new.yaml") in refused(repo.root / "build" / "folder" / "new.yaml").message


def test_outside_of_git_nothing_can_pick_it_up(tmp_path: Path) -> None:
    refuse_unless_ignored(tmp_path / "not" / "there" / "yet.yaml")


def test_gits_own_folder_is_no_place_that_git_picks_up(repo: Repo) -> None:
    refuse_unless_ignored(repo.root / ".git" / "x.yaml")


def test_a_git_that_does_not_answer_is_no_leave_to_write(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As git says of somebody else's repository (safe.directory), for example in a container.
    target = repo.root / "out.yaml"
    path = program(
        tmp_path / "path" / "git", "echo \"fatal: detected dubious ownership in repository at '/x'\" >&2\nexit 128\n"
    )
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    assert refused(target).message == (
        f"can't ask git whether it ignores {target}: fatal: detected dubious ownership in repository at '/x'"
    )
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert refused(target).message.startswith(f"can't ask git whether it ignores {target}: can't start git: ")


def test_the_marks_of_sealed_values_are_those_of_the_seal() -> None:
    plain, encoded = stage._SEALED_MARKS
    value = fingerprint("anything").encode()
    assert value.startswith(plain)
    assert base64.b64encode(value).startswith(encoded)
