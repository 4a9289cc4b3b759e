"""`build`: overlays → renders → files, with a summary of each. One overlay's failure does not stop the others."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kustodian import pool, process
from kustodian.errors import Interrupted, KustodianError, OutputError, ToolError, unexpected
from kustodian.files import write_atomically
from kustodian.render import Renderer, Secrets
from kustodian.repository import Overlay
from kustodian.resource import images, split
from kustodian.secrets.seal import STARTS

_SEALED_MARKS = tuple(start.encode() for start in STARTS)


@dataclass(frozen=True)
class Summary:
    """What is in a render."""

    kinds: dict[str, int]
    images: tuple[str, ...]
    secrets: int
    """Secrets with at least one sealed value."""
    size: int
    """Bytes."""
    sha256: str

    @property
    def resources(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True)
class Outcome:
    """What became of one overlay: a `summary` and perhaps an `output`, or an `error`."""

    overlay: Overlay
    seconds: float
    summary: Summary | None = None
    output: str = ""
    """The file that was written, `-` for standard output."""
    error: KustodianError | None = None

    def as_json(self) -> dict[str, object]:
        """The documented JSON form (docs/build.md)."""
        summary = self.summary
        return {
            "path": self.overlay.path,
            "environment": self.overlay.environment,
            "status": "failed" if self.error else "built",
            "output": self.output or None,
            "resources": summary.resources if summary else None,
            "kinds": summary.kinds if summary else None,
            "images": list(summary.images) if summary else None,
            "sealedSecrets": summary.secrets if summary else None,
            "bytes": summary.size if summary else None,
            "sha256": summary.sha256 if summary else None,
            "seconds": round(self.seconds, 3),
            "error": str(self.error) if self.error else None,
        }


def build(
    renderer: Renderer,
    overlays: Sequence[Overlay],
    *,
    output: Path | BinaryIO,
    on_done: Callable[[Outcome], None],
) -> list[Outcome]:
    """Render each overlay into `output`/<its path>.yaml, or one after the other into a stream.

    `on_done` is called for each, as they finish; the list is in the order of `overlays`. Raises `Interrupted`, and
    `OutputError` before anything is rendered if revealed renders would be written where git could pick them up.
    """
    revealed = renderer.secrets is Secrets.REVEALED
    targets = _targets(output, overlays, revealed=revealed) if isinstance(output, Path) else {}

    def one(overlay: Overlay) -> tuple[Outcome, bytes]:
        started = time.monotonic()
        target = targets.get(overlay)
        try:
            text = renderer.render(overlay)
            summary = summarize(text)
            if target is not None:
                write_atomically(target, text, mode=0o600 if revealed else None)
        except Interrupted:
            raise
        except KustodianError as error:
            return Outcome(overlay, time.monotonic() - started, error=error), b""
        except Exception as error:
            return Outcome(overlay, time.monotonic() - started, error=unexpected(overlay.path, error)), b""
        shown = renderer.repository.tree.name(target) if target else "-"
        return Outcome(overlay, time.monotonic() - started, summary, shown), b"" if target else text

    outcomes: dict[int, Outcome] = {}
    waiting: dict[int, bytes] = {}
    written = 0
    separator = b""
    for position, (outcome, text) in pool.each(one, overlays):
        outcomes[position] = outcome
        on_done(outcome)
        waiting[position] = text
        while written in waiting:  # in the order asked for, each as soon as those before it are out
            if (next_text := waiting.pop(written)) and not isinstance(output, Path):
                output.write(separator + next_text)
                separator = b"---\n"
            written += 1
    return [outcomes[position] for position in sorted(outcomes)]


def _targets(folder: Path, overlays: Sequence[Overlay], *, revealed: bool) -> dict[Overlay, Path]:
    suffix = ".revealed.yaml" if revealed else ".yaml"
    targets = {overlay: folder / overlay.file_name(suffix) for overlay in overlays}
    _refuse_collisions(targets)
    if revealed:
        for target in targets.values():
            refuse_unless_ignored(target)
    return targets


def summarize(text: bytes) -> Summary:
    """Count what is in a rendered stream; only workloads are parsed."""
    kinds: Counter[str] = Counter()
    found: set[str] = set()
    secrets = 0
    for resource in split(text):
        kinds[resource.kind] += 1
        if resource.kind == "Secret":
            secrets += any(mark in resource.text for mark in _SEALED_MARKS)
        elif b"image:" in resource.text:
            found.update(images(resource.document))
    return Summary(
        dict(sorted(kinds.items())), tuple(sorted(found)), secrets, len(text), hashlib.sha256(text).hexdigest()
    )


def refuse_unless_ignored(target: Path) -> None:
    """Raises `OutputError` if git could pick `target` up: a revealed render must never be one `git add` away."""
    given, target = target, Path(os.path.realpath(target))  # where the content goes, through whatever links
    shown = f"{given}" if given.absolute() == target else f"{given} (through a link: {target})"
    folder = next(parent for parent in target.parents if parent.is_dir())
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        inside = process.run(["git", "rev-parse", "--is-inside-work-tree"], cwd=folder, env=environment, timeout=10)
        if b"not a git repository" in inside.stderr or inside.stdout.strip() == b"false":
            return
        if inside.returncode != 0:  # somebody else's repository, for example (safe.directory)
            raise ToolError(inside.error_text)
        ignored = process.run(["git", "check-ignore", "--quiet", target], cwd=folder, timeout=10)
    except ToolError as error:
        raise OutputError(f"can't ask git whether it ignores {shown}: {error.message}") from None
    if ignored.returncode != 0:
        raise OutputError(
            f"{shown} holds plain secrets and git does not ignore it",
            hint="write to standard output (--output -), or add the folder to .gitignore",
        )


def _refuse_collisions(targets: dict[Overlay, Path]) -> None:
    owners: dict[Path, Overlay] = {}
    for overlay, target in targets.items():
        if target in owners:
            raise OutputError(
                f"{owners[target].directory} and {overlay.directory} would both be written to {target}",
                hint="build one of them with another --output",
            )
        owners[target] = overlay
