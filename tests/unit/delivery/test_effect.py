"""Which renders a change alters, as found by comparing them, over repositories that hypothesis makes up."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kustodian.delivery.effect import Renders, same
from kustodian.delivery.snapshot import snapshot
from kustodian.errors import RenderError
from kustodian.git import Git
from kustodian.render import Renderer
from kustodian.repository import Repository

from ..kit import write
from .conftest import config_map, git

OVERLAYS = ("overlays/a", "overlays/b")
PARTS = st.sampled_from(["../../base", "../../more", "own.yaml", "../../base/gone.yaml"])
STATE = st.fixed_dictionaries(
    {
        "base/map.yaml": st.sampled_from(
            [config_map("base", "1"), config_map("base", "2"), "# 1\n" + config_map("base", "1")]
        ),
        "more/map.yaml": st.sampled_from([config_map("more", "1"), config_map("more", "2")]),
        "README.md": st.sampled_from(["1", "2"]),
        **{f"{path}/own.yaml": st.sampled_from([config_map("own", "1"), config_map("own", "2")]) for path in OVERLAYS},
        **{
            f"{path}/kustomization.yaml": st.lists(PARTS, min_size=1, max_size=2, unique=True).map(
                lambda parts: f"resources: [{', '.join(parts)}]\n"
            )
            for path in OVERLAYS
        },
    }
)
ALWAYS = {f"{name}/kustomization.yaml": "resources: [map.yaml]\n" for name in ("base", "more")}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=STATE, after=STATE)
def test_every_overlay_whose_render_differs_is_found(
    before: dict[str, str], after: dict[str, str], tool: Callable[[str], Path]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        git(root, "init", "--quiet")
        commits, renders = [], []
        for files in (before, after):
            write(root, {**files, **ALWAYS})
            git(root, "add", "--all")
            git(root, "commit", "--quiet", "--allow-empty", "--message", "A state")
            commits.append(git(root, "rev-parse", "HEAD"))
            renders.append([outcome(root, tool("kustomize"), path) for path in OVERLAYS])
        wanted = [path for path, old, new in zip(OVERLAYS, *renders, strict=True) if old != new]
        with snapshot(Git(root)) as shot:
            found = Renders(shot, Renderer(Repository.open(root), tool("kustomize")))
            reached = found.reached(commits[0], commits[1])
            assert set(wanted) <= set(reached)
            old, new = commits
            assert list(found.changed(old, new, reached)) == wanted
            assert found.reached(old, old) == ()


def outcome(root: Path, kustomize: Path, path: str) -> bytes:
    """The render by itself; nothing where there is none."""
    repository = Repository.open(root)
    try:
        return Renderer(repository, kustomize).render(repository.overlay_at(root / path))
    except RenderError:
        return b""


def test_two_failures_are_alike_and_a_failure_is_like_nothing_else() -> None:
    error, other = RenderError("one"), RenderError("other")
    assert same(error, other)
    assert not same(error, None)
    assert not same(b"", error)
    assert not same(b"", None)
    assert same(None, None)


@pytest.mark.parametrize(
    ("change", "reached"),
    [
        ({"README.md": "x"}, ()),
        ({"kustodian.yaml": "overlays: overlays\n"}, OVERLAYS),
        ({".gitattributes": "* text\n"}, OVERLAYS),
        ({"base/map.yaml": config_map("base", "2")}, ("overlays/a",)),
        ({"kustodian.yaml": "unknown: key\n"}, OVERLAYS),
    ],
)
def test_what_can_change_every_render_reaches_every_overlay(
    tmp_path: Path, tool: Callable[[str], Path], change: dict[str, str], reached: tuple[str, ...]
) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, {**ALWAYS, "base/map.yaml": config_map("base", "1"), "more/map.yaml": config_map("more", "1")})
    for path, base in zip(OVERLAYS, ("base", "more"), strict=True):
        write(tmp_path, {f"{path}/kustomization.yaml": f"resources: [../../{base}]\n"})
    renderer = Renderer(Repository.open(tmp_path), tool("kustomize"))
    repository = Git(tmp_path)
    for files in ({}, change):
        write(tmp_path, files)
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "--message", "A state")
    with snapshot(repository) as shot:
        found = Renders(shot, renderer)
        first = repository.between("HEAD~1", "HEAD")[0]
        assert found.reached(git(tmp_path, "rev-parse", "HEAD~1"), first) == reached
        assert found.reached("", git(tmp_path, "rev-parse", "HEAD~1")) == OVERLAYS
