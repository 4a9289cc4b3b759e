"""One environment of this repository: `invoke build --env staging` against kustomize with the same generator."""

from __future__ import annotations

from pathlib import Path

from kustodian.render import Renderer
from kustodian.repository import Repository
from machine import BIN, ROOT, program
from measure import Command, Row, environment, once, pairs


def rows(work: Path) -> list[Row]:
    kustomize = program("kustomize")
    ours = Command((str(BIN / "invoke"), "build", "--env", "staging", "--output", str(work)), ROOT, environment())
    plain = Command(
        (kustomize, "build", "--enable-alpha-plugins", "--enable-exec", "overlays/staging"),
        ROOT,
        environment(Renderer(Repository.open(ROOT), Path(kustomize)).environment),
        stdout=work / "plain.yaml",
    )
    once(ours), once(plain)
    if (work / "overlays/staging.yaml").read_bytes() != (work / "plain.yaml").read_bytes():
        raise RuntimeError("the two outputs differ")
    return [pairs("build --env staging / kustomize build, same generator", ours, plain, count=15, target=2.5)]
