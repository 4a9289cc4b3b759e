"""Each folder beside this file is one behaviour of the secrets generator: `input/`, and what it renders to.

`want.sealed.yaml` is rendered without any key, `want.revealed.yaml` with the public demo key. Both are byte for byte
what plain kustomize prints with the same generator. To change them: `uv run pytest tests/golden --update-golden`.
"""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.render import Renderer, Secrets
from kustodian.repository import Repository
from kustodian.settings import Settings

from ..conftest import DEMO_KEY

HERE = Path(__file__).parent
BEHAVIOURS = sorted(path.parent.name for path in HERE.glob("*/input"))


@pytest.mark.parametrize("secrets", Secrets, ids=lambda mode: mode.value)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_golden(
    behaviour: str,
    secrets: Secrets,
    tool: Callable[[str], Path],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if secrets is Secrets.REVEALED:
        monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(DEMO_KEY))
    repository = Repository(HERE / behaviour, Settings())
    renderer = Renderer(repository, tool("kustomize"), secrets, tool("sops"))
    overlay = repository.overlay_at(HERE / behaviour / "input")
    got = renderer.render(overlay)

    plain = subprocess.run(
        [tool("kustomize"), "build", "--enable-alpha-plugins", "--enable-exec", "input"],
        cwd=HERE / behaviour,
        env={**os.environ, **renderer.environment},
        capture_output=True,
        check=True,
    )
    assert got == plain.stdout

    file = HERE / behaviour / f"want.{secrets.value}.yaml"
    if request.config.getoption("--update-golden"):
        file.write_bytes(got)
    want = file.read_bytes()
    if got != want:
        lines = difflib.unified_diff(want.decode().splitlines(), got.decode().splitlines(), "want", "got", lineterm="")
        pytest.fail("\n".join(lines))
