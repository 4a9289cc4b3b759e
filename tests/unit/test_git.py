from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kustodian import git as module
from kustodian.delivery.snapshot import with_files_of_working_tree
from kustodian.errors import GitError, ToolError, ToolTimeout
from kustodian.git import Changes, Git, mask, pathspecs, short

from .delivery.conftest import git
from .kit import program, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one commit."""
    root = tmp_path / "a repo ü"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    write(root, {"a.txt": "a", "folder/b.txt": "b"})
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Begin: é")
    return root


# Where


def test_the_repository_around_a_folder_is_found(root: Path) -> None:
    found = Git(root / "folder")
    assert (found.top, found.directory) == (root, root / ".git")
    assert found.name(root / "folder" / "b.txt") == "folder/b.txt"
    assert found.name(root.parent / "elsewhere") is None


def test_a_folder_without_a_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError) as raised:
        Git(tmp_path).head()
    assert raised.value.message == f"{tmp_path} is not in a git repository"
    assert "git init" in raised.value.hint


def test_a_repository_without_a_commit_is_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(GitError, match="has no commit yet"):
        Git(tmp_path).head()


def test_a_machine_without_git_is_told_to_install_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(ToolError) as raised:
        Git(root).head()
    assert (raised.value.message, raised.value.hint) == (
        "can't start git: git does not exist",
        "install git and have it on PATH",
    )


def test_a_repository_of_another_user_is_told_how_to_be_trusted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = program(tmp_path / "bin" / "git", 'echo "fatal: detected dubious ownership in repository" >&2; exit 128\n')
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(GitError) as raised:
        Git(root).head()
    assert raised.value.hint == f"git config --global --add safe.directory {root}"


def test_variables_of_a_hook_do_not_lead_elsewhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert Git(root).changes().all == ()


# Commits


def test_a_commit_says_who_made_it_when_and_why(root: Path) -> None:
    found = Git(root).commit_of("HEAD")
    assert (found.author, found.email, found.subject) == ("Tester", "tester@example.com", "Begin: é")
    assert found.id == git(root, "rev-parse", "HEAD")
    assert found.date == git(root, "log", "-1", "--format=%cI")
    assert str(found) == f"{found.id[:10]} Begin: é (Tester, {found.date[:10]})"
    assert short(found.id) == found.id[:10]


def test_revisions_are_resolved_or_not(root: Path) -> None:
    repository = Git(root)
    head = repository.head()
    git(root, "tag", "--annotate", "--message", "one", "v1")
    assert [repository.resolve(name) for name in ("HEAD", head[:8], "main", "v1")] == [head] * 4
    assert [repository.resolve(name) for name in ("", "no", "--all", "-h", "HEAD~5", "0" * 40, "HEAD:a.txt")] == [
        None
    ] * 7


def test_the_order_of_commits_is_known(root: Path) -> None:
    repository = Git(root)
    first = repository.head()
    made = []
    for number in range(2):
        git(root, "commit", "--quiet", "--allow-empty", "--message", str(number))
        made.append(repository.head())
    assert repository.between(first, made[1]) == (made[1], made[0])
    assert repository.between(made[1], first) == ()
    assert repository.is_ancestor(first, made[1])
    assert not repository.is_ancestor(made[1], first)
    with pytest.raises(GitError, match="git merge-base: "):
        repository.is_ancestor("0" * 40, first)


def test_a_detached_head_is_on_no_branch(root: Path) -> None:
    repository = Git(root)
    assert repository.branch() == "main"
    git(root, "switch", "--quiet", "--detach")
    assert repository.branch() == ""


# Changes


def test_changes_are_told_apart(root: Path) -> None:
    write(root, {".gitignore": "*.log\n", "x.log": "", "neu ü/1.txt": "1", "staged.txt": "s", "a.txt": "changed"})
    git(root, "add", "staged.txt")
    (root / "folder" / "b.txt").unlink()
    assert Git(root).changes() == Changes(
        changed=("a.txt", "folder/b.txt", "staged.txt"),
        deleted=("folder/b.txt",),
        untracked=(".gitignore", "neu ü/1.txt"),
        conflicts=(),
    )


def test_a_file_whose_removal_is_staged_is_deleted_unless_it_is_there_again(root: Path) -> None:
    git(root, "rm", "--quiet", "a.txt")
    assert Git(root).changes().deleted == ("a.txt",)
    write(root, {"a.txt": "again"})
    changes = Git(root).changes()
    assert (changes.deleted, changes.all) == ((), ("a.txt",))


def test_a_rename_is_two_changes(root: Path) -> None:
    git(root, "mv", "a.txt", "c.txt")
    assert Git(root).changes().all == ("a.txt", "c.txt")


def test_what_git_ignores_is_known_but_a_tracked_file_is_not_ignored(root: Path) -> None:
    write(root, {".gitignore": "*.txt\n", "c.txt": ""})
    assert Git(root).ignored(["a.txt", "c.txt", "d.md"]) == ("c.txt",)
    assert Git(root).ignored([]) == ()


@pytest.mark.parametrize(
    ("mark", "what"),
    [("MERGE_HEAD", "merge"), ("rebase-merge", "rebase"), ("REVERT_HEAD", "revert"), ("BISECT_LOG", "bisect")],
)
def test_what_is_unfinished_is_refused(root: Path, mark: str, what: str) -> None:
    repository = Git(root)
    repository.refuse_unfinished()
    (root / ".git" / mark).touch()
    with pytest.raises(GitError) as raised:
        repository.refuse_unfinished()
    assert raised.value.message == f"a {what} is in progress in {root}"
    assert f"git {what} " in raised.value.hint


# Commands that change something


def test_a_tree_is_committed_whatever_was_staged(root: Path) -> None:
    repository = Git(root)
    write(root, {"a.txt": "2", "folder/b.txt": "2", "new.txt": "n", "other.txt": "o"})
    git(root, "rm", "--quiet", "--cached", "a.txt")
    tree = with_files_of_working_tree(repository, "HEAD", ["a.txt", "new.txt"])
    commit = repository.commit(tree, "-F two files")
    assert (commit, repository.tree(commit)) == (repository.head(), tree)
    assert git(root, "show", "--format=%s", "--name-only", "HEAD").split("\n") == [
        "-F two files",
        "",
        "a.txt",
        "new.txt",
    ]
    changes = repository.changes()
    assert (changes.changed, changes.untracked) == (("folder/b.txt",), ("other.txt",))


def test_a_commit_that_a_hook_refuses_leaves_what_was_staged(root: Path) -> None:
    repository = Git(root)
    program(root / ".git" / "hooks" / "commit-msg", "echo 'no ticket' >&2\nexit 1\n")
    write(root, {"a.txt": "staged", "new.txt": "n"})
    git(root, "add", "a.txt")
    git(root, "rm", "--quiet", "--cached", "folder/b.txt")
    write(root, {"a.txt": "changed"})
    before = git(root, "status", "--porcelain"), git(root, "diff", "--cached")
    tree = with_files_of_working_tree(repository, "HEAD", ["a.txt", "new.txt", "folder/b.txt"])
    with pytest.raises(GitError, match="git does not commit: no ticket"):
        repository.commit(tree, "All")
    assert (git(root, "status", "--porcelain"), git(root, "diff", "--cached")) == before


def test_a_commit_without_an_author_says_what_git_wants(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{name}_NAME")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "")
    git(root, "config", "user.useConfigOnly", "true")
    write(root, {"new.txt": "2"})
    with pytest.raises(GitError, match="git does not commit: ") as raised:
        Git(root).commit(with_files_of_working_tree(Git(root), "HEAD", ["new.txt"]), "Change")
    assert "nothing was committed" in raised.value.hint
    assert Git(root).changes().untracked == ("new.txt",)


def test_files_are_restored_and_what_was_not_there_is_removed(root: Path) -> None:
    repository = Git(root)
    first = repository.head()
    write(root, {"a.txt": "2", "folder/c.txt": "c"})
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Two")
    repository.restore(["folder", "a.txt"], first)
    assert (root / "a.txt").read_text() == "a"
    assert not (root / "folder" / "c.txt").exists()
    assert git(root, "diff", "--cached", "--stat", first) == ""


def test_a_commit_moves_to_a_branch_of_its_own(root: Path) -> None:
    repository = Git(root)
    first = repository.head()
    git(root, "commit", "--quiet", "--allow-empty", "--message", "Two")
    second = repository.head()
    repository.continue_on("topic/one", left=first)
    assert (repository.branch(), repository.head(), repository.resolve("main")) == ("topic/one", second, first)


def test_a_command_that_takes_too_long_is_ended_without_a_password_in_the_message(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Git(root)
    real = shutil.which("git")
    fake = program(tmp_path / "bin" / "git", f'test "$1" != fetch || exec sleep 30\nexec {real} "$@"\n')
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(ToolTimeout) as raised:
        repository.run("fetch", "https://me:s3cret@example.com/x.git", timeout=0.1)
    assert "s3cret" not in str(raised.value)
    assert "https://***@example.com/x.git" in raised.value.hint


# Texts


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("unable to access 'https://me:t0ken@h/p.git/'", "unable to access 'https://***@h/p.git/'"),
        ("http://t0ken@h/p and ssh://git:pw@h/p", "http://***@h/p and ssh://***@h/p"),
        ("https://me:p@ss@h/p", "https://***@h/p"),
        ("ssh://git@h/p git@h:p https://h/p@v1 file:///x@y", "ssh://git@h/p git@h:p https://h/p@v1 file:///x@y"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(st.text(st.characters(exclude_characters="/", exclude_categories=("Z", "C")), min_size=4))
def test_no_password_in_a_url_is_ever_shown(password: str) -> None:
    text = f"fatal: 'https://user:{password}@example.com/{'x' * 3}' is not to be had"
    assert mask(text) == "fatal: 'https://***@example.com/xxx' is not to be had"


def test_paths_are_given_to_git_as_they_are_written_and_the_outermost_only() -> None:
    assert pathspecs(["b/c", "a", "b", "b/c/d", "bc", ":x"]) == (
        b":(top,literal):x\0:(top,literal)a\0:(top,literal)b\0:(top,literal)bc\0"
    )


def test_what_git_says_is_one_line_without_its_advice() -> None:
    text = "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
    assert module._reason(f"{text}Please make sure you have the correct access rights\nand it exists.") == (
        "git@h: Permission denied (publickey).; Could not read from remote repository."
    )
