"""One call of our secrets generator, sealed and revealed, against `sops decrypt` of the same file."""

from __future__ import annotations

from pathlib import Path

from kustodian.render import Renderer, Secrets
from kustodian.repository import Repository
from kustodian.secrets import sops
from machine import ROOT, program
from measure import Command, Row, environment, pairs

_OVERLAY = ROOT / "overlays" / "development"
_FILE = "secrets/flowlet-secrets.sops.yaml"
_INPUT = f"""
apiVersion: config.kubernetes.io/v1
kind: ResourceList
items: []
functionConfig:
  apiVersion: viaduct.ai/v1
  kind: ksops
  metadata: {{name: one}}
  files: [{_FILE}]
"""


def rows(work: Path) -> list[Row]:
    repository = Repository.open(ROOT)
    program_path = program("sops")
    (work / "input").write_text(_INPUT, "utf-8")
    decrypt = Command((program_path, "decrypt", _FILE), _OVERLAY, environment(sops.environment(repository.demo_keys)))
    found = []
    for mode in Secrets:
        variables = Renderer(repository, Path(program("kustomize")), mode, Path(program_path)).environment
        plugin = Path(variables["PATH"].split(":")[0]) / "ksops"
        ours = Command((str(plugin),), _OVERLAY, environment(variables), stdin=work / "input")
        found.append(pairs(f"generator, one file, {mode.value} / sops decrypt", ours, decrypt, count=15))
    return found
