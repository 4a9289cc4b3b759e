from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kustodian.errors import RepositoryError, task
from kustodian.finding import Finding
from kustodian.validate import tree

from tests.conftest import Repo

from ..kit import Files, program, write

SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"
TOKEN = "ENC[AES256_GCM,data:Vw==,iv:99FM/+==,tag:1IjY==,type:str]"
HEADER = f"sops:\n  age: [{{recipient: age1x, enc: x}}]\n  mac: '{TOKEN}'\n  encrypted_regex: ^(data|stringData)$\n"


def check(root: Path, files: Files) -> tuple[list[Finding], list[dict[str, Any]]]:
    write(root, files)
    return tree.check(root, [root / name for name in files])


def findings(root: Path, files: Files) -> list[Finding]:
    return check(root, files)[0]


def plain(place: str, line: int, *, name: str = "s", file: str = "s.yaml") -> Finding:
    return Finding(
        "plain-secret",
        f"the Secret holds `{place}` in plain text",
        resource=f"Secret/{name}",
        file=file,
        line=line,
        mend=f"name it *.sops.yaml and run: {task(f'encrypt {file}')}; replace the value, because git keeps it",
    )


def generated(key: str, line: int, *, name: str = "g", file: str = "kustomization.yaml") -> Finding:
    return Finding(
        "plain-secret",
        f"the secretGenerator {name!r} takes `{key}` that are in plain text in the repository",
        file=file,
        line=line,
        mend="encrypt the values with sops and bring them in by a ksops generator",
    )


def encrypted(message: str, *, file: str = "s.sops.yaml", line: int = 0) -> Finding:
    edit = f"change it with: {task(f'edit {file}')}; what was in the open must be replaced, because git keeps it"
    return Finding("encrypted", message, file=file, line=line, mend=edit)


# Secrets in the open


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (f"{SECRET}data:\n  a: aHVudGVyMg==\n", [plain("data.a", 6)]),
        (f"{SECRET}stringData:\n  a: x\n  b: y\n", [plain("stringData.a", 6), plain("stringData.b", 7)]),
        (f"{SECRET}stringData: {{a: 1, b: true}}\n", [plain("stringData.a", 5), plain("stringData.b", 5)]),
        (f"{SECRET}stringData:\n  a: |\n    one\n    two\n", [plain("stringData.a", 6)]),
        (f"# first\n---\nkind: X\n---\n{SECRET}data: {{a: eA==}}\n", [plain("data.a", 9)]),
        (f"{SECRET.replace('Secret', chr(34) + 'Secret' + chr(34))}data: {{a: eA==}}\n", [plain("data.a", 5)]),
        ("kind: Secret\ndata: {a: eA==}\n", [plain("data.a", 2, name="")]),
        (f"{SECRET}data: {{a: eA==}}\n".replace("\n", "\r\n"), [plain("data.a", 5)]),
        (
            "kind: List\nitems:\n- kind: Secret\n  metadata: {name: s}\n  data:\n    a: eA==\n- kind: ConfigMap\n"
            "  data: {a: x}\n- kind: List\n  items:\n  - kind: Secret\n    metadata: {name: t}\n    data: {b: eA==}\n",
            [plain("data.a", 6), plain("data.b", 13, name="t")],
        ),
        ("kind: SecretList\nitems:\n- metadata: {name: s}\n  data: {a: eA==}\n", [plain("data.a", 4)]),
        ("kind: &k Secret\nmetadata: {name: s}\ndata: {a: eA==}\n", [plain("data.a", 3)]),
        ("kind: !!str 'Secret'\nmetadata: {name: s}\ndata: {a: eA==}\n", [plain("data.a", 3)]),
        # nothing to find
        (SECRET, []),
        (f"{SECRET}data:\n", []),
        (f"{SECRET}data: {{a: '', b: null, c: ~, d: }}\n", []),
        (f"{SECRET}data: {{a: '{TOKEN}'}}\n", []),
        (f"{SECRET}data: {{a: c2VhbGVkOjAxMjM=}}\nstringData: {{b: 'sealed:0123'}}\n", []),
        (f"{SECRET}type: kubernetes.io/service-account-token\nimmutable: true\n", []),
        ("kind: ConfigMap\ndata: {kind: Secret, data: x}\n", []),
        ("kind: ConfigMap\ndata:\n  x: |\n    kind: Secret\n    data: {a: eA==}\n", []),
        ("kind: SecretStore\ndata: {a: x}\n", []),
        ("kind: ExternalSecret\nspec: {target: {template: {data: {a: '{{ .x }}'}}}}\n", []),
        ("spec:\n  ref:\n    kind: Secret\n    name: s\n", []),
    ],
)
def test_a_value_of_a_secret_in_the_open_is_found_at_its_line(tmp_path: Path, text: str, want: list[Finding]) -> None:
    assert findings(tmp_path, {"s.yaml": text}) == want


