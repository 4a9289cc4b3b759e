"""Renders one overlay with the real kustomize: bytes in the sealed or the revealed mode.

This is the one seam for rendering: whatever needs a render asks a `Renderer`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from kustodian import process
from kustodian.errors import RenderError
from kustodian.render.plugins import needed
from kustodian.repository import Overlay, Repository
from kustodian.secrets import generator


class Secrets(Enum):
    """How encrypted values come out: as fingerprints of their ciphertext, or decrypted."""

    SEALED = "sealed"
    REVEALED = "revealed"


_PACKAGE = Path(__file__).parents[1]
_PLUGIN_HOME = _PACKAGE / "secrets" / "plugin"


@dataclass(frozen=True)
class Renderer:
    """Renders overlays of one repository. `sops` is needed for the revealed mode only."""

    repository: Repository
    kustomize: Path
    secrets: Secrets = Secrets.SEALED
    sops: Path | None = None

    def render(self, overlay: Overlay) -> bytes:
        """What `kustomize build` prints for the overlay. Raises `RenderError`, `ToolTimeout`, `Interrupted`.

        No error quotes a decrypted value: of a revealed render that fails, only our own messages are shown.
        """
        closure = self.repository.tree.closure(overlay.directory)
        if closure.kustomizations and closure.kustomizations[0].is_component:
            # kustomize would build it, without what it is meant to be applied to.
            raise RenderError(
                f"{overlay.path} is a Component: it can't be built on its own",
                hint="list it under `components:` of an overlay and build that",
            )
        plugins = needed(
            overlay.path,
            closure,
            self.repository.tree,
            self._build_plugins,
            trust_remote=self.repository.settings.trust_remote_bases,
        )
        done = self._run(overlay, plugins=plugins)
        if done.returncode != 0:
            raise self._failure(overlay, done)
        return done.stdout

    def command(self, overlay: Overlay, *, plugins: bool) -> list[str]:
        """The command line of kustomize. Plugins are switched on only for an overlay that has some."""
        command = [str(self.kustomize), "build"]
        if self.repository.settings.load_restrictor == "none":
            command += ["--load-restrictor", "LoadRestrictionsNone"]
        if plugins:
            command += ["--enable-alpha-plugins", "--enable-exec"]
        inside = overlay.directory.is_relative_to(self.repository.root)
        # With ./ no folder's name is taken for an option or for an address.
        return [*command, f"./{overlay.path}" if inside else str(overlay.directory)]

    @cached_property
    def environment(self) -> dict[str, str]:
        """The variables that make kustomize start our generator wherever a document says `ksops`."""
        import yaml

        from kustodian.secrets import sops

        base = process.go_environment()
        if self.secrets is Secrets.REVEALED:
            base = sops.environment(self.repository.demo_keys, base)
        assert yaml.__file__  # noqa: S101
        return {
            **base,
            "PATH": os.pathsep.join((str(_PLUGIN_HOME / "viaduct.ai" / "v1" / "ksops"), os.environ.get("PATH", ""))),
            "KUSTOMIZE_PLUGIN_HOME": str(_PLUGIN_HOME),
            "KUSTODIAN_PYTHON": sys.executable,
            "KUSTODIAN_GENERATOR": str(generator.__file__),
            "KUSTODIAN_PATH": os.pathsep.join((str(_PACKAGE.parent), str(Path(yaml.__file__).parents[1]))),
            "KUSTODIAN_ROOT": str(self.repository.root),
            "KUSTODIAN_SECRETS": self.secrets.value,
            "KUSTODIAN_SOPS": str(self.sops or ""),
        }

    def _run(self, overlay: Overlay, *, plugins: bool) -> process.Completed:
        return process.run(
            self.command(overlay, plugins=plugins),
            cwd=self.repository.root,
            env=self.environment if plugins else process.go_environment(),
            timeout=self.repository.settings.timeout_seconds,
        )

    def _build_plugins(self, folder: Path) -> bytes:
        """A folder of plugins as kustomize renders it, without starting any."""
        done = self._run(self.repository.overlay_at(folder), plugins=False)
        if done.returncode != 0:
            raise RenderError(
                f"{self.repository.tree.name(folder)}: this folder of plugins can't be built without plugins",
                hint=process.command_line(done.argv, self.repository.root),
            )
        return done.stdout

    def _failure(self, overlay: Overlay, done: process.Completed) -> RenderError:
        from kustodian.render.explain import explain

        ours = [
            line.removeprefix(generator.MARK)
            for line in done.error_text.splitlines()
            if line.startswith(generator.MARK)
        ]
        if ours:
            return RenderError("\n".join([f"{overlay.path}: {ours[0]}", *ours[1:]]))
        if self.secrets is Secrets.REVEALED:
            return self._failure_without_values(overlay)
        # With plugins the command alone would not do: it needs our environment.
        command = "" if "--enable-exec" in done.argv else process.command_line(done.argv, self.repository.root)
        message, hint = explain(self.repository, overlay, done.error_text, command=command)
        return RenderError(message, hint=hint)

    def _failure_without_values(self, overlay: Overlay) -> RenderError:
        # kustomize may quote what the generator gave it; what it says of the sealed render holds no value.
        try:
            Renderer(self.repository, self.kustomize).render(overlay)
        except RenderError as error:
            return error
        return RenderError(
            f"{overlay.path}: kustomize refuses the revealed resources, though not the sealed ones; "
            "its message is not shown because it may quote a value",
            hint="look at the decrypted files for what is not text or not base64 in a Secret",
        )
