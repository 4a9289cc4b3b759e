from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustodian.errors import SecretsError
from kustodian.secrets import ksops
from kustodian.secrets.ksops import Document, SecretFrom, parse, parse_dotenv

from ..kit import write

HEAD = {"apiVersion": "viaduct.ai/v1", "kind": "ksops", "metadata": {"name": "s"}}


def plain(nodes: list[yaml.Node]) -> list[Any]:
    """What kustomize would read of the nodes."""
    text: str = yaml.serialize_all(nodes, Dumper=yaml.CSafeDumper)
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


# Documents


def test_a_document_is_known_by_its_version_and_kind() -> None:
    assert ksops.is_ksops(HEAD)
    assert not ksops.is_ksops({**HEAD, "kind": "Ksops"})
    assert not ksops.is_ksops({**HEAD, "apiVersion": "v1"})
    assert not ksops.is_ksops({})


def test_everything_that_a_document_says_is_read() -> None:
    document = parse(
        {
            **HEAD,
            "files": ["a.yaml", "b.yaml"],
            "secretFrom": [
                {
                    "metadata": {
                        "name": "n",
                        "namespace": "ns",
                        "labels": {"l": "1"},
                        "annotations": {"kustomize.config.k8s.io/needs-hash": "true"},
                        "uid": "not taken over",
                    },
                    "type": "kubernetes.io/tls",
                    "files": ["dir/c.json", "key=d.json", "k=d=e.json"],
                    "binaryFiles": ["dir/f.bin", "g=f.bin"],
                    "envs": ["h.env"],
                },
                {"metadata": {"name": "m", "labels": {}}},
            ],
            "fail-silently": True,
        }
    )
    metadata = {
        "annotations": {"kustomize.config.k8s.io/needs-hash": "true"},
        "labels": {"l": "1"},
        "name": "n",
        "namespace": "ns",
    }
    assert document == Document(
        "s",
        ("a.yaml", "b.yaml"),
        (
            SecretFrom(
                metadata,
                "kubernetes.io/tls",
                (("c.json", "dir/c.json"), ("key", "d.json"), ("k", "d=e.json")),
                (("f.bin", "dir/f.bin"), ("g", "f.bin")),
                ("h.env",),
            ),
            SecretFrom({"name": "m"}, "", (), (), ()),
        ),
    )
    assert document.paths == ("a.yaml", "b.yaml", "dir/c.json", "d.json", "d=e.json", "dir/f.bin", "f.bin", "h.env")


@pytest.mark.parametrize("document", [{**HEAD, "files": []}, {**HEAD, "secretFrom": []}])
def test_an_empty_list_generates_nothing(document: dict[str, Any]) -> None:
    assert ksops.generate(parse(document), Path(), decrypt=None) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "has neither `files` nor `secretFrom`"),
        ({"files": None, "secretFrom": None}, "has neither `files` nor `secretFrom`"),
        ({"files": "a.yaml"}, "`files` must be a list of paths"),
        ({"files": [1]}, "`files` must be a list of paths"),
        ({"files": {"a": "b"}}, "`files` must be a list of paths"),
        ({"secretFrom": {"metadata": {"name": "x"}}}, "`secretFrom` must be a list of mappings"),
        ({"secretFrom": ["x"]}, "`secretFrom` must be a list of mappings"),
        ({"secretFrom": [{}]}, "secretFrom[0]: needs `metadata.name`"),
        ({"secretFrom": [{"metadata": {"name": "x"}}, {"metadata": {}}]}, "secretFrom[1]: needs `metadata.name`"),
        ({"secretFrom": [{"metadata": "x"}]}, "secretFrom[0]: needs `metadata.name`"),
        (
            {"secretFrom": [{"metadata": {"name": "x"}, "literals": [], "binaryfiles": []}]},
            "secretFrom[0]: unknown field `binaryfiles`",
        ),
        (
            {"secretFrom": [{"metadata": {"name": "x"}, "envs": "a.env"}]},
            "secretFrom[0]: `envs` must be a list of paths",
        ),
        (
            {"secretFrom": [{"metadata": {"name": "x"}, "files": ["=a"]}]},
            "secretFrom[0]: '=a' must be `path` or `key=path`",
        ),
        (
            {"secretFrom": [{"metadata": {"name": "x"}, "binaryFiles": ["a="]}]},
            "secretFrom[0]: 'a=' must be `path` or `key=path`",
        ),
    ],
)
def test_a_wrong_document_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SecretsError) as raised:
        parse({**HEAD, **fields})
    assert raised.value.message == re.sub(r"^(secretFrom)?", r"ksops document 's': \1", message, count=1)


