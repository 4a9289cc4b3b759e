"""`validate`: overlays → renders → findings, and the findings of the tree that they come from.

A broken rule is a finding. What could not be checked is an error: an overlay that does not render, a kind without a
schema, a schema that is none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kustodian import locate, pool
from kustodian.errors import ExitCode, Interrupted, KustodianError, RenderError
from kustodian.finding import Finding
from kustodian.render import Renderer
from kustodian.repository import Overlay
from kustodian.resource import Resource, split
from kustodian.validate import config, kubeconform, schemas, tree

SCHEMA = "schema"
CONFIG = "config"


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
        """Check each overlay and, once, the tree. `on_done` sees each overlay as it finishes."""
        checked: dict[int, Checked] = {}
        findings, _definitions = self._tree
        _ = self._schema_locations  # made before the workers start, which would each make them
        for position, result in pool.each(self._check, overlays):
            checked[position] = result
            on_done(result)
        return Report(tuple(checked[position] for position in sorted(checked)), tuple(findings))

    @cached_property
    def _tree(self) -> tuple[list[Finding], list[dict[str, Any]]]:
        repository = self.renderer.repository
        return tree.check(repository.root, tree.files(repository.root, repository.settings.ignore))

    @cached_property
    def _schema_locations(self) -> list[str]:
        locations = [f"{schemas.kubernetes(self.kubernetes_version, self.cache)}/{schemas.KUBERNETES}"]
        if custom := schemas.custom(self._tree[1], self.cache):
            locations.append(f"{custom}/{schemas.CUSTOM}")
        return locations

    def _check(self, overlay: Overlay) -> Checked:
        started = time.monotonic()
        try:
            text = self.renderer.render(overlay)
            resources = list(split(text))
            verdict = self._held_to_schemas(text, resources)
            findings = [
                *self._schema_findings(overlay, verdict, resources),
                *self._config_findings(overlay, resources),
            ]
        except Interrupted:
            raise
        except KustodianError as error:
            return Checked(overlay, time.monotonic() - started, errors=(error,))
        return Checked(
            overlay,
            time.monotonic() - started,
            len(resources),
            verdict.skipped,
            tuple(findings),
            tuple(self._unchecked(overlay, verdict)),
        )

    def _held_to_schemas(self, text: bytes, resources: Sequence[Resource]) -> kubeconform.Verdict:
        settings = self.renderer.repository.settings
        locations = list(self._schema_locations)
        # Definitions that only the render holds (from a remote base, say) count as well.
        own = [resource.document for resource in resources if resource.kind == "CustomResourceDefinition"]
        if own and (folder := schemas.custom(own, self.cache)):
            locations.append(f"{folder}/{schemas.CUSTOM}")
        return kubeconform.check(
            self.program,
            text,
            schemas=locations,
            skip=sorted(settings.skip_kinds),
            timeout=settings.timeout_seconds,
        )

    def _schema_findings(
        self, overlay: Overlay, verdict: kubeconform.Verdict, resources: Sequence[Resource]
    ) -> list[Finding]:
        if not verdict.invalid:
            return []
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
        closure = repository.tree.closure(overlay.directory)
        findings = []
        for violation in config.check(config.configuration(resources), schema):
            place = locate.config_key(closure, overlay.directory, violation.key) if violation.key else None
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
