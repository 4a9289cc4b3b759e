"""Programs that are built in a module of ours: the modules as they are shipped, and such builds by a `go` that is a
shell script. It keeps a module of two files, does what a replacement asks, and "compiles" by copying the source.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from pathlib import Path

import pytest
from kustodian import toolchain
from kustodian.errors import ToolError
from kustodian.toolchain import build
from kustodian.toolchain.pins import CLUSTER_PINS, GO_VERSION, Pin

from ..kit import program

WRAPPED = [name for name, pin in CLUSTER_PINS.items() if pin.wrapper]
MODULES = Path(build.__file__).parent / "modules"
SOURCE = 'listen("0.0.0.0:%d", port)\n'
PIN = Pin(
    name="tool",
    version="v1.2.3",
    module="example.com/tool",
    package="example.com/tool/cmd/tool",
    checksum="h1:pinned=",
    version_arguments=("--version",),
    packages=1,
    purpose="is built by the tests",
    wrapper="etcd",
    flags=("-ldflags=-s -w",),
    replaced=(("server/listen.go", '"0.0.0.0:%d", port', '"127.0.0.1:%d", port'),),
    beside=("manifests/*-crd.yaml", "hack/*.sh"),
)
GO = f"""
echo "$PWD $*" >> "$LOG"
module="$GOMODCACHE/example.com/tool@v1.2.3"
case "$1 $2" in
"mod download")
    mkdir -p "$module/server" "$module/manifests" "$module/hack"
    printf '%s' "$SOURCE" > "$module/server/listen.go"
    echo a > "$module/manifests/a-crd.yaml"
    echo b > "$module/manifests/b.yaml"
    echo run > "$module/hack/run.sh"
    chmod 444 "$module/server/listen.go" "$module"/*/*.yaml "$module/hack/run.sh"
    echo '{{"Path": "example.com/tool", "Version": "v1.2.3", "Sum": "h1:pinned="}}' ;;
"mod edit")
    echo "${{3#-replace=}}" | sed 's/.*=//' > replacement ;;
"install "*)
    mkdir -p "$GOBIN"
    cat "$(cat replacement 2>/dev/null || echo "$module")/server/listen.go" > "$GOBIN/tool"
    chmod +x "$GOBIN/tool" ;;
"version -m")
    printf 'path\\tx\\n\\tdep\\t%s\\t%s\\t%s\\n' {PIN.module} {PIN.version} {PIN.checksum} ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("SOURCE", SOURCE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}")
    return program(tmp_path / "path" / "go", GO)


def made(pin: Pin = PIN) -> Path:
    build.build([pin], lambda _name, _count: None)
    return toolchain.cached_path(pin)


def log(tmp_path: Path) -> list[str]:
    work = str(tmp_path / "cache" / toolchain.WORK)
    return [line.replace(work, "WORK") for line in (tmp_path / "log").read_text("utf-8").splitlines()]


# Building


def test_a_program_is_built_from_the_text_that_stands_instead(go: Path, tmp_path: Path) -> None:
    assert made().read_text("utf-8") == 'listen("127.0.0.1:%d", port)\n'
    assert log(tmp_path)[:-1] == [
        "WORK mod download -json example.com/tool@v1.2.3",
        "WORK/modules/etcd mod edit -replace=example.com/tool=WORK/replaced/tool",
        "WORK/modules/etcd install -v -ldflags=-s -w example.com/tool/cmd/tool",
    ]


def test_a_program_without_replaced_texts_is_built_in_its_module_as_it_is(go: Path, tmp_path: Path) -> None:
    program(go, GO.replace('"install "*)', '"install "*) "$0" mod download > "$LOG.download"'))
    assert made(dataclasses.replace(PIN, replaced=())).read_text("utf-8") == SOURCE
    assert [line.split()[1] for line in log(tmp_path)] == ["install", "mod", "version"]
    assert log(tmp_path)[0] == "WORK/modules/etcd install -v -ldflags=-s -w example.com/tool/cmd/tool"


def test_our_own_copy_of_the_module_is_not_written_to(go: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in MODULES.rglob("*") if path.is_file()}
    made()
    assert {path: path.read_bytes() for path in MODULES.rglob("*") if path.is_file()} == before


def test_what_is_needed_beside_the_program_is_kept_with_its_bits(go: Path) -> None:
    folder = made().parent
    bits = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert bits == {"tool": "0o755", "a-crd.yaml": "0o644", "run.sh": "0o755"}
    assert (folder / "run.sh").read_text("utf-8") == "run\n"


def test_source_of_another_checksum_is_refused_before_it_is_compiled(go: Path, tmp_path: Path) -> None:
    program(go, GO.replace('"Sum": "h1:pinned="', '"Sum": "h1:somebodyelse="'))
    with pytest.raises(ToolError) as raised:
        made()
    assert raised.value.message == "the source of tool v1.2.3 is not the one that is pinned (checksum differs)"
    assert raised.value.hint == "do not use it; find out what your Go module proxy serves"
    assert [line.split()[1] for line in log(tmp_path)] == ["mod"]
    assert not (tmp_path / "cache" / "bin").exists()


@pytest.mark.parametrize("source", ["", 'listen("127.0.0.1:%d", port)\n', SOURCE * 2])
def test_a_text_that_is_not_there_exactly_once_is_refused(
    source: str, go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE", source)
    with pytest.raises(ToolError) as raised:
        made()
    assert raised.value.message == "tool v1.2.3: server/listen.go does not have the text that is replaced in it"
    assert [line.split()[1] for line in log(tmp_path)] == ["mod"]
    assert not (tmp_path / "cache" / "bin").exists()


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        ('echo \'{"Path": "example.com/tool", "Error": "dial tcp: no route to host"}\'; exit 1', "no route to host"),
        ("echo 'go: no such toolchain' >&2; exit 1", "go: no such toolchain"),
        ("exit 1", "go mod failed"),
    ],
)
def test_source_that_cannot_be_had_is_not_called_a_wrong_one(instead: str, reason: str, go: Path) -> None:
    program(go, GO.replace('"mod download")', f'"mod download") {instead} ;;\n"never ")'))
    with pytest.raises(ToolError) as raised:
        made()
    assert raised.value.message.startswith("can't build tool v1.2.3: ")
    assert raised.value.message.endswith(reason)
    # One on PATH would not be used: nobody else replaces the text.
    assert raised.value.hint == "a Go module proxy must be reachable (GOPROXY)"


def test_a_replacement_that_go_does_not_take_ends_the_build(go: Path, tmp_path: Path) -> None:
    program(go, GO.replace('"mod edit")', '"mod edit") echo "go: malformed" >&2; exit 1 ;;\n"never ")'))
    with pytest.raises(ToolError) as raised:
        made()
    assert raised.value.message == "can't build tool v1.2.3: go: malformed"
    assert [line.split()[1] for line in log(tmp_path)] == ["mod", "mod"]


def test_a_program_whose_record_names_another_source_is_refused(go: Path) -> None:
    program(go, GO.replace('"install "*)', '"install "*) "$0" mod download > "$LOG.download"'))
    pin = dataclasses.replace(PIN, replaced=(), checksum="h1:another=")
    with pytest.raises(ToolError) as raised:
        made(pin)
    assert raised.value.message == "the source of tool v1.2.3 is not the one that is pinned (checksum differs)"


def test_two_programs_of_one_module_share_its_copy(go: Path, tmp_path: Path) -> None:
    program(go, GO.replace('"install "*)', '"install "*) "$0" mod download > "$LOG.download"'))
    pin = dataclasses.replace(PIN, replaced=())
    other = dataclasses.replace(pin, name="other")
    build.build([pin, other], lambda _name, _count: None)
    assert toolchain.cached_path(other).read_text("utf-8") == SOURCE
    assert not (tmp_path / "cache" / toolchain.WORK).exists()


# The modules as they are


def required(wrapper: str) -> dict[str, str]:
    text = (MODULES / wrapper / "go.mod").read_text("utf-8")
    return dict(re.findall(r"^\t(\S+) (v\S+)(?: // indirect)?$", text, re.M))


@pytest.mark.parametrize("name", WRAPPED)
def test_the_module_requires_the_pinned_version(name: str) -> None:
    pin = CLUSTER_PINS[name]
    assert required(pin.wrapper)[pin.module] == pin.version


@pytest.mark.parametrize("name", WRAPPED)
def test_the_pinned_checksum_is_the_modules(name: str) -> None:
    pin = CLUSTER_PINS[name]
    sums = (MODULES / pin.wrapper / "go.sum").read_text("utf-8").splitlines()
    assert f"{pin.module} {pin.version} {pin.checksum}" in sums


@pytest.mark.parametrize("name", WRAPPED)
def test_the_module_is_built_by_the_pinned_go(name: str) -> None:
    text = (MODULES / CLUSTER_PINS[name].wrapper / "go.mod").read_text("utf-8")
    match = re.search(r"^go (\S+)$", text, re.M)
    assert match
    assert [*map(int, match[1].split("."))] <= [*map(int, GO_VERSION.split("."))]
    assert "\ntoolchain " not in text


@pytest.mark.parametrize("name", [name for name, pin in CLUSTER_PINS.items() if pin.wrapper == "kubernetes"])
def test_the_parts_of_kubernetes_are_those_of_its_version(name: str) -> None:
    text = (MODULES / "kubernetes" / "go.mod").read_text("utf-8")
    replaced = re.findall(r"^\t(\S+) => (\S+) (\S+)$", text, re.M)
    _major, minor, patch = CLUSTER_PINS[name].version.split(".")
    assert len(replaced) > 20
    assert {version for _module, _other, version in replaced} == {f"v0.{minor}.{patch}"}
    assert all(module == other and module.startswith("k8s.io/") for module, other, _version in replaced)


@pytest.mark.parametrize("name", sorted(path.name for path in MODULES.iterdir() if path.is_dir()))
def test_every_module_is_somebodys_and_replaces_nothing_by_a_folder(name: str) -> None:
    assert name in {pin.wrapper for pin in CLUSTER_PINS.values()}
    replacements = re.findall(r"=> (.*)$", (MODULES / name / "go.mod").read_text("utf-8"), re.M)
    assert all(re.fullmatch(r"\S+ v\S+", replacement) for replacement in replacements)
