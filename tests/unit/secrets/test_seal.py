from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kustodian.errors import SecretsError
from kustodian.secrets.seal import UNENCRYPTED, fingerprint, seal_content, seal_dotenv, seal_manifests

from tests.conftest import Identity

Encrypt = Callable[..., Path]
Set = Callable[[Path, str, str], None]
FINGERPRINT = re.compile(r"sealed:[0-9a-f]{16}")
DATA = "--encrypted-regex=^(data|stringData)$"
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: s, labels: {app: x}}
type: Opaque
stringData:
  a: hunter2
  b: hunter2
  empty: ""
data:
  c: aHVudGVyMg==
"""


def sealed(path: Path) -> list[Any]:
    return plain(seal_manifests(path.read_bytes(), path.name))


def plain(nodes: list[yaml.Node]) -> list[Any]:
    text: str = yaml.serialize_all(nodes, Dumper=yaml.CSafeDumper)
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


@pytest.fixture
def sops_set(tool: Callable[[str], Path], identity: Identity, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets a value anew as a person does, with `sops set`."""

    def run(path: Path, place: str, value: str) -> None:
        monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(identity.file))
        subprocess.run([tool("sops"), "set", path, place, value], check=True, capture_output=True)

    return run


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        yield str(value)


# Secrets


def test_a_secret_keeps_everything_but_its_values(encrypt: Encrypt) -> None:
    (secret,) = sealed(encrypt("s.yaml", SECRET, DATA))
    assert list(secret) == ["apiVersion", "kind", "metadata", "type", "stringData", "data"]
    assert secret["metadata"] == {"name": "s", "labels": {"app": "x"}}
    assert list(secret["stringData"]) == ["a", "b", "empty"]
    assert FINGERPRINT.fullmatch(secret["stringData"]["a"])
    assert secret["stringData"]["empty"] == ""
    assert FINGERPRINT.fullmatch(base64.b64decode(secret["data"]["c"]).decode())


def test_equal_values_are_not_seen_to_be_equal(encrypt: Encrypt) -> None:
    (secret,) = sealed(encrypt("s.yaml", SECRET, DATA))
    assert secret["stringData"]["a"] != secret["stringData"]["b"]


def test_a_fingerprint_is_of_the_ciphertext_and_of_nothing_else(encrypt: Encrypt) -> None:
    path = encrypt("s.yaml", SECRET, DATA)
    ciphertext = yaml.safe_load(path.read_text("utf-8"))["stringData"]["a"]
    assert sealed(path)[0]["stringData"]["a"] == fingerprint(ciphertext)
    # The same values encrypted once more are other ciphertexts.
    again = encrypt("again.yaml", SECRET, DATA)
    assert sealed(again)[0]["stringData"]["a"] != fingerprint(ciphertext)


def test_a_fingerprint_changes_exactly_when_its_value_is_set_anew(encrypt: Encrypt, sops_set: Set) -> None:
    path = encrypt("s.yaml", SECRET, DATA)
    before = sealed(path)[0]
    sops_set(path, '["stringData"]["a"]', '"correct horse"')
    after = sealed(path)[0]
    assert after["stringData"].pop("a") != before["stringData"].pop("a")
    assert after == before
    sops_set(path, '["data"]["d"]', '"eA=="')
    later = sealed(path)[0]
    assert FINGERPRINT.fullmatch(base64.b64decode(later["data"].pop("d")).decode())
    del later["stringData"]["a"]
    assert later == before


def test_setting_the_value_that_is_there_changes_nothing(encrypt: Encrypt, sops_set: Set) -> None:
    path = encrypt("s.yaml", SECRET, DATA)
    before = sealed(path)
    sops_set(path, '["stringData"]["a"]', '"hunter2"')
    assert sealed(path) == before


