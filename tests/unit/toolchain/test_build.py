"""Building without a network: a `go` that is a shell script stands in for the compiler and the module proxy."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path

import pytest
from kustodian import toolchain
from kustodian.errors import ToolError
from kustodian.toolchain import build
from kustodian.toolchain.pins import CLUSTER_PINS, GO_VERSION, PINS

from ..kit import program

AGE = PINS["age"]
RECORD = f"{AGE.module}\t{AGE.version}\t{AGE.checksum}"


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` on PATH that "builds" age; $LOG gets each command line and what the build sees."""
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}")
    return program(
        tmp_path / "path" / "go",
        f"""
        echo "$*" >> "$LOG"
        case "$1" in
        install)
            echo "$GOTOOLCHAIN $CGO_ENABLED $GOFLAGS" >> "$LOG"
            echo "go: downloading something" >&2
            echo "one/package" >&2
            echo "two/packages" >&2
            mkdir -p "$GOBIN" && echo built > "$GOBIN/age" && chmod +x "$GOBIN/age" ;;
        version) printf 'path\\tx\\n\\tmod\\t%s\\n' '{RECORD}' ;;
        esac
        """,
    )


def test_a_program_is_built_into_the_cache_and_nothing_else_stays(go: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    build.build([AGE], lambda name, count: seen.append((name, count)))
    path = tmp_path / "cache" / "bin" / "age-v1.3.2" / "age"
    assert path.read_text("utf-8") == "built\n"
    assert sorted(entry.name for entry in (tmp_path / "cache").iterdir()) == ["bin", "build.lock"]
    assert seen == [("age v1.3.2", 0), ("age v1.3.2", 0), ("age v1.3.2", 1), ("age v1.3.2", 2)]
    log = (tmp_path / "log").read_text("utf-8").splitlines()
    assert log[0] == "install -v filippo.io/age/cmd/age@v1.3.2"
    assert log[1] == f"go{GO_VERSION} 0 -modcacherw -trimpath"
    assert log[2].startswith("version -m ")


def test_flags_of_the_user_are_kept(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-p=1")
    build.build([AGE], lambda _name, _count: None)
    assert (tmp_path / "log").read_text("utf-8").splitlines()[1].endswith("-p=1 -modcacherw -trimpath")


def test_what_is_built_already_is_not_built_again(go: Path, tmp_path: Path) -> None:
    for _ in range(2):
        build.build([AGE], lambda _name, _count: None)
    assert (tmp_path / "log").read_text("utf-8").count("install") == 1


def test_of_two_at_once_one_builds_and_the_other_waits(go: Path, tmp_path: Path) -> None:
    threads = [threading.Thread(target=build.build, args=([AGE], lambda _name, _count: None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "log").read_text("utf-8").count("install") == 1


def test_what_an_ended_build_left_behind_is_removed(go: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / toolchain.WORK / "mod").mkdir(parents=True)
    (tmp_path / "cache" / "work-of-somebody").mkdir()
    build.build([AGE], lambda _name, _count: None)
    assert not (tmp_path / "cache" / toolchain.WORK).exists()
    assert (tmp_path / "cache" / "work-of-somebody").exists()


def test_a_build_that_fails_says_why_and_leaves_nothing(go: Path, tmp_path: Path) -> None:
    program(go, 'echo "go: downloading x" >&2\necho "dial tcp: no route" >&2\nexit 1\n')
    with pytest.raises(ToolError) as raised:
        build.build([AGE], lambda _name, _count: None)
    assert raised.value.message == "can't build age v1.3.2: dial tcp: no route"
    assert raised.value.hint == (
        "a Go module proxy must be reachable (GOPROXY); or put the program of that version on PATH"
    )
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["build.lock"]


def test_a_build_that_fails_without_a_word(go: Path) -> None:
    program(go, "exit 1\n")
    with pytest.raises(ToolError) as raised:
        build.build([AGE], lambda _name, _count: None)
    assert raised.value.message == "can't build age v1.3.2: go install failed"


def test_source_other_than_the_pinned_one_is_refused(go: Path, tmp_path: Path) -> None:
    go.write_text(go.read_text("utf-8").replace(AGE.checksum, "h1:somebodyelse="), "utf-8")
    with pytest.raises(ToolError) as raised:
        build.build([AGE], lambda _name, _count: None)
    assert raised.value.message == "the source of age v1.3.2 is not the one that is pinned (checksum differs)"
    assert raised.value.hint == "do not use it; find out what your Go module proxy serves"
    assert not (tmp_path / "cache" / "bin").exists()


def test_a_cache_that_cannot_be_written_is_named(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError) as raised:
        build.build([AGE], lambda _name, _count: None)
    assert raised.value.message == f"can't build age into {tmp_path / 'file' / 'cache'}: Not a directory"
    assert raised.value.hint == "make the folder writable, or name another one in KUSTODIAN_CACHE"


def test_another_build_that_never_ends_is_named(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    monkeypatch.setattr(build, "BUILD_SECONDS", 0.1)
    (tmp_path / "cache").mkdir()
    lock = tmp_path / "cache" / "build.lock"
    with filelock.FileLock(lock), pytest.raises(ToolError) as raised:
        build.build([AGE], lambda _name, _count: None)
    assert raised.value.message == f"another build holds {lock} for too long"


def test_gos_wheel_comes_before_the_go_on_path() -> None:
    # The development environment has the extra `go`.
    path, variables = build.go_program()
    assert path.parts[-3:] == ("go", "bin", "go")
    assert "site-packages" in path.parts
    assert variables == {"GOROOT": str(path.parents[1])}


def test_without_the_wheel_the_go_on_path_is_used(go: Path) -> None:
    assert build.go_program() == (go, {})


def test_without_any_go_the_error_says_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as raised:
        build.go_program()
    assert raised.value.message == "there is no Go toolchain to build the pinned programs with"
    assert raised.value.hint == (
        "pip install 'kustodian[go]' brings one; or install Go; or put the pinned programs on PATH"
    )


@pytest.mark.parametrize("name", [*PINS, *CLUSTER_PINS])
def test_a_pin_says_all_that_a_build_needs(name: str) -> None:
    pin = toolchain.pinned(name)
    assert pin.name == name
    assert pin.package.startswith(pin.module)
    assert pin.version.startswith("v")
    assert pin.checksum.startswith("h1:")
    assert pin.packages > 0
    assert pin.purpose


def test_no_program_is_pinned_twice() -> None:
    assert not set(PINS) & set(CLUSTER_PINS)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("filippo.io/age/cmd/age-keygen", "age-keygen"),
        ("sigs.k8s.io/kustomize/kustomize/v5", "kustomize"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("github.com/argoproj/argo-cd/v3/cmd", "cmd"),
        ("example.com/tools/v2x", "v2x"),
    ],
)
def test_the_program_is_called_as_go_install_calls_it(package: str, name: str) -> None:
    # https://go.dev/ref/mod#go-install: the last element of the path, or the one before it if that is a version.
    assert build._installed_name(package) == name