@pytest.mark.parametrize("metadata", [None, "text", {}])
def test_a_document_without_a_name_is_named_as_such(metadata: object) -> None:
    with pytest.raises(SecretsError) as raised:
        parse({"metadata": metadata})
    assert raised.value.message == "ksops document '': has neither `files` nor `secretFrom`"


# What they generate, with a stand-in for sops that "decrypts" to known text


def generate(folder: Path, fields: dict[str, Any], contents: dict[str, bytes]) -> list[Any]:
    write(folder, dict.fromkeys(contents, "sops"))
    return plain(ksops.generate(parse({**HEAD, **fields}), folder, decrypt=contents.__getitem__))


def secret_from(**fields: Any) -> dict[str, Any]:
    return {"secretFrom": [{"metadata": {"name": "n"}, **fields}]}


def test_manifests_come_out_as_they_are_in_order(tmp_path: Path) -> None:
    contents = {"b.yaml": b"kind: B\nx: 010\n---\nkind: C\n", "a.yaml": b"kind: A\n"}
    assert generate(tmp_path, {"files": ["b.yaml", "a.yaml"]}, contents) == [
        {"kind": "B", "x": 8},
        {"kind": "C"},
        {"kind": "A"},
    ]


def test_one_secret_comes_from_files_binary_files_and_envs(tmp_path: Path) -> None:
    contents = {"z.txt": b"line\n", "a.bin": b"\xff\x00", "e.env": b"B=2\nA=1\n", "f.env": b"A=later\n"}
    fields = secret_from(type="Opaque", files=["z.txt", "k=z.txt"], binaryFiles=["a.bin"], envs=["e.env", "f.env"])
    assert generate(tmp_path, fields, contents) == [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "n"},
            "type": "Opaque",
            "stringData": {"A": "later", "B": "2", "k": "line\n", "z.txt": "line\n"},
            "data": {"a.bin": base64.b64encode(b"\xff\x00").decode()},
        }
    ]


@pytest.mark.parametrize(
    "text", ["yes", "1e3", "null", "0x1F", "2024-01-01", "- a", "a: b", "'", '"', "\n", "~", "", " x "]
)
def test_a_value_stays_a_string_whatever_it_looks_like(tmp_path: Path, text: str) -> None:
    (secret,) = generate(tmp_path, secret_from(files=["a"]), {"a": text.encode()})
    assert secret["stringData"] == {"a": text}


def test_a_file_that_is_missing_is_named_before_anything_is_decrypted(tmp_path: Path) -> None:
    def never(_path: str) -> bytes:
        raise AssertionError

    for fields in ({"files": ["gone.yaml"]}, secret_from(files=["k=gone.yaml"]), secret_from(envs=["gone.yaml"])):
        for decrypt in (never, None):
            with pytest.raises(SecretsError) as raised:
                ksops.generate(parse({**HEAD, **fields}), tmp_path, decrypt=decrypt)
            assert raised.value.message == ("gone.yaml: No such file or directory (a ksops document names it)")


