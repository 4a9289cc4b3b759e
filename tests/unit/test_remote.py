"""Remotes, each a real bare repository on the disk, or a server that does not answer as it should."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from kustodian import remote
from kustodian.errors import GitError, PushRejected
from kustodian.git import Git
from kustodian.remote import Refs, Remote

from .delivery.conftest import git
from .kit import program


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=trunk", "origin.git")
    return tmp_path / "origin.git"


@pytest.fixture
def clone(tmp_path: Path, origin: Path) -> Git:
    git(tmp_path, "clone", "--quiet", origin, "clone")
    commit(tmp_path / "clone", "One")
    git(tmp_path / "clone", "push", "--quiet", "origin", "HEAD:trunk")
    return Git(tmp_path / "clone")


def commit(root: Path, subject: str) -> str:
    git(root, "commit", "--quiet", "--allow-empty", "--message", subject)
    return git(root, "rev-parse", "HEAD")


def test_a_remote_is_known_by_all_its_urls(clone: Git, origin: Path) -> None:
    git(clone.root, "config", "url.https://git.example.com/.insteadOf", "ex:")
    git(clone.root, "remote", "add", "two", "ex:org/repo")
    git(clone.root, "remote", "set-url", "--push", "two", "git@git.example.com:org/repo")
    assert remote.remotes(clone) == (
        Remote("origin", (str(origin),)),
        Remote("two", ("https://git.example.com/org/repo", "git@git.example.com:org/repo", "ex:org/repo")),
    )


def test_what_a_remote_has_is_asked_of_it(clone: Git) -> None:
    first = clone.head()
    git(clone.root, "tag", "--annotate", "--message", "m", "v1")
    second = commit(clone.root, "Two")
    git(clone.root, "push", "--quiet", "origin", "v1", "HEAD:topic/x")
    assert remote.refs(clone, "origin") == Refs("trunk", {"trunk": first, "topic/x": second}, frozenset({"v1"}))


def test_an_empty_remote_has_no_default_branch(clone: Git, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    assert remote.refs(clone, str(tmp_path / "empty.git")) == Refs("", {}, frozenset())


def test_a_branch_is_fetched_into_no_branch_of_ours(clone: Git, tmp_path: Path, origin: Path) -> None:
    git(tmp_path, "clone", "--quiet", origin, "other")
    theirs = commit(tmp_path / "other", "Theirs")
    git(tmp_path / "other", "push", "--quiet")
    assert clone.resolve(theirs) is None
    remote.fetch(clone, origin.as_uri(), "trunk")
    assert clone.resolve(theirs) == theirs
    assert not (clone.directory / "FETCH_HEAD").exists()
    assert git(clone.root, "for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/trunk"
    with pytest.raises(GitError, match=r"git fetch: couldn't find remote ref refs/heads/none"):
        remote.fetch(clone, "origin", "none")


def test_a_push_says_whether_the_branch_moved(clone: Git, origin: Path) -> None:
    second = commit(clone.root, "Two")
    assert remote.push(clone, "origin", second, "trunk")
    assert not remote.push(clone, "origin", second, "trunk")
    assert remote.push(clone, origin.as_uri(), second, "new/branch")
    assert git(origin, "rev-parse", "trunk", "new/branch").split() == [second, second]


def test_a_push_never_goes_backwards_or_sideways(clone: Git, tmp_path: Path, origin: Path) -> None:
    git(tmp_path, "clone", "--quiet", origin, "other")
    theirs = commit(tmp_path / "other", "Theirs")
    git(tmp_path / "other", "push", "--quiet")
    ours = commit(clone.root, "Ours")
    with pytest.raises(PushRejected, match=r"origin rejects the push to trunk: \[rejected\] \(fetch first\)"):
        remote.push(clone, "origin", ours, "trunk")
    remote.fetch(clone, "origin", "trunk")
    with pytest.raises(PushRejected, match=r"\(non-fast-forward\)"):
        remote.push(clone, "origin", ours, "trunk")
    with pytest.raises(PushRejected, match=r"\(stale info\)"):
        remote.push(clone, "origin", ours, "trunk", replace=ours)
    assert git(origin, "rev-parse", "trunk") == theirs
    assert remote.push(clone, "origin", ours, "trunk", replace=theirs)
    assert git(origin, "rev-parse", "trunk") == ours


def test_two_pushes_at_the_same_moment_are_a_rejection_too(clone: Git, origin: Path) -> None:
    # The branch is locked, as by the other push.
    (origin / "refs" / "heads" / "trunk.lock").touch()
    with pytest.raises(PushRejected, match=r"\[remote rejected\] \((failed to update ref|cannot lock ref)"):
        remote.push(clone, "origin", commit(clone.root, "Two"), "trunk")


def test_tags_and_other_branches_stay_here(clone: Git, origin: Path) -> None:
    git(clone.root, "config", "push.followTags", "true")
    git(clone.root, "branch", "private")
    second = commit(clone.root, "Two")
    git(clone.root, "tag", "--annotate", "--message", "m", "v2")
    remote.push(clone, "origin", second, "trunk")
    assert git(origin, "for-each-ref", "--format=%(refname)") == "refs/heads/trunk"


def test_a_hook_before_the_push_is_honoured(clone: Git, origin: Path) -> None:
    before = git(origin, "rev-parse", "trunk")
    program(clone.directory / "hooks" / "pre-push", "echo 'tests fail' >&2\nexit 1\n")
    with pytest.raises(GitError) as raised:
        remote.push(clone, "origin", commit(clone.root, "Two"), "trunk")
    assert not isinstance(raised.value, PushRejected)
    assert "tests fail" in raised.value.message
    assert git(origin, "rev-parse", "trunk") == before


def test_a_remote_that_is_not_there_is_told_with_the_command_to_try(clone: Git, tmp_path: Path) -> None:
    with pytest.raises(GitError) as raised:
        remote.refs(clone, f"{tmp_path}/gone.git")
    assert raised.value.message.startswith(
        f"git ls-remote: '{tmp_path}/gone.git' does not appear to be a git repository"
    )
    assert f"(cd {clone.top} && git ls-remote --symref -- {tmp_path}/gone.git" in raised.value.hint


def test_a_server_that_wants_a_password_is_an_error_and_nobody_is_asked(clone: Git) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_address[1]}"
        for user in ("", "me:s3cret@"):
            with pytest.raises(GitError) as raised:
                remote.refs(clone, f"http://{user}{host}/x.git")
            assert "s3cret" not in str(raised.value)
            assert raised.value.hint.startswith("git must be able to do this without asking: ")
        server.shutdown()


def test_ssh_asks_nothing_unless_the_user_says_how_it_is_started(
    clone: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    ssh = program(tmp_path / "bin" / "ssh", f'echo "$0 $*" >> {log}\nexit 255\n')
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    with pytest.raises(GitError):
        remote.refs(clone, "git@127.0.0.1:x.git")
    assert "BatchMode=yes" in log.read_text()
    log.unlink()
    git(clone.root, "config", "core.sshCommand", f"{ssh} -i key")
    with pytest.raises(GitError):
        remote.refs(clone, "git@127.0.0.1:x.git")
    assert "-i key" in log.read_text()
    assert "BatchMode" not in log.read_text()