@pytest.mark.parametrize(
    "text",
    [
        "patches:\n- patch: |-\n    kind: Secret\n    metadata: {name: s}\n    data: {a: eA==}\n",
        "patchesStrategicMerge:\n- |-\n  kind: Secret\n  metadata: {name: s}\n  data: {a: eA==}\n",
        "patches:\n- target: {kind: Secret, name: s}\n  patch: |-\n    - {op: replace, path: /data/a, value: eA==}\n",
        'patches:\n- target: {kind: Secret}\n  patch: \'[{"op": "add", "path": "/data", "value": {"a": "x"}}]\'\n',
        "patchesJson6902:\n- target: {kind: Secret}\n  patch: '[{op: add, path: /data/a, value: 1}]'\n",
    ],
)
def test_a_patch_written_into_a_kustomization_is_looked_at(tmp_path: Path, text: str) -> None:
    (finding,) = findings(tmp_path, {"kustomization.yaml": text})
    assert (finding.message, finding.line) == ("the Secret holds `data.a` in plain text", 2)
    assert "behavior: merge" in finding.mend


@pytest.mark.parametrize(
    "patch",
    [
        "[{op: remove, path: /data/a}]",
        "[{op: add, path: /metadata/labels/a, value: x}]",
        f"[{{op: add, path: /data/a, value: '{TOKEN}'}}]".replace("'", "''"),
        "[{op: add",
        "text",
    ],
)
def test_a_patch_of_a_secret_that_sets_no_plain_value_is_clean(tmp_path: Path, patch: str) -> None:
    text = f"patches:\n- target: {{kind: Secret}}\n  patch: '{patch}'\n"
    assert findings(tmp_path, {"kustomization.yaml": text}) == []


def test_json_is_looked_at_too(tmp_path: Path) -> None:
    text = '{\n\t"kind": "Secret",\n\t"metadata": {"name": "s"},\n\t"data": {\n\t\t"a": "eA=="\n\t}\n}\n'
    assert findings(tmp_path, {"s.json": text}) == [plain("data.a", 5, file="s.json")]


@pytest.mark.parametrize(
    "name", ["a.yml", "a.YAML", "b.Yml", "deep/größe 1/a.yaml", "secret.enc.yaml", ".github/a.yaml"]
)
def test_a_manifest_is_known_by_its_suffix_wherever_it_lies(tmp_path: Path, name: str) -> None:
    assert findings(tmp_path, {name: f"{SECRET}data: {{a: eA==}}\n"}) == [plain("data.a", 5, file=name)]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.yaml.tpl", "a.tf", "yaml"])
def test_what_is_no_manifest_is_passed_over(tmp_path: Path, name: str) -> None:
    assert findings(tmp_path, {name: f"{SECRET}data: {{a: eA==}}\n"}) == []


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.x }}\nkind: Secret\ndata:\n  a: {{ .Values.a | b64enc }}\n{{- end }}\n",
        "kind: Secret\ndata:\n  a: [hunter2\n",
        b"kind: Secret\ndata: {a: \xff}\n",
        "secretGenerator: [\n",
    ],
)
def test_a_template_that_does_not_parse_is_silent(tmp_path: Path, text: str | bytes) -> None:
    assert check(tmp_path, {"s.yaml": text}) == ([], [])


