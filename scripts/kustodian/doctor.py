"""`doctor`: what is installed, which keys are at hand for which environment, and what to do about what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kustodian import process, toolchain
from kustodian.console import plural
from kustodian.errors import KustodianError, SecretsError, ToolError, UsageError, task
from kustodian.repository import Overlay, Repository
from kustodian.secrets import envelope, sops
from kustodian.toolchain.pins import CLUSTER_PINS, PINS


@dataclass(frozen=True)
class Check:
    """One line of the report. `ok` is None for what is neither good nor bad."""

    subject: str
    ok: bool | None
    detail: str
    advice: str = ""


def examine(repository: Repository) -> Iterator[Check]:
    """Look at everything; builds nothing and changes nothing."""
    yield Check("Python", True, f"{platform.python_version()} ({sys.executable})")
    yield _git()
    for pin in PINS.values():
        tool, unfit = toolchain.locate(pin)
        if tool:
            yield Check(pin.name, True, f"{pin.version} from {tool.origin}: {tool.path} ({pin.purpose})")
        else:
            advice = f"it is built at first use; to build all now: {task('doctor --build')}"
            yield Check(pin.name, None, f"{pin.version} is not installed{unfit} ({pin.purpose})", advice)
    yield _trial()
    yield _go()
    yield _settings(repository)
    yield from _identities(repository)
    yield from (_key(repository, overlay) for overlay in repository.overlays if _encrypted(repository, overlay))


def build_missing(report: toolchain.Report) -> None:
    """Build every pinned program that is not at hand. Raises `ToolError`."""
    toolchain.find_all(list(PINS), report=report)


def _git() -> Check:
    path = shutil.which("git")
    if path is None:
        return Check("git", False, "not on PATH", "install git")
    done = process.run([path, "--version"], timeout=10)
    version = re.search(rb"\d[\w.]*", done.stdout)  # not the last word: "git version 2.39.5 (Apple Git-154)"
    if done.returncode != 0 or version is None:
        return Check("git", False, f"{path} does not tell its version", "install git")
    return Check("git", True, f"{version[0].decode()} ({path})")


def _trial() -> Check:
    missing = [name for name, pin in CLUSTER_PINS.items() if toolchain.locate(pin)[0] is None]
    if not missing:
        return Check("trial cluster", True, f"its {len(CLUSTER_PINS)} programs are installed")
    advice = f"they are built at the first {task('cluster up')}, which takes a while"
    return Check("trial cluster", None, f"not installed: {', '.join(missing)}", advice)


def _go() -> Check:
    from kustodian.toolchain.build import go_program

    try:
        program, _environment = go_program()
    except ToolError as error:
        if all(toolchain.locate(pin)[0] for pin in PINS.values()):
            return Check("Go", None, "not at hand, and not needed: every program is installed")
        return Check("Go", False, error.message, error.hint)
    return Check("Go", True, f"{program} (builds the programs above)")


def _settings(repository: Repository) -> Check:
    count = len(repository.overlays)
    version = repository.settings.kubernetes_version
    source = "kustodian.yaml" if repository.settings.declared else "defaults: it has no kustodian.yaml"
    return Check(
        "repository",
        count > 0,
        f"{repository.root}: {plural(count, 'overlay')}, Kubernetes {version} ({source})",
        "" if count else "add an overlay, or say in kustodian.yaml where they are",
    )


def _identities(repository: Repository) -> Iterator[Check]:
    found = []
    if os.environ.get("SOPS_AGE_KEY"):
        found.append("SOPS_AGE_KEY")
    if path := os.environ.get("SOPS_AGE_KEY_FILE"):
        if Path(path).is_file():
            found.append(f"SOPS_AGE_KEY_FILE ({path})")
        else:
            yield Check(
                "age identity", False, f"SOPS_AGE_KEY_FILE names {path}, which is no file", "correct or unset it"
            )
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sops" / "age" / "keys.txt"
    if config.is_file():
        found.append(str(config))
    for key in repository.demo_keys:
        if key.is_file():
            found.append(f"{repository.tree.name(key)} (public demo key)")
        else:
            name = repository.tree.name(key)
            yield Check(
                "age identity", False, f"`demoKeys` of kustodian.yaml names {name}, which is no file", "correct it"
            )
    yield Check("age identity", True if found else None, ", ".join(found) or "none; sealed builds need none")


def _encrypted(repository: Repository, overlay: Overlay) -> list[Path]:
    """The encrypted files that an overlay reads."""
    found = []
    for path in repository.tree.closure(overlay.directory).inputs:
        try:
            if sops.is_encrypted(path.read_bytes(), path.name):
                found.append(path)
        except (OSError, KustodianError):
            continue
    return found


def _key(repository: Repository, overlay: Overlay) -> Check:
    file = _encrypted(repository, overlay)[0]
    subject = f"key of {overlay.path}"
    tool, _unfit = toolchain.locate(PINS["sops"])
    recipients = _recipients(file)
    if tool is None:
        return Check(subject, None, f"encrypted for {recipients}; not tried, because sops is not installed yet")
    try:
        sops.decrypt(tool.path, file, env=sops.environment(repository.demo_keys))
    except (SecretsError, ToolError, UsageError):
        advice = "sealed builds work without; to reveal, set SOPS_AGE_KEY_FILE to the recipient's identity"
        return Check(subject, None, f"not at hand: encrypted for {recipients}", advice)
    return Check(subject, True, f"at hand: it opens {repository.tree.name(file)}")


def _recipients(file: Path) -> str:
    try:
        documents = envelope.compose(file.read_bytes(), file.name)
        names = [f"{who.kind} {who.name}" for who in envelope.header(documents[0], file.name).recipients]
    except (SecretsError, IndexError):
        return "unknown recipients"
    return ", ".join(names) or "nobody"