def test_a_value_left_open_on_purpose_is_marked_and_not_shown(encrypt: Encrypt) -> None:
    text = "kind: Secret\nmetadata: {name: s}\nstringData: {user: ada, password: x}\ndata: {user: YWRh}\n"
    (secret,) = sealed(encrypt("s.yaml", text, "--unencrypted-regex=^(kind|metadata|user)$"))
    assert FINGERPRINT.fullmatch(secret["stringData"]["password"])
    assert secret["stringData"]["user"] == UNENCRYPTED
    assert base64.b64decode(secret["data"]["user"]).decode() == UNENCRYPTED


# What is not a Secret, and several in one file


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_each_document_of_a_file_is_sealed(encrypt: Encrypt, kind: str) -> None:
    text = f"kind: {kind}\nmetadata: {{name: a}}\nstringData: {{k: hunter2}}\n"
    path = encrypt("s.yaml", text + "---\n" + text.replace("name: a", "name: b"), DATA)
    first, second = sealed(path)
    assert [first["metadata"]["name"], second["metadata"]["name"]] == ["a", "b"]
    for document in (first, second):
        assert "sops" not in document
        assert FINGERPRINT.fullmatch(document["stringData"]["k"])


@pytest.mark.parametrize("kind", ["List", "SecretList"])
def test_the_items_of_a_list_are_sealed(encrypt: Encrypt, kind: str) -> None:
    text = f"""\
apiVersion: v1
kind: {kind}
items:
- {{kind: Secret, metadata: {{name: a}}, data: {{k: aHVudGVyMg==}}}}
- kind: List
  items:
  - {{kind: Secret, metadata: {{name: b}}, stringData: {{k: hunter2}}}}
"""
    (listed,) = sealed(encrypt("s.yaml", text, DATA))
    first, nested = listed["items"]
    assert FINGERPRINT.fullmatch(base64.b64decode(first["data"]["k"]).decode())
    assert FINGERPRINT.fullmatch(nested["items"][0]["stringData"]["k"])
    assert "sops" not in listed


TYPED = """\
kind: Thing
metadata: {name: t}
data:
  string: hunter2
  number: 8080
  fraction: 1.5
  truth: true
  when: 2001-02-03T04:05:06Z
  nothing: null
  empty: ""
  list: [1, two, {three: 3}]
  text: |
    one
    two
"""


def test_a_stand_in_has_the_type_of_the_value(encrypt: Encrypt) -> None:
    (thing,) = sealed(encrypt("t.yaml", TYPED, DATA))
    data = thing["data"]
    assert FINGERPRINT.fullmatch(data["string"])
    assert isinstance(data["number"], int)
    assert 1 <= data["number"] <= 30_000
    assert data["number"] != 8080
    assert isinstance(data["fraction"], float)
    assert data["truth"] is False
    assert FINGERPRINT.fullmatch(data["when"])
    assert (data["nothing"], data["empty"]) == (None, "")
    assert [type(item) for item in data["list"]] == [int, str, dict]
    assert isinstance(data["list"][2]["three"], int)
    assert FINGERPRINT.fullmatch(data["text"])


def test_a_number_stands_in_for_a_number_and_changes_with_it(encrypt: Encrypt, sops_set: Set) -> None:
    path = encrypt("t.yaml", TYPED, DATA)
    before = sealed(path)[0]["data"]
    sops_set(path, '["data"]["number"]', "8081")
    after = sealed(path)[0]["data"]
    assert isinstance(after["number"], float)  # `sops set` takes JSON, whose numbers it keeps as floats
    assert {key for key in after if after[key] != before[key]} == {"number"}


def test_a_number_where_a_secret_needs_a_string_stays_a_number(encrypt: Encrypt) -> None:
    # So that validation finds in the sealed render what the cluster would refuse in the revealed one.
    text = "kind: Secret\nmetadata: {name: s}\nstringData: {port: 8080, on: true}\ndata: {n: 12}\n"
    (secret,) = sealed(encrypt("s.yaml", text, DATA))
    assert isinstance(secret["stringData"]["port"], int)
    assert secret["stringData"]["on"] is False
    assert FINGERPRINT.fullmatch(base64.b64decode(secret["data"]["n"]).decode())


