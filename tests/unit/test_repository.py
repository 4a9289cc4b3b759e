from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from kustodian.errors import RepositoryError, UsageError
from kustodian.repository import Overlay, Repository

from .kit import write

ROOT = "resources: []\n"
THREE = {f"overlays/{name}/kustomization.yaml": ROOT for name in ("development", "production", "staging")}


def paths(repository: Repository) -> list[str]:
    return [overlay.path for overlay in repository.overlays]


def select(repository: Repository, *environments: str, every: bool = False, roots: tuple[Path, ...] = ()) -> list[str]:
    return [overlay.path for overlay in repository.select(environments=environments, every=every, roots=roots)]


# Where the repository is


@pytest.mark.parametrize("mark", ["kustodian.yaml", ".git/config", ".sops.yaml", "overlays/x"])
def test_the_root_is_found_from_a_folder_deep_below(tmp_path: Path, mark: str) -> None:
    root = write(tmp_path / "repo", {mark: "", "a/b ü/c/file": ""})
    assert Repository.discover(root / "a" / "b ü" / "c").root == root
    assert Repository.discover(root).root == root


def test_a_worktree_whose_git_is_a_file_is_a_root(tmp_path: Path) -> None:
    write(tmp_path / "repo", {".git": "gitdir: elsewhere\n", "a/file": ""})
    assert Repository.discover(tmp_path / "repo" / "a").root == tmp_path / "repo"


def test_the_nearest_root_of_the_surest_mark_counts(tmp_path: Path) -> None:
    write(tmp_path / "outer", {".git/config": "", "inner/.sops.yaml": "", "inner/overlays/a/file": ""})
    # Rules and overlays may lie in any folder of a repository; git's folder does not.
    assert Repository.discover(tmp_path / "outer" / "inner" / "overlays" / "a").root == tmp_path / "outer"
    write(tmp_path / "outer", {"inner/kustodian.yaml": ""})
    assert Repository.discover(tmp_path / "outer" / "inner" / "overlays" / "a").root == tmp_path / "outer" / "inner"
    write(tmp_path / "outer", {"inner/overlays/.git/config": ""})
    nearest = tmp_path / "outer" / "inner" / "overlays"
    assert Repository.discover(nearest / "a").root == nearest


def test_overlays_are_a_surer_mark_than_rules(tmp_path: Path) -> None:
    write(tmp_path, {"overlays/a/.sops.yaml": ""})
    assert Repository.discover(tmp_path / "overlays" / "a").root == tmp_path


def test_the_root_is_the_real_folder_behind_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", THREE)
    (tmp_path / "link").symlink_to("real")
    repository = Repository.discover(tmp_path / "link" / "overlays" / "staging")
    assert repository.root == tmp_path / "real"
    # … and what is named through the link is the same overlay.
    assert select(repository, roots=(tmp_path / "link" / "overlays" / "staging",)) == ["overlays/staging"]


def test_without_any_mark_the_folder_itself_is_the_root(tmp_path: Path) -> None:
    # Only where no folder above has a mark; /tmp has none.
    write(tmp_path, {"a/b/file": ""})
    assert Repository.discover(tmp_path / "a" / "b").root == tmp_path / "a" / "b"


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(UsageError) as raised:
            Repository.open(path)
        assert raised.value.message == f"{path} is not a folder"
        assert raised.value.hint == "--repo takes the root of a repository"


def test_the_settings_are_read_with_the_repository(tmp_path: Path) -> None:
    write(tmp_path, {"kustodian.yaml": "demoKeys: [keys/a, keys/b]\n"})
    assert Repository.open(tmp_path).demo_keys == (tmp_path / "keys" / "a", tmp_path / "keys" / "b")
    write(tmp_path, {"kustodian.yaml": "oops: 1\n"})
    with pytest.raises(RepositoryError):
        Repository.open(tmp_path)


# Which overlays it has


def test_the_children_of_overlays_are_the_overlays_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            **THREE,
            "base/kustomization.yaml": ROOT,
            "components/x/kustomization.yaml": "kind: Component\n",
            "overlays/staging/config/kustomization.yaml": ROOT,
            "overlays/staging/kustomization.yaml": "resources: [config]\n",
        },
    )
    assert paths(Repository.open(tmp_path)) == ["overlays/development", "overlays/production", "overlays/staging"]