def test_no_finding_holds_a_value(tmp_path: Path) -> None:
    files = {
        "a.yaml": f"{SECRET}data: {{a: hunter2, b: [hunter2]}}\n",
        "b.sops.yaml": f"{SECRET}data: {{a: hunter2}}\n{HEADER}",
        "c.sops.yaml": f"{SECRET}data: {{a: hunter2}}\n",
        "d.sops.yaml": "data: {a: 'hunter2\n",
        "kustomization.yaml": "secretGenerator:\n- name: g\n  literals: [a=hunter2]\n",
    }
    found = findings(tmp_path, files)
    assert {finding.file for finding in found} == set(files)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("secretGenerator:\n- name: g\n  literals:\n  - a=hunter2\n", [generated("literals", 4)]),
        (
            "secretGenerator:\n- name: g\n  envs: [a.env]\n  files: [b.txt]\n- name: h\n  env: c.env\n",
            [generated("envs", 3), generated("files", 4), generated("env", 6, name="h")],
        ),
        ("secretGenerator:\n- {name: g, literals: []}\n- {name: h}\n- text\n", []),
        ("secretGenerator: {}\n", []),
        ("configMapGenerator:\n- name: g\n  literals: [a=b]\n", []),
        ("# no secretGenerator here\nresources: []\n", []),
        ("secretGenerator:\n- name: g\n  options: {disableNameSuffixHash: true}\n  type: Opaque\n", []),
    ],
)
def test_a_secret_generator_of_plain_text_is_found(tmp_path: Path, text: str, want: list[Finding]) -> None:
    assert findings(tmp_path, {"kustomization.yaml": text}) == want


def test_the_builtin_plugin_is_a_secret_generator_too(tmp_path: Path) -> None:
    text = "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: g}\nliterals: [a=hunter2]\n"
    assert findings(tmp_path, {"g.yaml": text}) == [generated("literals", 4, file="g.yaml")]
    inline = f"generators:\n- |-\n  {text.rstrip().replace(chr(10), chr(10) + '  ')}\n"
    assert findings(tmp_path, {"kustomization.yaml": inline}) == [generated("literals", 2)]
    assert findings(tmp_path, {"g.yaml": text.replace("builtin", "example.com/v1")}) == []


def test_a_kustomization_without_a_suffix_is_looked_at(tmp_path: Path) -> None:
    text = "secretGenerator:\n- name: g\n  literals: [a=b]\n"
    assert findings(tmp_path, {"a/Kustomization": text}) == [generated("literals", 3, file="a/Kustomization")]


# Files that must be encrypted


@pytest.mark.parametrize(
    "name", ["s.sops.yaml", "s.sops.yml", "s.sops.json", "s.sops.env", "s.sops.ini", "deep/ü.sops.yaml"]
)
def test_a_file_of_such_a_name_that_is_not_encrypted_is_found(tmp_path: Path, name: str) -> None:
    text = '{"a": "hunter2"}' if name.endswith("json") else "a=hunter2\n" if name[-3:] in ("env", "ini") else "a: 1\n"
    assert findings(tmp_path, {name: text}) == [
        Finding("encrypted", "is not encrypted", file=name, mend=task(f"encrypt {name}"))
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.sops.yaml", f"{SECRET}data: {{a: eA==}}\n"),
        ("s.sops.yaml", f"{SECRET}data: {{a: eA==}}\n---\n{SECRET}stringData: {{b: x}}\n"),
        ("s.sops.json", '{"data": {"a": "x"}}'),
        ("s.sops.env", "data=x\n"),
        ("s.sops.ini", "[s]\ndata = x\n"),
    ],
)
def test_what_the_real_sops_has_encrypted_is_clean(repo: Repo, name: str, text: str) -> None:
    path = repo.encrypt(name, text)
    assert tree.check(repo.root, [path]) == ([], [])
    if b"\r" not in path.read_bytes():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert tree.check(repo.root, [path]) == ([], [])


def test_the_rules_themselves_are_no_encrypted_file(tmp_path: Path) -> None:
    assert findings(tmp_path, {".sops.yaml": "creation_rules: []\n", "a/.sops.yaml": "creation_rules: []\n"}) == []


