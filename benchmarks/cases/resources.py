"""10,000 resources: our validation step against kubeconform alone, and the whole `kustodian validate --all`."""

from __future__ import annotations

import sys
from pathlib import Path

from inputs import platform
from kustodian import toolchain
from kustodian.validate import schemas
from machine import BIN, ROOT, cores, program
from measure import Command, Row, environment, once, pairs

_OVERLAYS, _EACH = 20, 500
_VERSION = "1.36"
_DRIVER = ROOT / "benchmarks" / "drivers" / "validation_step.py"


def rows(work: Path) -> list[Row]:
    root = platform.generate(work / "platform", _OVERLAYS, _EACH)
    kustodian = (str(BIN / "kustodian"), "--repo", str(root))
    once(Command((*kustodian, "build", "--all"), root, environment()))
    rendered = sorted((root / "build" / "overlays").glob("*.yaml"))
    location = schemas.kubernetes(_VERSION, toolchain.cache_folder()) / schemas.TEMPLATE
    flags = ("-strict", "-summary", "-output", "json", "-schema-location", str(location))
    kubeconform, kustomize = program("kubeconform"), program("kustomize")
    step = Command((sys.executable, str(_DRIVER), str(root), str(root / "build"), _VERSION), root, environment())
    alone = Command((kubeconform, *flags, *map(str, rendered)), root, environment())
    tuned = Command(alone.argv, root, {**environment(), "GOGC": "400"})
    each = Command(("xargs", f"-P{cores()}", "-n1", kubeconform, *flags), root, environment(), stdin=work / "rendered")
    (work / "rendered").write_text("".join(f"{path}\n" for path in rendered), "utf-8")
    whole = Command((*kustodian, "validate", "--all", "--kubernetes-version", _VERSION), root, environment())
    pipe = f'{kustomize} build "$0" | {kubeconform} {" ".join(flags)}'.replace("{{", "'{{").replace("}}", "}}'")
    piped = Command(("xargs", f"-P{cores()}", "-n1", "sh", "-c", pipe), root, environment(), stdin=work / "overlays")
    (work / "overlays").write_text("".join(f"overlays/{path.stem}\n" for path in rendered), "utf-8")
    count = f"{_OVERLAYS * _EACH:,} resources"
    return [
        pairs(f"validation step, {count} / one kubeconform over the files", step, alone, count=5, target=1.5),
        pairs("the same / the same with GOGC=400, as ours sets it", step, tuned, count=5),
        pairs("the same / xargs kubeconform, a process per overlay", step, each, count=5),
        pairs(f"validate --all, {count} / xargs kustomize build, kubeconform", whole, piped, count=3),
    ]
