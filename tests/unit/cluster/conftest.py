from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.cluster import PROGRAMS, certificates
from kustodian.cluster.certificates import Certificates
from kustodian.cluster.plan import Plan, free_ports

from ..kit import write


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A cluster's certificates."""
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def plan(tmp_path: Path, made: Certificates) -> Plan:
    """A cluster in a folder whose name has a space, with programs that are empty files."""
    folder = tmp_path / "a cluster"
    for name in ("home", "tools", "tmp", "logs"):
        (folder / name).mkdir(parents=True)
    programs = {name: tmp_path / "bin" / name / name for name in (*PROGRAMS, "redis-server")}
    write(tmp_path, {path.relative_to(tmp_path).as_posix(): "" for path in programs.values()})
    return Plan(
        folder=folder,
        programs=programs,
        certificates=made,
        ports=free_ports(),
        kubeconfig=folder / "kubeconfig",
        encryption=folder / "encryption.yaml",
        audit_policy=folder / "audit-policy.yaml",
        rendering={"PATH": "/generator:/usr/bin", "SOPS_AGE_KEY_FILE": "/keys.txt", "KUSTODIAN_SECRETS": "revealed"},
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, so that no cluster of anybody's is met."""
    monkeypatch.setenv("KUSTODIAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def kustomize(tool: Callable[[str], Path]) -> Path:
    return tool("kustomize")
