from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kustodian.clean import clean
from kustodian.errors import OutputError

from .kit import write


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, {"build/overlays/a.yaml": "x", "cache/bin/x": "", ".gitignore": "/build/\n", "kept": ""})
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".gitignore", "kept")
    return tmp_path


def test_what_was_there_is_removed_and_named(root: Path) -> None:
    assert clean([root / "build", root / "gone", root / "cache"]) == [root / "build", root / "cache"]
    assert sorted(path.name for path in root.iterdir()) == [".git", ".gitignore", "kept"]
    assert clean([root / "build"]) == []


def test_a_folder_with_a_tracked_file_stays_and_so_do_the_others(root: Path) -> None:
    git(root, "add", "--force", "build")
    with pytest.raises(OutputError) as raised:
        clean([root / "cache", root / "build"])
    assert raised.value.message == f"{root / 'build'} is not removed: git tracks overlays/a.yaml"
    assert raised.value.hint == "it is not ours; remove it by hand"
    assert (root / "build" / "overlays" / "a.yaml").is_file()
    assert (root / "cache" / "bin" / "x").is_file()


def test_a_tracked_file_that_was_deleted_still_counts(root: Path) -> None:
    git(root, "add", "--force", "build")
    (root / "build" / "overlays" / "a.yaml").unlink()
    with pytest.raises(OutputError):
        clean([root / "build"])


def test_a_link_and_a_file_are_not_ours(root: Path) -> None:
    shutil.rmtree(root / "build")
    (root / "build").symlink_to("cache")
    assert clean([root / "build", root / "kept"]) == []
    assert (root / "cache" / "bin" / "x").is_file()
    assert (root / "kept").is_file()


def test_outside_of_git_the_folder_is_removed(tmp_path: Path) -> None:
    write(tmp_path, {"build/x": ""})
    assert clean([tmp_path / "build"]) == [tmp_path / "build"]


def test_without_git_the_folder_is_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root / "no-programs"))
    assert clean([root / "build"]) == [root / "build"]


def test_what_cannot_be_removed_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(OutputError) as raised:
        clean([root / "build"])
    assert raised.value.message == f"can't remove {root / 'build'}: Permission denied"
