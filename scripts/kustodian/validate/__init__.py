"""`validate`: overlays → renders → findings, and the findings of the tree that they come from.

A broken rule is a finding. What could not be checked is an error: an overlay that does not render, a kind without a
schema, a schema that is none.
"""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kustodian import locate, pool
from kustodian.errors import ExitCode, Interrupted, KustodianError, OutputError, RenderError, ToolError, unexpected
from kustodian.finding import Finding
from kustodian.render import Renderer
from kustodian.repository import Overlay
from kustodian.resource import Resource, split
from kustodian.secrets import seal
from kustodian.validate import argocd, config, kubeconform, schemas, tree

SCHEMA = "schema"
CONFIG = "config"

_GROUP = 25
"""Up to how many overlays one run of kubeconform checks."""
_DEFINITION = "CustomResourceDefinition"


@dataclass(frozen=True)
class Checked:
    """What became of one overlay. `errors` are what could not be checked in it."""

    overlay: Overlay
    seconds: float
    resources: int = 0
    skipped: int = 0
    findings: tuple[Finding, ...] = ()
    errors: tuple[KustodianError, ...] = ()


@dataclass(frozen=True)
class Report:
    overlays: tuple[Checked, ...]
    tree: tuple[Finding, ...] = field(default=())

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (*self.tree, *(finding for checked in self.overlays for finding in checked.findings))

    @property
    def exit_code(self) -> ExitCode:
        if any(checked.errors for checked in self.overlays):
            return ExitCode.ERROR
        return ExitCode.FINDINGS if self.findings else ExitCode.CLEAN