def test_an_overlay_that_another_one_builds_on_is_still_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        {**THREE, "overlays/production/kustomization.yaml": "resources: [../staging]\n"},
    )
    assert paths(Repository.open(tmp_path)) == ["overlays/development", "overlays/production", "overlays/staging"]


def test_an_overlay_that_is_a_link_is_one(tmp_path: Path) -> None:
    write(tmp_path, {**THREE, "overlays/empty/readme": "", "overlays/staging/below/file": ""})
    links = {
        "overlays/live": "production",
        "overlays/nothing": "empty",
        "overlays/broken": "gone",
        "overlays/.hidden": "production",
        "overlays/staging/below/deep": "../../production",
        "linked": "overlays/production",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    repository = Repository.open(tmp_path)
    want = ["overlays/development", "overlays/live", "overlays/production", "overlays/staging"]
    assert select(repository, every=True) == want
    assert select(repository, "live") == ["overlays/live"]


def test_nested_overlays_are_overlays_unless_referred_to(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "overlays/eu/west/kustomization.yaml": "resources: [../common]\n",
            "overlays/eu/east/kustomization.yaml": "resources: [../common]\n",
            "overlays/eu/common/kustomization.yaml": ROOT,
        },
    )
    assert paths(Repository.open(tmp_path)) == ["overlays/eu/east", "overlays/eu/west"]


def test_with_neither_overlays_nor_settings_every_root_is_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "apps/web/base/kustomization.yaml": ROOT,
            "apps/web/prod/kustomization.yaml": "resources: [../base]\ncomponents: [../../../parts/ha]\n",
            "apps/db/Kustomization": "bases: [../shared]\n",
            "apps/shared/kustomization.yml": ROOT,
            "parts/ha/kustomization.yaml": "kind: Component\n",
            "parts/unused/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
            "alone/kustomization.yaml": ROOT,
            ".hidden/kustomization.yaml": ROOT,
            "node_modules/x/kustomization.yaml": ROOT,
            "readme/no-kustomization.yaml": "",
        },
    )
    assert paths(Repository.open(tmp_path)) == ["alone", "apps/db", "apps/web/prod"]


def test_a_folder_of_plugins_is_no_root(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": "generators: [../g]\ntransformers: [../t]\nvalidators: [../v]\n",
            **{f"{name}/kustomization.yaml": ROOT for name in "gtv"},
        },
    )
    assert paths(Repository.open(tmp_path)) == ["app"]


def test_a_circle_is_found_by_its_first(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a/kustomization.yaml": ROOT,
            "b/kustomization.yaml": "resources: [../c]\n",
            "c/kustomization.yaml": "resources: [../b, ../d]\n",
            "d/kustomization.yaml": ROOT,
            "e/kustomization.yaml": "resources: [../f]\n",
            "f/kustomization.yaml": "resources: [../g]\n",
            "g/kustomization.yaml": "resources: [../f]\n",
            "h/kustomization.yaml": "resources: [.]\n",
            "unused/kustomization.yaml": "kind: Component\nresources: [../z]\n",
            "z/kustomization.yaml": ROOT,
        },
    )
    assert paths(Repository.open(tmp_path)) == ["a", "b", "e", "h"]


def test_a_child_of_the_root_that_is_referred_to_is_no_root(tmp_path: Path) -> None:
    write(tmp_path, {"base/kustomization.yaml": ROOT, "prod/kustomization.yaml": "resources: [../base]\n"})
    assert paths(Repository.open(tmp_path)) == ["prod"]


def test_a_repository_that_is_one_kustomization_is_its_own_overlay(tmp_path: Path) -> None:
    root = write(tmp_path / "my app", {"kustomization.yaml": "resources: [base]\n", "base/kustomization.yaml": ROOT})
    (overlay,) = Repository.open(root).overlays
    assert overlay == Overlay(".", root)
    assert overlay.environment == "my app"
    assert overlay.file_name() == PurePosixPath("root.yaml")


def test_a_root_that_does_not_parse_is_still_found(tmp_path: Path) -> None:
    write(tmp_path, {"a/kustomization.yaml": "a: [", "b/kustomization.yaml": "- x", "c/kustomization.yaml": ROOT})
    assert paths(Repository.open(tmp_path)) == ["a", "b", "c"]


