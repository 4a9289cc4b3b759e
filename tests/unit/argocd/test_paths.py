from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kustodian.argocd import paths
from kustodian.repository import Overlay, Repository

from tests.conftest import GENERATOR

from ..kit import Files, write

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"


# How Argo CD reads the annotation


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        ("/base;/overlays/a", ("/base", "/overlays/a")),
        (" .; /base ;;", (".", "/base")),
        ("", ()),
        (" ; ", ()),
    ],
)
def test_paths_stand_between_semicolons(annotation: str, found: tuple[str, ...]) -> None:
    assert paths.split(annotation) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/base", "/base"),
        (".", "/overlays/a"),
        ("secrets", "/overlays/a/secrets"),
        ("../../base/", "/base"),
    ],
)
def test_what_has_no_leading_slash_starts_at_the_source(path: str, found: str) -> None:
    assert paths.absolute(path, "overlays/a") == found


@pytest.mark.parametrize(
    ("path", "file", "covered"),
    [
        ("/base", "base/a.yaml", True),
        ("/base/", "base/a.yaml", True),
        ("/base", "base/b/c.yaml", True),
        ("/base", "bases/a.yaml", False),
        ("/base/a.yaml", "base/a.yaml", True),
        ("/base/a.yaml", "base/a.yaml.bak", False),
        ("/base/a.yaml/", "base/a.yaml", False),
        ("/base/a", "base", False),
        ("/", "README.md", True),
        ("/.", "base/a.yaml", True),
        ("/overlays/../base", "base/a.yaml", True),
        ("/base/*.yaml", "base/a.yaml", True),
        ("/base/*", "base/b/c.yaml", False),
        ("/*/a.yaml", "base/a.yaml", True),
        ("/base/?.yaml", "base/ab.yaml", False),
        ("/base/[a-c].yaml", "base/b.yaml", True),
        ("/base/[^a-c].yaml", "base/b.yaml", False),
        ("/base/[", "base/[", True),
        ("/base/[", "base/x", False),
        (r"/base/\*.yaml", "base/*.yaml", True),
        (r"/base/\*.yaml", "base/a.yaml", False),
        ("/base\\", "base/a", False),
    ],
)
def test_a_path_covers_what_argo_cd_says_it_covers(path: str, file: str, covered: bool) -> None:
    assert paths.covers(path, file) == covered


# What is read


class Read(NamedTuple):
    root: Path
    repository: Repository
    overlay: Overlay

    @property
    def files(self) -> frozenset[str]:
        return paths.read(self.root, self.repository.tree.closure(self.overlay.directory))

    @property
    def cover(self) -> tuple[str, ...]:
        return paths.cover(self.repository, self.overlay, self.repository.tree.closure(self.overlay.directory))


def reading(root: Path, files: Files, overlay: str = "overlays/a") -> Read:
    repository = Repository.open(write(root, files))
    return Read(root, repository, repository.overlay_at(root / overlay))


def test_the_folders_of_kustomizations_are_covered_whole(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        {
            "overlays/a/kustomization.yaml": "resources: [../../base]\ncomponents: [../../components/c]\n",
            "overlays/b/kustomization.yaml": "resources: [../../base]\n",
            "base/kustomization.yaml": "resources: [web]\n",
            "base/web/kustomization.yaml": "resources: [web.yaml]\n",
            "base/web/web.yaml": CONFIG_MAP,
            "components/c/kustomization.yaml": "kind: Component\n",
            "components/d/kustomization.yaml": "kind: Component\n",
        },
    )
    assert found.cover == ("/base", "/components/c", "/overlays/a")


def test_encrypted_files_of_a_generator_elsewhere_are_covered(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        {
            "overlays/a/kustomization.yaml": "generators: [secrets.yaml]\n",
            "overlays/a/secrets.yaml": f"{GENERATOR}files: [../../shared/s.sops.yaml]\n",
            "shared/s.sops.yaml": "a: b\n",
        },
    )
    assert found.cover == ("/overlays/a", "/shared/s.sops.yaml")


def test_a_folder_with_another_overlay_is_covered_file_by_file(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        {
            "overlays/a/kustomization.yaml": "resources: [a.yaml, below]\n",
            "overlays/a/a.yaml": CONFIG_MAP,
            "overlays/a/below/kustomization.yaml": "resources: [b.yaml]\n",
            "overlays/a/below/b.yaml": CONFIG_MAP,
            "overlays/a/other/kustomization.yaml": "resources: [b.yaml]\n",
            "overlays/a/other/b.yaml": CONFIG_MAP,
        },
    )
    assert found.cover == ("/overlays/a/a.yaml", "/overlays/a/below", "/overlays/a/kustomization.yaml")


def test_the_root_is_never_covered_whole(tmp_path: Path) -> None:
    files = {"kustomization.yaml": "resources: [base]\n", "base/kustomization.yaml": "{}\n", "README.md": ""}
    assert reading(tmp_path, files, ".").cover == ("/base", "/kustomization.yaml")


def test_links_on_the_way_are_covered_and_what_they_lead_to(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "overlays/a/kustomization.yaml": "resources: [../../current]\n",
            "versions/2/kustomization.yaml": "resources: [a.yaml]\n",
            "elsewhere/a.yaml": CONFIG_MAP,
            "elsewhere/kustomization.yaml": "{}\n",
        },
    )
    (tmp_path / "current").symlink_to("newest")
    (tmp_path / "newest").symlink_to("versions/2")
    (tmp_path / "versions/2/a.yaml").symlink_to("../../elsewhere/a.yaml")
    assert reading(tmp_path, {}).cover == ("/current", "/elsewhere/a.yaml", "/newest", "/overlays/a", "/versions/2")