def test_json_is_sealed_like_yaml(encrypt: Encrypt) -> None:
    text = '{"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aHVudGVyMg=="}}'
    (secret,) = sealed(encrypt("s.json", text, DATA))
    assert list(secret) == ["kind", "metadata", "data"]
    assert FINGERPRINT.fullmatch(base64.b64decode(secret["data"]["k"]).decode())


def test_windows_line_ends_change_no_fingerprint(encrypt: Encrypt) -> None:
    path = encrypt("s.yaml", SECRET, DATA)
    before = sealed(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert sealed(path) == before


# Refusals


def test_a_value_put_in_by_hand_is_refused_by_place_and_not_quoted(encrypt: Encrypt) -> None:
    path = encrypt("s.yaml", SECRET, DATA)
    text = path.read_text("utf-8")
    changed = re.sub(r"^(    b: )ENC.*$", r"\1hunter2", text, count=1, flags=re.MULTILINE)
    assert changed != text
    line = changed.splitlines().index("    b: hunter2") + 1
    for refuse in (seal_manifests, seal_content):
        with pytest.raises(SecretsError) as raised:
            refuse(changed.encode(), "dir/s.yaml")
        assert raised.value.message == (
            f"dir/s.yaml:{line}: `stringData.b` is not encrypted though the file's rule says it must be "
            "(edited by hand after encrypting?)"
        )
        assert raised.value.hint == (
            "take the plain value out of git's reach, restore the file, and change it with: invoke edit dir/s.yaml"
        )


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=4))
def test_no_refusal_quotes_the_value(value: str) -> None:
    shown = f"hunter2{value}"
    text = yaml.safe_dump({"data": {"k": shown}, "sops": {"mac": "x", "encrypted_regex": "^data$"}})
    with pytest.raises(SecretsError) as raised:
        seal_manifests(text.encode(), "s.yaml")
    assert "`data.k` is not encrypted" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "hidden"),
    [
        ((), "kind"),
        (("--encrypted-regex=^(data|name)$",), "metadata.name"),
        (("--unencrypted-regex=^kind$",), "metadata.name"),
    ],
)
def test_a_manifest_whose_kind_or_name_is_hidden_is_refused(
    encrypt: Encrypt, arguments: tuple[str, ...], hidden: str
) -> None:
    path = encrypt("s.yaml", "kind: Secret\nmetadata: {name: s}\ndata: {k: eA==}\n", *arguments)
    with pytest.raises(SecretsError) as raised:
        sealed(path)
    assert raised.value.message == f"s.yaml: `{hidden}` is encrypted too, so that sealed output can't show what this is"
    assert raised.value.hint == (
        "set `encrypted_regex: ^(data|stringData)$` in .sops.yaml and encrypt it again, or use --reveal"
    )


def test_a_hidden_kind_inside_of_a_list_is_refused(encrypt: Encrypt) -> None:
    path = encrypt("s.yaml", "kind: List\nitems:\n- {kind: Secret, name: x}\n", "--encrypted-regex=^items$")
    with pytest.raises(SecretsError) as raised:
        sealed(path)
    assert raised.value.message.startswith("s.yaml: `kind` is encrypted too")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SECRET, "s.yaml: not encrypted: it has no `sops` entry"),
        ("", "s.yaml: has no document"),
        ("# nothing\n", "s.yaml: has no document"),
        ("a: 'hunter2\n", "s.yaml: not YAML: line 2, column 1: found unexpected end of stream"),
    ],
)
def test_what_is_not_encrypted_is_refused(text: str, message: str) -> None:
    with pytest.raises(SecretsError) as raised:
        seal_manifests(text.encode(), "s.yaml")
    assert raised.value.message == message


def test_one_document_without_a_header_is_refused(encrypt: Encrypt) -> None:
    path = encrypt("s.yaml", SECRET, DATA)
    path.write_text(path.read_text("utf-8") + "---\nkind: Secret\nstringData: {k: hunter2}\n", "utf-8")
    with pytest.raises(SecretsError) as raised:
        sealed(path)
    assert raised.value.message == "s.yaml: not encrypted: it has no `sops` entry"