@dataclass(frozen=True)
class Validator:
    """Checks renders of one repository against one Kubernetes version."""

    renderer: Renderer
    program: Path
    """kubeconform."""
    kubernetes_version: str
    cache: Path
    """Folder for converted schemas."""

    def validate(self, overlays: Sequence[Overlay], *, on_done: Callable[[Checked], None]) -> Report:
        """Check each overlay and, once, the tree. `on_done` sees each overlay as it finishes.

        A folder of Applications that does not render stands among the overlays of the report, with its error.
        """
        checked: dict[Overlay, Checked] = {}
        findings, _definitions = self._tree
        _ = self._schema_locations  # made before the workers start, which would each make them
        size = max(1, min(_GROUP, math.ceil(len(overlays) / pool.workers())))
        groups = [overlays[start : start + size] for start in range(0, len(overlays), size)]
        for _position, results in pool.each(self._check, groups):
            for result in results:
                checked[result.overlay] = result
                on_done(result)
        applications, unchecked = self._applications()
        return Report((*(checked[overlay] for overlay in overlays), *unchecked), (*findings, *applications))

    def _applications(self) -> tuple[Sequence[Finding], Sequence[Checked]]:
        repository = self.renderer.repository
        try:
            return argocd.check(self.renderer), ()
        except Interrupted:
            raise
        except KustodianError as error:
            folder = repository.overlay_at(repository.root / repository.settings.argocd_applications)
            return (), (Checked(folder, 0.0, errors=(error,)),)

    @cached_property
    def _tree(self) -> tuple[list[Finding], list[dict[str, Any]]]:
        repository = self.renderer.repository
        return tree.check(repository.root, tree.files(repository.root, repository.settings.ignore))

    @cached_property
    def _schema_locations(self) -> list[str]:
        locations = [f"{schemas.kubernetes(self.kubernetes_version, self.cache)}/{schemas.TEMPLATE}"]
        if custom := schemas.custom(self._tree[1], self.cache):
            locations.insert(0, f"{custom}/{schemas.TEMPLATE}")
        return locations

    def _check(self, overlays: Sequence[Overlay]) -> list[Checked]:
        """Render the overlays of a group, one text in memory at a time, then hold all of them to their schemas."""
        done: list[Checked] = []
        with tempfile.TemporaryDirectory(prefix="kustodian-") as folder:
            rendered: dict[Path, Checked] = {}
            alone: list[Path] = []
            for number, overlay in enumerate(overlays):
                file = Path(folder) / f"{number}.yaml"
                try:
                    rendered[file], defines = self._rendered(overlay, file)
                    alone += [file] if defines else []
                except Interrupted:
                    raise
                except KustodianError as error:
                    done.append(Checked(overlay, 0.0, errors=(error,)))
                except Exception as error:
                    done.append(Checked(overlay, 0.0, errors=(unexpected(overlay.path, error),)))
            started = time.monotonic()
            verdicts = self._verdicts([file for file in rendered if file not in alone], alone)
            share = (time.monotonic() - started) / max(1, len(rendered))
            for file, checked in rendered.items():
                done.append(self._judged(checked, file, verdicts[file], share))
        return done

    def _rendered(self, overlay: Overlay, file: Path) -> tuple[Checked, bool]:
        """The overlay's render in `file`: what can be said of it without schemas, and whether it defines kinds."""
        started = time.monotonic()
        text = self.renderer.render(overlay)
        try:
            file.write_bytes(text)
        except OSError as error:
            raise OutputError(f"can't write {file}: {error.strerror or error}") from None
        resources = list(split(text))
        findings = (*self._config_findings(overlay, resources), *self._open_secrets(overlay, resources))
        checked = Checked(
            overlay, time.monotonic() - started, len(resources), sum(map(self._is_skipped, resources)), findings
        )
        return checked, any(resource.kind == _DEFINITION for resource in resources)

    def _open_secrets(self, overlay: Overlay, resources: Sequence[Resource]) -> list[Finding]:
        """Values of rendered Secrets that are not sealed, wherever they came from: a patch, a plugin, a remote base.

        Nothing is said of an overlay that reads a file in which the tree's check has found the plain Secret itself.
        """
        repository = self.renderer.repository
        found = [
            (resource.id, key)
            for resource in resources
            if resource.kind == "Secret"
            for key in seal.open_keys(resource.document)
        ]
        if not found:
            return []
        named = {repository.root / finding.file for finding in self._tree[0] if finding.rule == tree.PLAIN_SECRET}
        if named & repository.tree.closure(overlay.directory).files:
            return []
        return [
            Finding(
                tree.PLAIN_SECRET,
                f"the rendered Secret holds `{key}` in plain text",
                resource=str(identity),
                overlay=overlay.path,
                mend="find what sets it (a patch, a plugin, a remote base) and bring the value in by a ksops generator",
            )
            for identity, key in found
        ]

    def _is_skipped(self, resource: Resource) -> bool:
        skipped = self.renderer.repository.settings.skip_kinds
        return bool(skipped) and bool({resource.kind, f"{resource.api_version}/{resource.kind}"} & skipped)

    def _verdicts(self, together: Sequence[Path], alone: Sequence[Path]) -> dict[Path, kubeconform.Verdict | ToolError]:
        """A verdict on each file; those `alone` bring definitions that count for them only."""
        found: dict[Path, kubeconform.Verdict | ToolError] = {}
        for group in filter(None, (together, *([file] for file in alone))):
            found |= self._tried(group)
        return found

    def _tried(self, files: Sequence[Path]) -> dict[Path, kubeconform.Verdict | ToolError]:
        """The verdicts of one run. What fails for many files at once is tried for each of them alone."""
        try:
            return dict(self._held_to_schemas(files))
        except ToolError as error:
            if len(files) == 1:
                return {files[0]: error}
            return {file: verdict for one in files for file, verdict in self._tried([one]).items()}

    def _held_to_schemas(self, files: Sequence[Path]) -> dict[Path, kubeconform.Verdict]:
        settings = self.renderer.repository.settings
        locations = list(self._schema_locations)
        if len(files) == 1:
            # A definition that the render holds counts before the tree's: it is what is applied.
            resources = split(files[0].read_bytes())
            own = [resource.document for resource in resources if resource.kind == _DEFINITION]
            if own and (folder := schemas.custom(own, self.cache)):
                locations.insert(0, f"{folder}/{schemas.TEMPLATE}")
        return kubeconform.check(
            self.program,
            files,
            schemas=locations,
            skip=sorted(settings.skip_kinds),
            timeout=settings.timeout_seconds * len(files),
        )

    def _judged(
        self, checked: Checked, file: Path, verdict: kubeconform.Verdict | ToolError, seconds: float
    ) -> Checked:
        """What is known of an overlay with the verdict on its render added."""
        checked = replace(checked, seconds=checked.seconds + seconds)
        if isinstance(verdict, ToolError):
            return replace(checked, errors=(verdict,))
        overlay = checked.overlay
        findings = self._schema_findings(overlay, verdict, list(split(file.read_bytes()))) if verdict.invalid else []
        return replace(
            checked, findings=(*findings, *checked.findings), errors=tuple(self._unchecked(overlay, verdict))
        )

    def _schema_findings(
        self, overlay: Overlay, verdict: kubeconform.Verdict, resources: Sequence[Resource]
    ) -> list[Finding]:
        repository = self.renderer.repository
        closure = repository.tree.closure(overlay.directory)
        ids: dict[tuple[str, str], set[str]] = {}
        for resource in resources:
            ids.setdefault((resource.kind, resource.id.name), set()).add(str(resource.id))
        findings = []
        for complaint in verdict.invalid:
            known = ids.get((complaint.kind, complaint.name), set())
            shown = known.pop() if len(known) == 1 else f"{complaint.kind}/{complaint.name}"
            for pointer, message in complaint.fields or (("/", complaint.message),):
                unknown = re.search(r"additional properties? '([^']+)'", message)
                place = locate.resource(
                    closure, complaint.kind, complaint.name, f"{pointer}/{unknown[1]}" if unknown else pointer
                )
                findings.append(
                    Finding(
                        SCHEMA,
                        f"{pointer}: {message}",
                        resource=shown,
                        file=repository.tree.name(place[0]) if place else "",
                        line=place[1] if place else 0,
                        overlay=overlay.path,
                        mend=f"see the {complaint.kind} schema of Kubernetes {self.kubernetes_version}",
                    )
                )
        return findings

    def _unchecked(self, overlay: Overlay, verdict: kubeconform.Verdict) -> list[KustodianError]:
        kinds: dict[str, list[str]] = {}
        for complaint in verdict.unchecked:
            missing = complaint.message.startswith("could not find schema")
            reason = "no schema" if missing else complaint.message
            kinds.setdefault(f"{complaint.api_version}/{complaint.kind}: {reason}", []).append(complaint.name)
        return [
            RenderError(
                f"{overlay.path}: {kind} ({len(names)}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''})",
                hint="add its CustomResourceDefinition to the repository, or list the kind under `skipKinds` "
                "in kustodian.yaml",
            )
            for kind, names in kinds.items()
        ]

    def _config_findings(self, overlay: Overlay, resources: list[Resource]) -> list[Finding]:
        repository = self.renderer.repository
        pattern = repository.settings.config_schema
        if not pattern or overlay not in repository.overlays:
            return []
        schema = repository.root / pattern.replace("{env}", overlay.environment)
        violations = list(config.check(config.configuration(resources), schema))
        closure = repository.tree.closure(overlay.directory) if violations else None
        findings = []
        for violation in violations:
            place = locate.config_key(closure, overlay.directory, violation.key) if closure and violation.key else None
            where = ".".join(filter(None, (violation.config_map, violation.key)))
            findings.append(
                Finding(
                    CONFIG,
                    f"{where}: {violation.message}" if where else violation.message,
                    resource=f"ConfigMap/{violation.config_map}" if violation.config_map else "",
                    file=repository.tree.name(place[0]) if place else "",
                    line=place[1] if place else 0,
                    overlay=overlay.path,
                    mend=f"the rule is in {repository.tree.name(schema)}",
                )
            )
        return findings
