"""Every test that asks for `rendered` runs once for each environment."""

from __future__ import annotations

import pytest

from .facts import Rendered
from .rendering import render

ENVIRONMENTS = ("development", "staging", "production")


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rendered(environment: str) -> Rendered:
    return Rendered(environment, render(environment))


@pytest.fixture
def all_rendered() -> dict[str, Rendered]:
    return {environment: Rendered(environment, render(environment)) for environment in ENVIRONMENTS}