@pytest.mark.parametrize("name", ["s.txt", "s.env", "s.ini", "s"])
def test_a_manifest_in_a_file_of_another_format_is_refused(name: str) -> None:
    with pytest.raises(SecretsError) as raised:
        seal_manifests(b"{}", name)
    assert raised.value.message == f"{name}: encrypted as a whole, so that sealed output can't show its manifest"
    assert raised.value.hint == "name it *.yaml and encrypt it again, or use --reveal"


# Files that become one value, and dotenv files


CONTENTS = {
    "f.yaml": "a: hunter2\nb: [1, 2]\n",
    "f.json": '{"a": "hunter2"}',
    "f.env": "A=hunter2\nB=2\n",
    "f.ini": "[s]\na = hunter2\n",
    "f.txt": "hunter2\n",
    "f.bin": b"\xff\x00hunter2",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_of_any_format_has_one_fingerprint(encrypt: Encrypt, name: str) -> None:
    path = encrypt(name, CONTENTS[name])
    first = seal_content(path.read_bytes(), name)
    assert FINGERPRINT.fullmatch(first)
    assert seal_content(path.read_bytes(), name) == first
    assert seal_content(encrypt(name, CONTENTS[name]).read_bytes(), name) != first


def test_a_files_fingerprint_changes_with_any_of_its_encrypted_values(encrypt: Encrypt, sops_set: Set) -> None:
    path = encrypt("f.yaml", "a: hunter2\nb_unencrypted: 1\nc: 3\n")
    seen = {seal_content(path.read_bytes(), "f.yaml")}
    for place, value in (('["a"]', '"x"'), ('["b_unencrypted"]', "2"), ('["c"]', "4")):
        sops_set(path, place, value)
        seen.add(seal_content(path.read_bytes(), "f.yaml"))
    assert len(seen) == 3  # the open value has no part in it


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.yaml", "a: hunter2\n", "f.yaml: not encrypted: it has no `sops` entry"),
        ("f.yaml", "", "f.yaml: has no value"),
        ("f.json", "{}", "f.json: not encrypted: it has no `sops` entry"),
        ("f.env", "A=hunter2\n", "f.env: not encrypted: it has no `sops_…` entries"),
        ("f.ini", "[s]\na = hunter2\n", "f.ini: not encrypted: it has no `sops` section"),
        ("f.txt", "hunter2", "f.txt: not encrypted: it has no `sops` entry"),
    ],
)
def test_a_file_that_is_not_encrypted_has_no_fingerprint(name: str, text: str, message: str) -> None:
    with pytest.raises(SecretsError) as raised:
        seal_content(text.encode(), name)
    assert raised.value.message == message


def test_the_keys_of_a_dotenv_file_stay(encrypt: Encrypt, sops_set: Set) -> None:
    path = encrypt("f.env", "# hunter2\nA=hunter2\nexport B=2\nEMPTY=\nC_unencrypted=hunter2 x\n")
    before = seal_dotenv(path.read_bytes(), "f.env")
    assert list(before) == ["A", "B", "EMPTY", "C_unencrypted"]
    assert FINGERPRINT.fullmatch(before["A"])
    assert (before["EMPTY"], before["C_unencrypted"]) == ("", UNENCRYPTED)
    sops_set(path, '["A"]', '"3"')
    after = seal_dotenv(path.read_bytes(), "f.env")
    assert {key for key in after if after[key] != before[key]} == {"A"}


def test_odd_line_separators_are_part_of_an_open_value(encrypt: Encrypt) -> None:
    path = encrypt("f.env", "A_unencrypted=x\x0cB=1\u2028C=2\n")
    assert seal_dotenv(path.read_bytes(), "f.env") == {"A_unencrypted": UNENCRYPTED}


