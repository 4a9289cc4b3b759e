from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from kustodian.kustomization import Closure, Tree, file_of, load_yaml, yaml_problem

from .kit import write

DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
KSOPS = "apiVersion: viaduct.ai/v1\nkind: ksops\nmetadata: {name: secrets}\n"


def closure(root: Path, folder: str = "app", *, parse_resources: bool = False) -> Closure:
    return Tree(root).closure(root / folder, parse_resources=parse_resources)


def names(root: Path, paths: tuple[Path, ...] | frozenset[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_each_of_the_three_names_makes_a_kustomization(tmp_path: Path, name: str) -> None:
    write(tmp_path, {f"app/{name}": "resources: []\n"})
    assert file_of(tmp_path / "app") == tmp_path / "app" / name
    assert closure(tmp_path).problems == ()


def test_a_folder_of_that_name_makes_none(tmp_path: Path) -> None:
    (tmp_path / "app" / "kustomization.yaml").mkdir(parents=True)
    assert file_of(tmp_path / "app") is None
    assert closure(tmp_path).problems == ("app has no kustomization.yaml",)


def test_a_folder_that_may_not_be_entered_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"app/kustomization.yaml": "resources: [../locked]\n", "locked/kustomization.yaml": ""})
    real = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        if path.parent.name == "locked":  # chmod does not stop root
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert file_of(tmp_path / "locked") is None
    assert closure(tmp_path).problems == ("app/kustomization.yaml: locked can't be entered: Permission denied",)


def test_folders_are_followed_in_order_and_each_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": "resources: [../b, ../a]\ncomponents: [../c]\nbases: [../a]\n",
            "a/kustomization.yaml": "resources: [../d]\n",
            "b/kustomization.yaml": "resources: [../d]\n",
            "c/kustomization.yaml": "kind: Component\n",
            "d/kustomization.yaml": "{}\n",
        },
    )
    found = closure(tmp_path)
    assert [k.directory.name for k in found.kustomizations] == ["app", "b", "d", "a", "c"]
    assert [k.is_component for k in found.kustomizations] == [False, False, False, False, True]
    assert found.problems == ()


def test_a_circle_ends(tmp_path: Path) -> None:
    write(tmp_path, {"app/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../app]\n"})
    assert [k.directory.name for k in closure(tmp_path).kustomizations] == ["app", "b"]


def test_a_folder_reached_through_a_link_is_the_folder(tmp_path: Path) -> None:
    write(tmp_path, {"app/kustomization.yaml": "resources: [../b, ../link]\n", "b/kustomization.yaml": "{}\n"})
    (tmp_path / "link").symlink_to("b")
    assert [k.directory.name for k in closure(tmp_path).kustomizations] == ["app", "b"]