@pytest.mark.parametrize("name", ["sops.yaml", "a.sops.yaml.txt", "a.sops", "asops.yaml", "a.sops.txt"])
def test_other_names_promise_nothing(tmp_path: Path, name: str) -> None:
    assert findings(tmp_path, {name: "a: 1\n"}) == []


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (
            f"{SECRET}data:\n  a: '{TOKEN}'\n  b: hunter2\n{HEADER}",
            [encrypted("`data.b` is in plain text though the file's rule encrypts it", line=7)],
        ),
        (
            f"{SECRET}data: {{a: '{TOKEN}'}}\n{HEADER}---\n{SECRET}stringData:\n  x: hunter2\n{HEADER}",
            [encrypted("`stringData.x` is in plain text though the file's rule encrypts it", line=16)],
        ),
        (
            f"{SECRET}data: {{a: '{TOKEN}'}}\n{HEADER}".replace(f"mac: '{TOKEN}'", "mac: x"),
            [encrypted("has no MAC, so that a change to it can't be noticed")],
        ),
        (
            f"{SECRET}data: {{a: '{TOKEN}'}}\n{HEADER}".replace("age: [{recipient: age1x, enc: x}]", "age: []"),
            [encrypted("is encrypted for nobody")],
        ),
        (
            f"{SECRET}data: {{a: x}}\n{HEADER}".replace("'ENC", "'enc").replace(
                "age: [{recipient: age1x, enc: x}]", "x: y"
            ),
            [
                encrypted("has no MAC, so that a change to it can't be noticed"),
                encrypted("is encrypted for nobody"),
                encrypted("`data.a` is in plain text though the file's rule encrypts it", line=5),
            ],
        ),
        (
            f"{SECRET}data: {{a: '{TOKEN}'}}\n{HEADER}---\nkind: Secret\ndata: {{a: hunter2}}\n",
            [
                Finding(
                    "encrypted",
                    "not encrypted: it has no `sops` entry",
                    file="s.sops.yaml",
                    mend=f"encrypt it: {task('encrypt s.sops.yaml')}",
                )
            ],
        ),
        (
            "data: {a: 'hunter2\n",
            [
                Finding(
                    "encrypted",
                    "not YAML: line 2, column 1: found unexpected end of stream",
                    file="s.sops.yaml",
                )
            ],
        ),
    ],
    ids=["by hand", "second document", "mac", "nobody", "all", "second plain", "not yaml"],
)
def test_each_defect_of_an_encrypted_file_is_found(tmp_path: Path, text: str, want: list[Finding]) -> None:
    assert findings(tmp_path, {"s.sops.yaml": text}) == want


COVER = "encrypt it anew by a rule in .sops.yaml that covers it, such as encrypted_regex: ^(data|stringData)$"


def left_open(place: str, line: int) -> Finding:
    return Finding(
        "encrypted",
        f"`{place}` of a Secret is in plain text, because the file's rule leaves it so",
        file="s.sops.yaml",
        line=line,
        mend=f"{COVER}; replace the value, because git keeps it",
    )


def none_encrypted(file: str = "s.sops.yaml") -> Finding:
    return Finding(
        "encrypted",
        "encrypts none of its values",
        file=file,
        mend=f"{COVER}; replace what was secret, because git keeps it",
    )


@pytest.mark.parametrize(
    ("rule", "text", "want"),
    [
        ("encrypted_regex: ^dta$", f"{SECRET}stringData: {{pw: hunter2}}\n", [left_open("stringData.pw", 5)]),
        (
            "unencrypted_regex: ^(apiVersion|kind|metadata|.*_open)$",
            f"{SECRET}stringData:\n  pw: '{TOKEN}'\n  pw_open: hunter2\n",
            [left_open("stringData.pw_open", 7)],
        ),
        (
            "encrypted_comment_regex: secret",
            f"{SECRET}data:\n  a: '{TOKEN}'\n  b: hunter2\n  c: ''\n  d: ~\n",
            [left_open("data.b", 7)],
        ),
        (
            "encrypted_regex: ^dta$",
            "kind: List\nitems:\n- kind: Secret\n  data: {a: eA==}\n- kind: ConfigMap\n  data: {a: x}\n",
            [left_open("data.a", 4)],
        ),
        ("encrypted_regex: ^dta$", "kind: ConfigMap\ndata: {a: x}\n", [none_encrypted()]),
        ("encrypted_regex: ^dta$", "a: ''\nb: ~\n", []),
        ("encrypted_regex: ^a$", f"kind: ConfigMap\ndata: {{a: '{TOKEN}', b: x}}\n", []),
    ],
)
def test_what_a_wrong_rule_leaves_in_the_open_is_found(
    tmp_path: Path, rule: str, text: str, want: list[Finding]
) -> None:
    header = HEADER.replace("encrypted_regex: ^(data|stringData)$", rule)
    found = findings(tmp_path, {"s.sops.yaml": text + header})
    assert found == want
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("name", ["s.sops.env", "s.sops.ini"])
def test_a_flat_file_without_any_encrypted_value_is_found(repo: Repo, name: str) -> None:
    path = repo.encrypt(name, "other=x\n" if name.endswith("env") else "[s]\nother = x\n")
    assert tree.check(repo.root, [path]) == ([none_encrypted(name)], [])