def test_only_dotenv_has_keys() -> None:
    with pytest.raises(SecretsError) as raised:
        seal_dotenv(b"{}", "f.json")
    assert raised.value.message == "f.json: encrypted as a whole, so that sealed output can't show its keys"
    assert raised.value.hint == "name it *.env and encrypt it again, or use --reveal"


@pytest.mark.parametrize(
    ("name", "text", "rule", "by_hand", "place"),
    [
        ("f.env", "A=1\nB=2\n", (), ("B=", "B=hunter2"), "2: `B`"),
        ("f.env", "A=1\nB_u=2\n", ("--unencrypted-suffix=_u",), ("A=", "A=hunter2"), "1: `A`"),
        ("f.env", "A=1\nB=2\n", ("--encrypted-regex=^B",), ("B=", "B=hunter2"), "2: `B`"),
        ("f.env", "A=1\nB=2\n", ("--unencrypted-regex=^A",), ("B=", "B=hunter2"), "2: `B`"),
        ("f.ini", "[s]\na = 1\nb = 2\n", (), ("b = ", "b = hunter2"), "3: `s.b`"),
        ("f.ini", "[s]\na = 1\nb = 2\n", ("--encrypted-regex=^b$",), ("b = ", "b = hunter2"), "3: `s.b`"),
    ],
)
def test_a_value_put_by_hand_into_a_flat_file_is_refused(
    encrypt: Encrypt, name: str, text: str, rule: tuple[str, ...], by_hand: tuple[str, str], place: str
) -> None:
    path = encrypt(name, text, *rule)
    start, line = by_hand
    changed = re.sub(rf"^{start}ENC.*$", line, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert line in changed.splitlines()
    with pytest.raises(SecretsError) as raised:
        seal_content(changed.encode(), name)
    assert raised.value.message == (
        f"{name}:{place} is not encrypted though the file's rule says it must be (edited by hand after encrypting?)"
    )


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("f.env", "A=1\nB=2\n", "--encrypted-regex=^B"),
        ("f.env", "A=1\nB=2\n", "--unencrypted-regex=^A"),
        ("f.env", "A=1\nB_s=2\n", "--encrypted-suffix=_s"),
        ("f.ini", "[s]\na = 1\nb = 2\n[t]\nc = 3\n", "--encrypted-regex=^(b|t)$"),
    ],
)
def test_what_a_flat_files_rule_leaves_open_is_not_refused(encrypt: Encrypt, name: str, text: str, rule: str) -> None:
    assert FINGERPRINT.fullmatch(seal_content(encrypt(name, text, rule).read_bytes(), name))


def test_no_plain_value_is_in_anything_sealed(encrypt: Encrypt) -> None:
    for name, content in CONTENTS.items():
        assert "hunter2" not in seal_content(encrypt(name, content).read_bytes(), name)
    for text, rule in ((SECRET, DATA), (TYPED, DATA)):
        document = sealed(encrypt("s.yaml", text, rule))
        assert not {"hunter2", "aHVudGVyMg==", "8080"} & set(texts(document))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.yaml", "password: hunter2\n"),
        ("f.json", '{"password": "hunter2"}'),
        ("f.env", "password=hunter2\n"),
        ("f.ini", "[s]\npassword = hunter2\n"),
    ],
)
def test_nothing_is_computed_from_a_plain_value(encrypt: Encrypt, name: str, text: str) -> None:
    path = encrypt(name, text, "--encrypted-regex=^nothing$")
    assert b"hunter2" in path.read_bytes()
    assert seal_content(path.read_bytes(), name) == UNENCRYPTED
    mixed = encrypt(name, text.replace("hunter2", "x"), "--encrypted-regex=^password$").read_bytes()
    assert FINGERPRINT.fullmatch(seal_content(mixed, name))


def test_a_key_that_no_reader_of_dotenv_knows_is_refused(encrypt: Encrypt) -> None:
    path = encrypt("f.env", "A=1\nJ-K=hunter2\n")
    with pytest.raises(SecretsError) as raised:
        seal_dotenv(path.read_bytes(), "f.env")
    assert raised.value.message == "f.env:2: not a dotenv line"