@pytest.mark.parametrize("fields", [secret_from(files=["a"]), secret_from(envs=["a"])])
def test_what_is_no_text_belongs_under_binary_files(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(SecretsError) as raised:
        generate(tmp_path, fields, {"a": b"hunter2\xff"})
    assert raised.value.message == "a: not text after decryption"
    assert raised.value.hint == "list it under `binaryFiles`"


def test_a_manifest_that_does_not_parse_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(SecretsError) as raised:
        generate(tmp_path, {"files": ["a.yaml"]}, {"a.yaml": b"password: 'hunter2\n"})
    assert raised.value.message == "a.yaml: not YAML: line 2, column 1: found unexpected end of stream"


# dotenv: each row was run through github.com/joho/godotenv v1.5.1 itself


@pytest.mark.parametrize(
    ("text", "want"),
    [
        # plain values
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("\n\n  A = 1  \n\n", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=\nB=", {"A": "", "B": ""}),
        ("A==1=", {"A": "=1="}),
        ("A=x y", {"A": "x y"}),
        ("A=a'b\"c", {"A": "a'b\"c"}),
        ("A=x\\ny", {"A": "x\\ny"}),
        ("A=1\nA=2", {"A": "2"}),
        ("a.b_C9=x", {"a.b_C9": "x"}),
        ("A=größe", {"A": "größe"}),
        ("A=\u00a0x\u00a0", {"A": "x"}),
        # YAML's colon
        ("A: 1", {"A": "1"}),
        ("A:1", {"A": "1"}),
        ("A=b:c", {"A": "b:c"}),
        ("A:b=c", {"A": "b=c"}),
        ("URL=https://a:b@c/d?e=f", {"URL": "https://a:b@c/d?e=f"}),
        # export
        ("export A=1", {"A": "1"}),
        ("  export\tA=1", {"A": "1"}),
        ("export=1", {"export": "1"}),
        ("exportA=1", {"exportA": "1"}),
        # comments
        ("# one\nA=1\n  # two\nB=2 # three", {"A": "1", "B": "2"}),
        ("A=p#ss", {"A": "p#ss"}),
        ("A=p#ss word #comment", {"A": "p#ss word"}),
        ("A=a # b # c", {"A": "a # b"}),
        ("A=#x", {"A": "#x"}),
        ("A= #x", {"A": "#x"}),
        ("A=1\t#x", {"A": "1"}),
        ('A="1" # x', {"A": "1"}),
        ('A="1"#x', {"A": "1"}),
        ("#", {}),
        ("", {}),
        (" \n\t\n", {}),
        # double quotes
        ('A="a b"', {"A": "a b"}),
        ('A=""', {"A": ""}),
        ('A="a\\nb\\rc"', {"A": "a\nb\rc"}),
        ('A="a\nb"', {"A": "a\nb"}),
        ('A="a\\tb\\\\"x', None),
        ('A="a\\"b"', {"A": 'a"b'}),
        ('A="a\\\\n"', {"A": "a\\n"}),
        ('A="#x"', {"A": "#x"}),
        ('A="it\'s"', {"A": "it's"}),
        ('A="1" B=2', {"A": "1", "B": "2"}),
        # single quotes
        ("A='a b'", {"A": "a b"}),
        ("A=''", {"A": ""}),
        ("A='a\\nb$B'", {"A": "a\\nb$B"}),
        ("A='a\nb'", {"A": "a\nb"}),
        ("A='a\"b'", {"A": 'a"b'}),
        ("A='a\\'b'", {"A": "a\\'b"}),
        # variables: of the same text, and of what stands before
        ("B=1\nA=$B", {"B": "1", "A": "1"}),
        ("B=1\nA=${B}x", {"B": "1", "A": "1x"}),
        ('B=1\nA="x$B"', {"B": "1", "A": "x1"}),
        ("B=1\nA='$B'", {"B": "1", "A": "$B"}),
        ("A=$B\nB=1", {"A": "", "B": "1"}),
        ("A=a$b", {"A": "a$b"}),
        ("A=a$", {"A": "a$"}),
        ("A=a\\$B", {"A": "a$B"}),
        ('A="a\\$B"', {"A": "a$B"}),
        ("A=$$", {"A": "$$"}),
        ("A=100$", {"A": "100$"}),
        ("A=$(B)", {"A": ")"}),
        ("A=${b}", {"A": "${b}"}),
        # Windows
        ("A=1\r\nB='x'\r\n# c\r\nC=\r\n", {"A": "1", "B": "x", "C": ""}),
        ('A="a\r\nb"\r\n', {"A": "a\nb"}),
        # refused
        ('A="x', None),
        ("A='x", None),
        ('A="x\\"', None),
        ("é=1", None),
        ("A-B=1", None),
        ("A\nB=1", None),
        # taken by godotenv, but no Secret can have such a key
        ("A", None),
        ("=1", None),
        ("A B=1", None),
    ],
)
def test_dotenv_is_read_as_godotenv_reads_it(text: str, want: dict[str, str] | None) -> None:
    if want is not None:
        assert parse_dotenv(text, "f.env") == want
        assert parse_dotenv(f"{text}\nLAST=x\n", "f.env") == {**want, "LAST": "x"}
        return
    with pytest.raises(SecretsError):
        parse_dotenv(text, "f.env")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hunter2-x", 1),
        ("A=1\n\n# c\nhunter2", 4),
        ("A=1\r\nB='hunter2\r\n", 2),
        ("A='a\nb'\nhunter2-x=1", 3),
        ("A='1' hunter2-x", 1),
    ],
)
def test_a_line_that_is_none_is_named_by_its_number_only(text: str, line: int) -> None:
    with pytest.raises(SecretsError) as raised:
        parse_dotenv(text, "f.env")
    assert str(raised.value) == f"f.env:{line}: not a dotenv line after decryption"