def test_a_plain_value_in_a_flat_file_is_found(repo: Repo) -> None:
    path = repo.encrypt("s.sops.env", "data=1\nother=2\n")
    changed = re.sub(r"(?m)^data=ENC.*$", "data=hunter2", path.read_text("utf-8"))
    path.write_text(changed, "utf-8")
    found, _definitions = tree.check(repo.root, [path])
    assert found == [encrypted("`data` is in plain text though the file's rule encrypts it", file="s.sops.env", line=1)]


# Definitions, and which files there are

DEFINITION = "kind: CustomResourceDefinition\nmetadata: {name: d}\n"


def test_definitions_met_on_the_way_come_back(tmp_path: Path) -> None:
    found, definitions = check(
        tmp_path,
        {
            "crd.yaml": f"kind: X\n---\n{DEFINITION}---\n- kind: CustomResourceDefinition\n",
            "crd.json": '{"kind": "CustomResourceDefinition", "metadata": {"name": "e"}}',
            "note.yaml": "# CustomResourceDefinition\nkind: Y\n",
            "broken.yaml": "kind: CustomResourceDefinition\na: [\n",
        },
    )
    assert found == []
    assert [definition["metadata"]["name"] for definition in definitions] == ["d", "e"]


def test_a_very_large_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_LARGEST", 100)
    assert findings(tmp_path, {"s.yaml": f"{SECRET}data: {{a: eA==}}\n#{'x' * 100}\n"}) == []


FILES = {
    "a.yaml": "",
    "b/c ü.yaml": "",
    "b/build/e.yaml": "",
    "build/out.yaml": "",
    ".hidden/d.yaml": "",
    ".gitignore": "/build/\n",
}


def listed(root: Path, *ignore: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in tree.files(root, ignore)]


def test_files_are_those_that_git_has_or_would_take(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "build/tracked.yaml": "", "deleted.yaml": ""})
    for command in (["init", "--quiet"], ["add", "a.yaml", "deleted.yaml"], ["add", "--force", "build/tracked.yaml"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "deleted.yaml").unlink()
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert listed(tmp_path) == [
        *(".gitignore", ".hidden/d.yaml", "a.yaml", "b/build/e.yaml", "b/c ü.yaml", "build/tracked.yaml")
    ]
    assert listed(tmp_path / "b") == ["build/e.yaml", "c ü.yaml"]


def test_outside_of_git_they_are_all_that_are_not_hidden(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    assert listed(tmp_path) == [".gitignore", "a.yaml", "b/build/e.yaml", "b/c ü.yaml"]


def test_without_git_they_are_all_that_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILES)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert listed(tmp_path) == [".gitignore", "a.yaml", "b/build/e.yaml", "b/c ü.yaml"]


def test_what_is_ignored_by_the_settings_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    assert listed(tmp_path, "b/*", "*.json", ".git*") == ["a.yaml"]
    assert listed(tmp_path, "*") == []


def test_what_git_refuses_to_list_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILES)
    program(
        tmp_path / "bin" / "git",
        "echo \"fatal: detected dubious ownership in repository at '/x'\" >&2; echo more >&2; exit 128\n",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(RepositoryError) as raised:
        listed(tmp_path)
    assert raised.value.message == (
        f"git can't list the files of {tmp_path}: detected dubious ownership in repository at '/x'"
    )
    assert f"git config --global --add safe.directory {tmp_path}" in raised.value.hint


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # chmod does not stop root
    with pytest.raises(RepositoryError) as raised:
        findings(tmp_path, {"b/s.yaml": SECRET})
    assert raised.value.message == "b/s.yaml: can't read it: Permission denied"
    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(RepositoryError) as raised:
        listed(tmp_path)
    assert raised.value.message == "b/s.yaml: can't read it: Permission denied"
