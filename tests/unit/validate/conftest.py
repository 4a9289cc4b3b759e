from __future__ import annotations

from pathlib import Path

import pytest
from kustodian.validate import schemas


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas of one Kubernetes version, converted once into a cache of our own."""
    return schemas.kubernetes("1.36", tmp_path_factory.mktemp("cache"))