# Sealed, from files of the real sops


def test_sealed_values_are_fingerprints_under_the_same_keys(tmp_path: Path, encrypt: Callable[..., Path]) -> None:
    encrypt("a.json", '{"x": 1}')
    encrypt("b.bin", b"\xff\x00")
    encrypt("c.env", "# c\nA=1\nexport B=2\nC=\nD_unencrypted=open\n")
    document = parse({**HEAD, **secret_from(files=["a.json", "k=a.json"], binaryFiles=["b.bin"], envs=["c.env"])})
    (secret,) = plain(ksops.generate(document, tmp_path, decrypt=None))
    assert list(secret) == ["apiVersion", "kind", "metadata", "stringData", "data"]
    data = secret["stringData"]
    assert list(data) == ["A", "B", "C", "D_unencrypted", "a.json", "k"]
    for key in ("A", "B", "a.json", "k"):
        assert re.fullmatch(r"sealed:[0-9a-f]{16}", data[key])
    assert data["a.json"] == data["k"]
    assert data["A"] != data["B"]
    assert (data["C"], data["D_unencrypted"]) == ("", "sealed:unencrypted")
    assert re.fullmatch(rb"sealed:[0-9a-f]{16}", base64.b64decode(secret["data"]["b.bin"]))


def test_metadata_is_text_whatever_it_looks_like() -> None:
    text = b"""\
secretFrom:
- metadata:
    name: 007
    labels: {day: 2024-13-01, version: 1.10, on: yes, none: , hex: 0x10}
    annotations: {a: =, b: <<, c: !!binary x}
  files: null
  envs:
"""
    (item,) = ksops.parse(ksops.load(text)).secret_from
    assert item.metadata == {
        "annotations": {"a": "=", "b": "<<", "c": "x"},
        "labels": {"day": "2024-13-01", "version": "1.10", "on": "yes", "none": "", "hex": "0x10"},
        "name": "007",
    }
    assert (item.files, item.envs) == ((), ())
    assert yaml.load(yaml.serialize(ksops._represent(item.metadata)), Loader=yaml.CSafeLoader) == item.metadata


@pytest.mark.parametrize("labels", ["x", ["x"], {"a": ["x"]}])
def test_labels_that_are_no_texts_are_refused(labels: object) -> None:
    with pytest.raises(SecretsError) as raised:
        ksops.parse({"secretFrom": [{"metadata": {"name": "x", "labels": labels}}]})
    assert raised.value.message.endswith("secretFrom[0]: `metadata.labels` must be a mapping of texts")
