from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from kustodian import toolchain
from kustodian.errors import ToolError, UsageError
from kustodian.toolchain import build
from kustodian.toolchain.pins import CLUSTER_PINS, PINS, Pin

from ..kit import program

SOPS = PINS["sops"]


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache and a PATH with nothing of ours on it; building anything fails the test."""
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def no_build(pins: Sequence[Pin], _report: toolchain.Report) -> None:
        raise AssertionError(f"{pins[0].name} would be built")

    monkeypatch.setattr(build, "build", no_build)


def on_path(tmp_path: Path, says: str, name: str = "sops") -> Path:
    return program(tmp_path / "path" / name, f"echo '{says}'\n")


def in_cache(tmp_path: Path, pin: Pin = SOPS) -> Path:
    return program(tmp_path / "cache" / "bin" / f"{pin.name}-{pin.version}" / pin.name, "exit 1\n")


def test_the_cache_comes_first_and_is_trusted_by_its_path(tmp_path: Path) -> None:
    on_path(tmp_path, "sops 3.13.3")
    cached = in_cache(tmp_path)
    assert toolchain.locate(SOPS) == (toolchain.Tool(SOPS, cached, "cache"), "")
    assert toolchain.find("sops") == toolchain.Tool(SOPS, cached, "cache")


def test_a_cached_file_that_cannot_be_run_does_not_count(tmp_path: Path) -> None:
    in_cache(tmp_path).chmod(0o644)
    assert toolchain.locate(SOPS) == (None, "")


@pytest.mark.parametrize("says", ["sops 3.13.3", "v3.13.3", "sops version v3.13.3 (latest)", "3.13.3\nnewer: 3.14.0"])
def test_the_pinned_version_on_path_is_used(tmp_path: Path, says: str) -> None:
    path = on_path(tmp_path, says)
    assert toolchain.locate(SOPS) == (toolchain.Tool(SOPS, path, "PATH"), "")


@pytest.mark.parametrize("says", ["sops 3.13.2", "sops 3.13.30", "3.13.3-rc1", "sops 3.13.3+dirty"])
def test_another_version_on_path_is_not_used_and_said(tmp_path: Path, says: str) -> None:
    path = on_path(tmp_path, says)
    version = "v" + says.rsplit(maxsplit=1)[-1]
    assert toolchain.locate(SOPS) == (None, f" (the one on PATH, {path}, is {version})")


@pytest.mark.parametrize("body", ["exit 0\n", "echo development\n", "exit 3\n", "kill -9 $$\n"])
def test_a_program_that_will_not_tell_its_version_is_not_used_and_said(tmp_path: Path, body: str) -> None:
    path = program(tmp_path / "path" / "sops", body)
    assert toolchain.locate(SOPS) == (None, f" (the one on PATH, {path}, is of an unknown version)")


def test_a_program_that_cannot_be_started_has_no_version(tmp_path: Path) -> None:
    path = tmp_path / "path" / "sops"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    assert toolchain.locate(SOPS) == (None, f" (the one on PATH, {path}, is of an unknown version)")


def test_a_program_that_calls_itself_development_is_known_by_gos_build_record(tmp_path: Path) -> None:
    pin = PINS["kubeconform"]
    path = program(tmp_path / "path" / pin.name, "echo development\nexit\n")
    with path.open("ab") as file:
        file.write(b"\x00path\tx\nmod\tgithub.com/yannh/kubeconform\tv0.8.0\th1:abc=\ndep\tother\tv9.9.9\t\n")
    assert toolchain.version_of(path, pin) == "v0.8.0"
    assert toolchain.locate(pin) == (toolchain.Tool(pin, path, "PATH"), "")


@pytest.mark.parametrize("name", PINS)
def test_each_real_program_tells_the_version_that_is_pinned(name: str, tool: Callable[[str], Path]) -> None:
    # From outside of the cache, where the path says nothing.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUSTODIAN_CACHE", REAL_CACHE)
        path = tool(name)
    assert toolchain.version_of(path, PINS[name]) == PINS[name].version


REAL_CACHE = str(toolchain.cache_folder())


def test_without_building_a_missing_program_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUSTODIAN_NO_BUILD", "1")
    with pytest.raises(ToolError) as raised:
        toolchain.find("sops")
    assert raised.value.message == "sops v3.13.3 is needed and not installed"
    assert raised.value.hint == (
        "put sops v3.13.3 on PATH, or unset KUSTODIAN_NO_BUILD so that it is built into the cache"
    )


def test_without_building_a_wrong_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUSTODIAN_NO_BUILD", "1")
    path = on_path(tmp_path, "sops 3.8.1")
    with pytest.raises(ToolError) as raised:
        toolchain.find("sops")
    assert raised.value.message == (f"sops v3.13.3 is needed and not installed (the one on PATH, {path}, is v3.8.1)")


def test_what_is_missing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []

    def fake(pins: Sequence[Pin], report: toolchain.Report) -> None:
        report(pins[0].name, 7)

    monkeypatch.setattr(build, "build", fake)
    assert toolchain.find("sops", report=lambda name, count: seen.append((name, count))) == toolchain.Tool(
        SOPS, toolchain.cached_path(SOPS), "cache"
    )
    assert seen == [("sops", 7)]
    toolchain.find("sops")


def test_an_unknown_program_is_refused() -> None:
    with pytest.raises(UsageError) as raised:
        toolchain.find("helm")
    assert raised.value.message == (
        "helm is not one of the pinned programs: kustomize, kubeconform, sops, age, age-keygen, "
        "etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, argocd"
    )


@pytest.mark.parametrize("name", CLUSTER_PINS)
def test_a_program_of_the_trial_cluster_is_found_like_any_other(name: str, tmp_path: Path) -> None:
    cached = in_cache(tmp_path, CLUSTER_PINS[name])
    assert toolchain.find(name) == toolchain.Tool(CLUSTER_PINS[name], cached, "cache")


@pytest.mark.parametrize("name", CLUSTER_PINS)
def test_a_program_whose_source_we_change_is_never_taken_from_path(name: str, tmp_path: Path) -> None:
    pin = CLUSTER_PINS[name]
    path = on_path(tmp_path, f"{name} {pin.version}", name)
    assert toolchain.locate(pin) == ((None, "") if pin.replaced else (toolchain.Tool(pin, path, "PATH"), ""))
    assert bool(pin.replaced) == (name == "argocd")


def test_without_building_nobody_is_sent_to_a_program_that_would_not_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUSTODIAN_NO_BUILD", "1")
    with pytest.raises(ToolError) as raised:
        toolchain.find("argocd")
    assert raised.value.message == f"argocd {CLUSTER_PINS['argocd'].version} is needed and not installed"
    assert raised.value.hint == "unset KUSTODIAN_NO_BUILD so that it is built into the cache"


def test_the_cache_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toolchain.cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("KUSTODIAN_CACHE", "~/here")
    assert toolchain.cache_folder() == Path("/home/ada/here")
    monkeypatch.delenv("KUSTODIAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/ada")
    assert toolchain.cache_folder() == Path("/var/ada/kustodian")