def test_hundreds_of_roots_are_found(tmp_path: Path) -> None:
    write(tmp_path, {f"t{number:03}/app/kustomization.yaml": "resources: [../../base]\n" for number in range(300)})
    write(tmp_path, {"base/kustomization.yaml": ROOT})
    assert paths(Repository.open(tmp_path)) == [f"t{number:03}/app" for number in range(300)]


@pytest.mark.parametrize(
    ("setting", "want"),
    [
        ("clusters", ["clusters/a", "clusters/b"]),
        ("clusters/a", ["clusters/a"]),
        ("apps/*/overlays", ["apps/db/overlays/prod", "apps/web/overlays/prod", "apps/web/overlays/test"]),
        ("'**/overlays'", ["apps/db/overlays/prod", "apps/web/overlays/prod", "apps/web/overlays/test"]),
        (
            "[clusters, apps/web/overlays]",
            ["clusters/a", "clusters/b", "apps/web/overlays/prod", "apps/web/overlays/test"],
        ),
        ("[clusters, clusters/a]", ["clusters/a", "clusters/b"]),
        (
            ".",
            [
                *("apps/db/overlays/prod", "apps/web/overlays/prod", "apps/web/overlays/test"),
                "clusters/a",
                "clusters/b",
            ],
        ),
    ],
)
def test_the_setting_names_folders_or_patterns(tmp_path: Path, setting: str, want: list[str]) -> None:
    write(
        tmp_path,
        {
            "kustodian.yaml": f"overlays: {setting}\n",
            **{
                f"{path}/kustomization.yaml": ROOT
                for path in (
                    *("clusters/a", "clusters/b", "apps/web/overlays/test", "apps/web/overlays/prod"),
                    "apps/db/overlays/prod",
                )
            },
        },
    )
    assert paths(Repository.open(tmp_path)) == want


@pytest.mark.parametrize("pattern", ["gone", "apps/*/gone"])
def test_a_setting_that_finds_nothing_is_refused(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, {"kustodian.yaml": f"overlays: {pattern}\n", "a/kustomization.yaml": ROOT})
    with pytest.raises(UsageError) as raised:
        _ = Repository.open(tmp_path).overlays
    assert raised.value.message == f"kustodian.yaml: `overlays`: no folder is at {pattern}"


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"kustodian.yaml": "overlays: apps/**x\n", "a/kustomization.yaml": ROOT})
    with pytest.raises(UsageError) as raised:
        _ = Repository.open(tmp_path).overlays
    assert raised.value.message == (
        "kustodian.yaml: `overlays`: apps/**x: Invalid pattern: '**' can only be an entire path component"
    )


# Which of them a command asks for


def test_an_environment_is_named_by_its_folder_or_its_path(tmp_path: Path) -> None:
    repository = Repository.open(write(tmp_path, THREE))
    assert select(repository, "staging") == ["overlays/staging"]
    for name in ("overlays/staging", "overlays/staging/", "./overlays/staging", "staging/"):
        assert select(repository, name) == ["overlays/staging"]
    assert select(repository, "production", "development") == ["overlays/production", "overlays/development"]
    assert select(repository, "staging", "overlays/staging", "staging") == ["overlays/staging"]


def test_all_means_every_overlay_and_the_roots_besides(tmp_path: Path) -> None:
    repository = Repository.open(write(tmp_path, {**THREE, "base/kustomization.yaml": ROOT}))
    every = ["overlays/development", "overlays/production", "overlays/staging"]
    assert select(repository, every=True) == every
    roots = (tmp_path / "base", tmp_path / "overlays" / "staging")
    assert select(repository, every=True, roots=roots) == [*every, "base"]


def test_a_name_in_two_places_means_both(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "kustodian.yaml": "overlays: apps/*\n",
            "apps/a/prod/kustomization.yaml": ROOT,
            "apps/b/prod/Kustomization": "",
        },
    )
    repository = Repository.open(tmp_path)
    assert select(repository, "prod") == ["apps/a/prod", "apps/b/prod"]
    assert select(repository, "apps/b/prod") == ["apps/b/prod"]


