from __future__ import annotations

from pathlib import Path

import pytest
from kustodian.delivery.snapshot import entries, snapshot, with_files_of, with_files_of_working_tree
from kustodian.git import Git

from ..kit import program, write
from .conftest import git


@pytest.fixture
def repository(tmp_path: Path) -> Git:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    write(root, {"a.txt": "a\n", "folder/b ü.txt": "b\n", ".gitattributes": "*.txt text eol=crlf\n"})
    (root / "link").symlink_to("a.txt")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "One")
    return Git(root)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def test_one_folder_shows_one_state_after_the_other(repository: Git) -> None:
    first = repository.head()
    write(repository.top, {"c.txt": "c\n"})
    git(repository.top, "rm", "--quiet", "-r", "folder")
    git(repository.top, "add", "--all")
    git(repository.top, "commit", "--quiet", "--message", "Two")
    second = repository.head()
    program(repository.directory / "hooks" / "post-checkout", "exit 1\n")
    before = git(repository.top, "status", "--porcelain=v2", "--branch"), git(repository.top, "worktree", "list")
    with snapshot(repository) as shot:
        shot.show(first)
        shown = files(shot.folder)
        assert set(shown) == {".gitattributes", "a.txt", "folder/b ü.txt", "link"}
        assert shown["a.txt"] == b"a\r\n"  # as any checkout would have it
        assert (shot.folder / "link").is_symlink()
        shot.show(second)
        assert set(files(shot.folder)) == {".gitattributes", "a.txt", "c.txt", "link"}
        assert not (shot.folder / "folder").exists()
        shot.show(repository.tree(first))
        assert files(shot.folder) == shown
    assert not shot.folder.exists()
    assert (
        git(repository.top, "status", "--porcelain=v2", "--branch"),
        git(repository.top, "worktree", "list"),
    ) == before


def test_the_folder_goes_whatever_happens(repository: Git) -> None:
    folders: list[Path] = []

    def interrupted() -> None:
        with snapshot(repository) as shot:
            shot.show("HEAD")
            folders.append(shot.folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not folders[0].parent.exists()


def test_a_sparse_checkout_does_not_hide_files(repository: Git) -> None:
    git(repository.top, "sparse-checkout", "set", "--no-cone", "a.txt")
    with snapshot(repository) as shot:
        shot.show("HEAD")
        assert "folder/b ü.txt" in files(shot.folder)


def test_a_linked_worktree_is_a_repository_like_any_other(repository: Git, tmp_path: Path) -> None:
    git(repository.top, "worktree", "add", "--quiet", tmp_path / "linked")
    with snapshot(Git(tmp_path / "linked")) as shot:
        shot.show("HEAD")
        assert "a.txt" in files(shot.folder)


def test_the_tree_of_a_commit_is_known_before_it_is_made(repository: Git) -> None:
    head = repository.head()
    write(repository.top, {"a.txt": "2\n", "new/[x].txt": "n\n", "other.txt": "o\n"})
    (repository.top / "folder" / "b ü.txt").unlink()
    git(repository.top, "add", "other.txt")
    before = git(repository.top, "status", "--porcelain")
    paths = ["a.txt", "new/[x].txt", "folder/b ü.txt"]
    tree = with_files_of_working_tree(repository, head, paths)
    assert git(repository.top, "status", "--porcelain") == before
    assert set(entries(repository, tree)) == {".gitattributes", "a.txt", "link", "new/[x].txt"}
    git(repository.top, "reset", "--quiet")
    git(repository.top, "add", "--all", "--", ":!other.txt")
    assert git(repository.top, "write-tree") == tree
    assert with_files_of_working_tree(repository, head, []) == repository.tree(head)


def test_a_tree_is_made_of_two(repository: Git) -> None:
    first = repository.head()
    old = entries(repository, first)
    (repository.top / "a.txt").unlink()
    write(repository.top, {"a.txt/x": "x\n"})
    git(repository.top, "add", "--all")
    git(repository.top, "commit", "--quiet", "--message", "Two")
    wanted = {"a.txt": old["a.txt"], "a.txt/x": None, "folder/b ü.txt": None}
    tree = with_files_of(repository, repository.head(), wanted)
    assert entries(repository, tree) == {path: entry for path, entry in old.items() if path != "folder/b ü.txt"}
    assert with_files_of(repository, first, {}) == repository.tree(first)
