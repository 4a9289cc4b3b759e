"""300 overlays with patches: `kustodian build --all` against `xargs -P… kustomize build`, files written by both."""

from __future__ import annotations

import filecmp
from pathlib import Path

from inputs import fleet
from machine import BIN, cores, program
from measure import Command, Row, environment, once, pairs

_COUNT = 300


def rows(work: Path) -> list[Row]:
    root = fleet.generate(work / "fleet", _COUNT)
    outputs = work / "plain"
    (outputs / "overlays").mkdir(parents=True)
    paths = fleet.paths(root)
    arguments = work / "arguments"
    arguments.write_text("".join(f"{path} -o {outputs}/{path}.yaml\n" for path in paths), "utf-8")
    ours = Command((str(BIN / "kustodian"), "--repo", str(root), "build", "--all"), root, environment())
    xargs = ("xargs", f"-P{cores()}", "-n3", program("kustomize"), "build")
    plain = Command(xargs, root, environment(), stdin=arguments)
    tuned = Command(xargs, root, {**environment(), "GOGC": "400"}, stdin=arguments)
    once(ours), once(plain)
    for path in paths:
        if not filecmp.cmp(root / "build" / f"{path}.yaml", outputs / f"{path}.yaml", shallow=False):
            raise RuntimeError(f"the two outputs differ for {path}")
    return [
        pairs(f"build --all, {_COUNT} overlays / xargs kustomize build", ours, plain, count=3, target=1.0),
        pairs("the same / the same with GOGC=400, as ours sets it", ours, tuned, count=3),
    ]