def test_files_of_resources_and_patches_are_where_a_resource_can_come_from(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": """\
resources: [web.yaml, sub/other.yaml]
patches:
- path: patch.yaml
- patch: |-
    kind: Deployment
patchesStrategicMerge:
- merge.yaml
- |-
  kind: Deployment
  metadata: {name: web}
- "{kind: Deployment, metadata: {name: web}}"
patchesJson6902:
- path: six.yaml
  target: {kind: Deployment, name: web}
replacements:
- path: replace.yaml
- source: {kind: Deployment}
""",
            **{f"app/{name}.yaml": DEPLOYMENT for name in ("web", "sub/other", "patch", "merge", "six", "replace")},
        },
    )
    found = closure(tmp_path, parse_resources=True)
    assert names(tmp_path, found.resources) == [
        *("app/web.yaml", "app/sub/other.yaml", "app/merge.yaml", "app/patch.yaml", "app/six.yaml", "app/replace.yaml")
    ]
    assert (found.inputs, found.remote, found.problems) == ((), (), ())


def test_everything_else_that_is_read_is_an_input(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": """\
configMapGenerator:
- name: a
  files: [a.txt, renamed=b.txt]
  envs: [a.env]
- name: b
  env: b.env
  literals: [x=y]
secretGenerator:
- name: c
  files: [c.txt]
crds: [crd.json]
configurations: [names.yaml]
openapi: {path: schema.json}
transformers: [label.yaml]
validators: [check.yaml]
""",
            **{f"app/{name}": "" for name in ("a.txt", "b.txt", "c.txt", "a.env", "b.env", "crd.json", "names.yaml")},
            "app/schema.json": "{}",
            "app/label.yaml": "kind: LabelTransformer\n",
            "app/check.yaml": "kind: Check\n",
        },
    )
    found = closure(tmp_path)
    assert names(tmp_path, found.inputs) == [
        *("app/crd.json", "app/names.yaml", "app/a.txt", "app/b.txt", "app/a.env", "app/b.env", "app/c.txt"),
        *("app/schema.json", "app/label.yaml", "app/check.yaml"),
    ]
    assert found.plugins == ({"kind": "LabelTransformer"}, {"kind": "Check"})
    assert (found.resources, found.problems) == ((), ())
    assert found.files == {tmp_path / "app" / "kustomization.yaml", *found.inputs}


SECRETS = f"""{KSOPS}files: [one.sops.yaml, ../shared/two.sops.yaml]
secretFrom:
- metadata: {{name: a}}
  files: [three.json, key=four.yaml]
  binaryFiles: [five.bin, k=six.bin]
  envs: [seven.env]
"""
SECRET_INPUTS = ("one.sops.yaml", "three.json", "four.yaml", "five.bin", "six.bin", "seven.env")


def test_a_generator_brings_its_encrypted_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": "generators: [generator/secrets.yaml]\n",
            # kustomize runs it in the folder of the kustomization, wherever the document lies.
            "app/generator/secrets.yaml": SECRETS,
            **{f"app/{name}": "" for name in SECRET_INPUTS},
            "shared/two.sops.yaml": "",
        },
    )
    found = closure(tmp_path)
    assert names(tmp_path, found.inputs) == [
        *("app/generator/secrets.yaml", "app/one.sops.yaml", "shared/two.sops.yaml"),
        *(f"app/{name}" for name in SECRET_INPUTS[1:]),
    ]
    assert [plugin["kind"] for plugin in found.plugins] == ["ksops"]


@pytest.mark.parametrize(
    "inline",
    [
        f"- |-\n{''.join(f'  {line}' for line in f'{KSOPS}files: [one.sops.yaml]'.splitlines(keepends=True))}\n",
        "- '{apiVersion: viaduct.ai/v1, kind: ksops, metadata: {name: secrets}, files: [one.sops.yaml]}'\n",
    ],
    ids=["block", "one line"],
)
def test_a_generator_written_into_the_kustomization_is_read(tmp_path: Path, inline: str) -> None:
    write(tmp_path, {"app/kustomization.yaml": f"generators:\n{inline}", "app/one.sops.yaml": ""})
    found = closure(tmp_path)
    assert found.problems == ()
    assert names(tmp_path, found.inputs) == ["app/one.sops.yaml"]
    assert [plugin["kind"] for plugin in found.plugins] == ["ksops"]


def test_a_folder_of_generators_is_built_and_its_documents_are_plugins(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": "generators: [../generators]\n",
            "generators/kustomization.yaml": "resources: [secrets.yaml]\n",
            "generators/secrets.yaml": f"{KSOPS}files: [one.sops.yaml]\n---\nkind: Other\n",
            "generators/one.sops.yaml": "",
        },
    )
    found = closure(tmp_path)
    assert [plugin["kind"] for plugin in found.plugins] == ["ksops", "Other"]
    assert names(tmp_path, found.inputs) == ["generators/one.sops.yaml"]
    assert names(tmp_path, found.files) != []


def test_an_encrypted_file_that_is_missing_is_left_to_the_generator_to_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"app/kustomization.yaml": "generators: [secrets.yaml]\n", "app/secrets.yaml": f"{KSOPS}files: [x.yaml]\n"},
    )
    found = closure(tmp_path)
    assert (names(tmp_path, found.inputs), found.problems) == (["app/secrets.yaml"], ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("resources: [gone.yaml]", "resources: gone.yaml does not exist"),
        ("resources: [../gone]", "resources: ../gone does not exist"),
        ("bases: [gone]", "bases: gone does not exist"),
        ("components: [../gone]", "components: ../gone does not exist"),
        ("patches: [{path: gone.yaml}]", "patches: gone.yaml does not exist"),
        ("patchesStrategicMerge: [gone.yaml]", "patchesStrategicMerge: gone.yaml does not exist"),
        ("patchesJson6902: [{path: gone.yaml}]", "patchesJson6902: gone.yaml does not exist"),
        ("replacements: [{path: gone.yaml}]", "replacements: gone.yaml does not exist"),
        ("crds: [gone.json]", "crds: gone.json does not exist"),
        ("configurations: [gone.yaml]", "configurations: gone.yaml does not exist"),
        ("openapi: {path: gone.json}", "openapi: gone.json does not exist"),
        ("configMapGenerator: [{files: [a=gone]}]", "configMapGenerator: gone does not exist"),
        ("configMapGenerator: [{envs: [gone.env]}]", "configMapGenerator: gone.env does not exist"),
        ("secretGenerator: [{env: gone.env}]", "secretGenerator: gone.env does not exist"),
        ("generators: [gone.yaml]", "generators: gone.yaml does not exist"),
        ("transformers: [gone]", "transformers: gone does not exist"),
        ("validators: [gone]", "validators: gone does not exist"),
        (f"resources: [{'x' * 300}]", f"resources: {'x' * 300} does not exist"),
        (f"patches: [{{path: {'x' * 300}}}]", f"patches: {'x' * 300} does not exist"),
        (f"generators: [{'x' * 300}]", f"generators: {'x' * 300} does not exist"),
    ],
)
def test_what_is_missing_is_named_with_who_asks_for_it(tmp_path: Path, text: str, problem: str) -> None:
    write(tmp_path, {"app/kustomization.yaml": text})
    assert closure(tmp_path).problems == (f"app/kustomization.yaml: {problem}",)


def test_a_folder_without_a_kustomization_is_named_with_who_asks_for_it(tmp_path: Path) -> None:
    write(tmp_path, {"app/kustomization.yaml": "resources: [../empty]\n", "empty/readme": ""})
    assert closure(tmp_path).problems == ("app/kustomization.yaml: empty has no kustomization.yaml",)
    assert closure(tmp_path, "empty").problems == ("empty has no kustomization.yaml",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("password: 'hunter2\n", "not YAML: line 2, column 1: found unexpected end of stream"),
        ("a: hunter2: b\n", "not YAML: line 1, column 11: mapping values are not allowed in this context"),
        ("a: hunter2\n\tb: 1\n", "not YAML: line 2, column 1: found a tab character that violates indentation"),
        ("- hunter2\n", "must be a mapping"),
        ("hunter2\n", "must be a mapping"),
        ("a: 2024-13-01 # hunter2\n", "not YAML: ValueError"),
        ("a: !!bool hunter2\n", "not YAML: KeyError"),
        ("a: !hunter2 b\n", "not YAML: line 1, column 4: could not determine a constructor"),
        ("a: *hunter2\n", "not YAML: line 1, column 4: found undefined alias"),
        (b"a: \xff hunter2\n", "not YAML: ReaderError"),
    ],
)
def test_a_kustomization_that_does_not_parse_is_named_and_not_quoted(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    write(tmp_path, {"app/kustomization.yaml": text})
    assert closure(tmp_path).problems == (f"app/kustomization.yaml: {problem}",)


def test_an_empty_kustomization_parses(tmp_path: Path) -> None:
    write(tmp_path, {"app/kustomization.yaml": ""})
    assert closure(tmp_path).problems == ()


def test_resources_are_parsed_only_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"app/kustomization.yaml": "resources: [bad.yaml]\n", "app/bad.yaml": "a: [hunter2"})
    assert closure(tmp_path).problems == ()
    assert closure(tmp_path, parse_resources=True).problems == (
        "app/bad.yaml: not YAML: line 2, column 1: did not find expected ',' or ']'",
    )


def test_a_generator_that_does_not_parse_is_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"app/kustomization.yaml": "generators:\n- bad.yaml\n- |\n  a: [hunter2\n  b\n", "app/bad.yaml": "a: [hunter2"},
    )
    assert closure(tmp_path).problems == (
        "app/bad.yaml: not YAML: line 2, column 1: did not find expected ',' or ']'",
        "app/kustomization.yaml: generators: not YAML: line 3, column 1: did not find expected ',' or ']'",
    )


@pytest.mark.parametrize(
    "text",
    [
        "resources: text-that-is-no-list.yaml",
        "resources: [1, null, {a: b}]\npatches: x\nconfigMapGenerator: {}\nopenapi: x\ngenerators: null",
        "patches: [x, {path: 1}, null]\nconfigMapGenerator: [x, {files: 1, envs: null, env: []}]",
    ],
)
def test_fields_of_the_wrong_shape_are_kustomizes_to_refuse(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"app/kustomization.yaml": text, "app/text-that-is-no-list.yaml": ""})
    assert closure(tmp_path).problems == ()


@pytest.mark.parametrize(
    "entry",
    [
        "https://example.com/a.yaml",
        "https://github.com/o/r//base?ref=v1",
        "github.com/o/r/base?ref=v1",
        "git@github.com:o/r.git",
        "git::https://example.com/r",
        "ssh://git@example.com/r",
        "file:///r",
        "o/r//base?ref=v1",
        "gitlab.com/o/r",
        "bitbucket.org/o/r",
    ],
)
def test_a_remote_base_is_no_missing_file(tmp_path: Path, entry: str) -> None:
    write(tmp_path, {"app/kustomization.yaml": f"resources: ['{entry}']\n"})
    found = closure(tmp_path)
    assert (found.remote, found.problems) == ((entry,), ())


def test_windows_line_ends_and_odd_letters_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "mein app/kustomization.yaml": "resources:\r\n- größe 1.yaml\r\n- ../ä b\r\n",
            "mein app/größe 1.yaml": "",
            "ä b/kustomization.yaml": "\r\n",
        },
    )
    found = closure(tmp_path, "mein app")
    assert found.problems == ()
    assert names(tmp_path, found.resources) == ["mein app/größe 1.yaml"]
    assert [k.directory.name for k in found.kustomizations] == ["mein app", "ä b"]


def test_a_file_is_read_once_in_one_run(tmp_path: Path) -> None:
    file = tmp_path / "app" / "kustomization.yaml"
    write(tmp_path, {"app/kustomization.yaml": "namePrefix: a-\n"})
    tree = Tree(tmp_path)
    first = tree.read(file)
    file.write_text("namePrefix: b-\n", "utf-8")
    assert tree.read(file) is first
    assert tree.read(file).document == {"namePrefix": "a-"}


def test_folders_referred_to_are_the_local_ones(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "app/kustomization.yaml": "resources: [../a, w.yaml, gone, http://x]\nbases: [../b]\ncomponents: [../c]\n"
            "generators: [../d, w.yaml, 'kind: X\\n']\ntransformers: [../e]\nvalidators: [../f]\n",
            **{f"{name}/kustomization.yaml": "{}\n" for name in "abcdef"},
            "app/w.yaml": "",
        },
    )
    tree = Tree(tmp_path)
    referred = tree.folders_referred_to(tree.read(tmp_path / "app" / "kustomization.yaml"))
    assert [path.name for path in referred] == ["a", "b", "c", "d", "e", "f"]


def test_paths_are_shown_relative_to_the_repository(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert tree.name(tmp_path / "a" / "b.yaml") == "a/b.yaml"
    assert tree.name(tmp_path) == "."
    assert tree.name(Path("/elsewhere/x")) == "/elsewhere/x"


def test_loading_yaml_gives_documents_or_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"two.yaml": "a: 1\n---\nb: 2\n", "none.yaml": "# nothing\n"})
    assert load_yaml(tmp_path / "two.yaml") == ([{"a": 1}, {"b": 2}], "")
    assert load_yaml(tmp_path / "none.yaml") == ([], "")
    assert load_yaml(tmp_path / "gone.yaml") == ([], "No such file or directory")
    assert load_yaml(tmp_path) == ([], "Is a directory")


def test_a_problem_without_a_place_is_named_by_its_type() -> None:
    assert yaml_problem(ValueError("may be secret")) == "not YAML: ValueError"
