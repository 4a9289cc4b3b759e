"""The two places of the lock say the same, and neither says where packages come from."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from ..conftest import ROOT


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "scripts" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lock"] = module
    spec.loader.exec_module(module)
    return module


def test_the_constraints_are_the_locked_versions(lock: ModuleType) -> None:
    locked = lock.versions(lock.LOCK.read_text())
    assert len(locked) > 30
    assert lock.constraints(lock.PROJECT.read_text()) == locked


def test_every_locked_package_has_hashes_and_no_address(lock: ModuleType) -> None:
    text = lock.LOCK.read_text()
    packages = [entry for entry in text.replace("\\\n", "").splitlines() if "==" in entry and not entry.startswith(" ")]
    assert len(packages) == len(lock.versions(text))
    assert all("--hash=sha256:" in entry for entry in packages)
    assert "://" not in text