@pytest.mark.parametrize("name", ["mein äußeres", "生产", "a b c", "d.e", "x'y"])
def test_spaces_and_other_letters_are_names_like_any(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "Ä b", {f"overlays/{name}/kustomization.yaml": ROOT})
    (overlay,) = Repository.open(root).select(environments=[name], every=False, roots=[])
    assert overlay == Overlay(f"overlays/{name}", root / "overlays" / name)
    assert overlay.environment == name
    assert overlay.file_name(".revealed.yaml") == PurePosixPath(f"overlays/{name}.revealed.yaml")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stagin", "did you mean staging?"),
        ("prodution", "did you mean production?"),
        ("zzz", "there are: development, production, staging"),
        ("", "there are: development, production, staging"),
        ("overlays", "there are: development, production, staging"),
        ("../staging", "did you mean staging?"),
    ],
)
def test_an_unknown_environment_is_answered_with_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    repository = Repository.open(write(tmp_path, THREE))
    with pytest.raises(UsageError) as raised:
        select(repository, name)
    assert raised.value.message == f"no environment is called {name!r}"
    assert raised.value.hint == hint


def test_a_long_list_of_environments_is_cut(tmp_path: Path) -> None:
    repository = Repository.open(
        write(tmp_path, {f"overlays/e{number:02}/kustomization.yaml": ROOT for number in range(13)})
    )
    with pytest.raises(UsageError) as raised:
        select(repository)
    assert raised.value.message == "nothing to do: no overlay was named"
    assert raised.value.hint == (
        "give --env NAME or --all; there are: e00, e01, e02, e03, e04, e05, e06, e07, e08, e09, e10, e11 …"
    )


def test_a_folder_that_has_no_kustomization_is_selected_so_that_it_can_be_told(tmp_path: Path) -> None:
    write(tmp_path, {**THREE, "overlays/empty/readme": "", "elsewhere/readme": ""})
    repository = Repository.open(tmp_path)
    assert select(repository, "empty") == ["overlays/empty"]
    with pytest.raises(UsageError):
        select(repository, "elsewhere")
    with pytest.raises(UsageError):
        select(repository, "..")


def test_a_component_named_as_an_overlay_is_selected_so_that_it_can_be_told(tmp_path: Path) -> None:
    repository = Repository.open(write(tmp_path, {"overlays/part/kustomization.yaml": "kind: Component\n"}))
    assert paths(repository) == []
    assert select(repository, "part") == ["overlays/part"]


def test_asking_for_nothing_or_for_both_is_refused(tmp_path: Path) -> None:
    repository = Repository.open(write(tmp_path, THREE))
    with pytest.raises(UsageError) as raised:
        select(repository)
    assert raised.value.hint == "give --env NAME or --all; there are: development, production, staging"
    with pytest.raises(UsageError) as raised:
        select(repository, "staging", every=True)
    assert (raised.value.message, raised.value.hint) == ("--all and --env contradict each other", "give one of them")


def test_all_of_nothing_is_refused(tmp_path: Path) -> None:
    repository = Repository.open(tmp_path)
    with pytest.raises(UsageError) as raised:
        select(repository, every=True)
    assert raised.value.message == f"{tmp_path} has no Kustomization to build"
    with pytest.raises(UsageError) as raised:
        select(repository, "x")
    assert raised.value.hint == "there are none"


def test_a_root_is_any_folder_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "repo", {**THREE, "base/kustomization.yaml": ROOT})
    write(tmp_path / "other", {"kustomization.yaml": ROOT})
    repository = Repository.open(root)
    monkeypatch.chdir(root / "overlays")
    roots = (Path("../base"), Path("staging/"), Path("./staging"), root / "overlays" / "staging", Path("../../other"))
    assert select(repository, roots=roots) == ["base", "overlays/staging", "other"]
    assert repository.overlay_at(Path("../../other")) == Overlay("other", tmp_path / "other")


def test_a_root_that_is_no_folder_is_named(tmp_path: Path) -> None:
    repository = Repository.open(write(tmp_path, THREE))
    for path in (Path("no/such"), tmp_path / "overlays" / "staging" / "kustomization.yaml"):
        with pytest.raises(UsageError) as raised:
            select(repository, roots=(path,))
        assert raised.value.message == f"--root {path}: no such folder"


def test_the_repository_itself_can_be_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository.open(write(tmp_path, {**THREE, "kustomization.yaml": ROOT}))
    monkeypatch.chdir(tmp_path)
    assert select(repository, roots=(Path(),)) == ["."]
    assert os.fspath(repository.overlay_at(Path()).directory) == str(tmp_path)