def test_a_kustomization_that_is_a_link_is_covered_with_its_target(tmp_path: Path) -> None:
    write(tmp_path, {"shared/kustomization.yaml": "{}\n", "overlays/b/kustomization.yaml": "{}\n"})
    (tmp_path / "overlays/a").mkdir()
    (tmp_path / "overlays/a/kustomization.yaml").symlink_to("../../shared/kustomization.yaml")
    assert reading(tmp_path, {}).cover == ("/overlays/a", "/shared/kustomization.yaml")


def test_an_overlay_that_is_a_link_is_covered_with_its_target(tmp_path: Path) -> None:
    write(tmp_path, {"deploy/a/kustomization.yaml": "{}\n"})
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays/a").symlink_to("../deploy/a")
    assert reading(tmp_path, {}).cover == ("/deploy/a", "/overlays/a")


@pytest.mark.parametrize("name", ["x;y", "x "])
def test_what_the_annotation_can_not_name_is_covered_by_the_folder_above(name: str, tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        {
            "overlays/a/kustomization.yaml": f"resources: ['../../shared/{name}']\n",
            f"shared/{name}/kustomization.yaml": "{}\n",
        },
    )
    assert found.cover == ("/overlays/a", "/shared")


# For any repository

FOLDERS = ("overlays/a", "overlays/b", "overlays/a/c", "base", "base/web", "shared", "shared/deep/er")
FEATURES = ("resource", "patch", "generator", "encrypted", "link")


class Folder(NamedTuple):
    parent: int
    features: frozenset[str]


TREES = st.tuples(
    *(
        st.builds(Folder, st.integers(-1, max(-1, number - 1)), st.frozensets(st.sampled_from(FEATURES)))
        for number in range(len(FOLDERS))
    )
)


def plant(root: Path, tree: tuple[Folder, ...]) -> None:
    """Folders that build on each other without a circle, and files in them of every sort that a build reads."""
    root.mkdir()
    for number, (name, folder) in enumerate(zip(FOLDERS, tree, strict=True)):
        place = root / name
        place.mkdir(parents=True, exist_ok=True)
        below = [
            child
            for child, other in zip(FOLDERS, tree, strict=True)
            if other.parent == number and not name.startswith(f"{child}/")
        ]
        up = "/".join([".."] * len(Path(name).parts))
        lines = [f"resources: [{', '.join(['own.yaml', *(f'{up}/{child}' for child in below)])}]"]
        own = CONFIG_MAP.replace("NAME", f"own-{number}")
        if "link" in folder.features and name != "shared":
            (root / "linked").mkdir(exist_ok=True)
            (root / "linked" / f"{number}.yaml").write_text(own)
            (place / "own.yaml").symlink_to(f"{up}/linked/{number}.yaml")
        else:
            (place / "own.yaml").write_text(own)
        if "patch" in folder.features:
            lines.append("patches: [{path: patch.yaml}]")
            (place / "patch.yaml").write_text(f"{own}data: {{patched: by-{number}}}\n")
        if "generator" in folder.features:
            lines.append(f"configMapGenerator: [{{name: made-{number}, files: [data/made.txt]}}]")
            write(place, {"data/made.txt": name})
        if "encrypted" in folder.features:
            lines.append("generators: [secrets.yaml]")
            write(place, {"secrets.yaml": f"{GENERATOR}files: [{up}/keys/{number}.yaml]\n"})
            write(root, {f"keys/{number}.yaml": "a: b\n"})
        (place / "kustomization.yaml").write_text("\n".join(lines))
    write(root, {"README.md": "", "base/unread.txt": "", "keys/unread.yaml": ""})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_nothing_that_is_read_is_missed_and_no_path_is_too_many(
    tree: tuple[Folder, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree") / "repo"
    plant(root, tree)
    repository = Repository.open(root)
    for overlay in repository.overlays:
        found = Read(root, repository, overlay)
        cover = found.cover
        assert [file for file in found.files if not any(paths.covers(path, file) for path in cover)] == []
        for path in cover:
            rest = [other for other in cover if other != path]
            assert any(paths.covers(path, file) for file in found.files), "nothing reads it"
            assert any(not any(paths.covers(other, file) for other in rest) for file in found.files), "not needed"
        others = [other.path for other in repository.overlays if other != overlay]
        for other in others:
            marked = f"{other}/kustomization.yaml"
            assert marked in found.files or not any(paths.covers(path, marked) for path in cover)
    shutil.rmtree(root)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_what_is_covered_is_enough_for_the_real_kustomize(
    tree: tuple[Folder, ...], tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]
) -> None:
    """A copy of nothing but what the paths cover renders to the same bytes."""
    root = tmp_path_factory.mktemp("tree") / "repo"
    plant(root, tuple(folder._replace(features=folder.features - frozenset({"encrypted"})) for folder in tree))
    found = reading(root, {})
    copied = root.parent / "copy"
    for file in root.rglob("*"):
        name = file.relative_to(root)
        if not file.is_dir() and any(paths.covers(path, name.as_posix()) for path in found.cover):
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copied / name, follow_symlinks=False)
    # Without the restriction, or no link could lead out of a folder.
    command = [str(tool("kustomize")), "build", "--load-restrictor", "LoadRestrictionsNone"]
    built = [
        subprocess.run([*command, str(place / "overlays/a")], capture_output=True, check=True).stdout
        for place in (root, copied)
    ]
    assert built[0] == built[1] != b""
