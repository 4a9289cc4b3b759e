from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kustodian import process
from kustodian.resource import Resource, ResourceId, images, split, without_hash

from .kit import write

# What whoever reads lines and not YAML could take for a separator, a key or a comment. (kustomize itself refuses a
# text with a tab at its start or with U+0085.)
NASTY = (
    "---",
    "---\n",
    "\n---\nkind: Evil\n",
    "kind: Evil",
    "\nkind: Evil\nmetadata: {}\n",
    "kind: Evil\n---\nkind: Evil",
    "  kind: Evil\n ---\n",
    "# kind: Evil\n---",
    "...\n",
    'kind: "Evil"\r\n---\r\n',
    "image: evil",
    " leading\n\n\ntrailing \n\n",
    "x" * 200 + " " + "kind: y " * 30,
    "\u2028kind: Evil\u2028---\u2028",
    "é: ü\n---\nü",
)


def test_documents_are_told_apart_in_order() -> None:
    text = b"kind: A\nx: 1\n---\nkind: B\n---  \nkind: 'C'\n---\n"
    assert [resource.text for resource in split(text)] == [b"kind: A\nx: 1\n", b"kind: B\n", b"kind: 'C'\n"]
    assert [resource.kind for resource in split(text)] == ["A", "B", "C"]


@pytest.mark.parametrize("text", [b"", b"\n", b"---\n", b"---\n\n---\n", b" \n---\n  \n"])
def test_a_stream_without_documents_has_no_resources(text: bytes) -> None:
    assert list(split(text)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("=", "="),
        ("2024-13-01", "2024-13-01"),
        ("2024-01-01", "2024-01-01"),
        ("._", "._"),
        ("0x_", "0x_"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        ("~", None),
        ("", None),
        ("9" * 5000, "9" * 5000),
        ("<<", "<<"),
    ],
)
def test_scalars_are_read_as_kustomize_writes_them(text: str, value: object) -> None:
    (resource,) = split(f"kind: X\na: {text}\n".encode())
    assert resource.document["a"] == value


@given(st.lists(st.dictionaries(st.text(min_size=1), st.text(), min_size=1), max_size=6))
def test_joined_documents_come_apart_as_they_were(documents: list[dict[str, str]]) -> None:
    # Quoted, as kustomize writes every string that is not plainly one.
    options: dict[str, Any] = {"allow_unicode": True, "default_flow_style": False, "default_style": '"'}
    texts = [yaml.dump({"data": document}, Dumper=yaml.CSafeDumper, **options).encode() for document in documents]
    resources = list(split(b"---\n".join(texts)))
    assert [resource.text for resource in resources] == texts
    assert [resource.document for resource in resources] == [{"data": document} for document in documents]


def test_no_scalar_of_a_real_render_is_misread(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """kustomize's own way of writing scalars, with every text that looks like structure."""
    names = [f"m{number}" for number in range(len(NASTY))]
    maps = [
        {
            "apiVersion": "v1",
            "metadata": {"name": name, "annotations": {"note": text}},
            "data": {"a": text, "z": text},
            "kind": "ConfigMap",
        }
        for name, text in zip(names, NASTY, strict=True)
    ]
    write(
        tmp_path,
        {
            "maps.yaml": yaml.safe_dump_all(maps),
            "kustomization.yaml": "resources: [maps.yaml]\nconfigMapGenerator:\n- name: made\n  files: [note]\n",
            "note": "".join(NASTY),
        },
    )
    rendered = process.run([tool("kustomize"), "build", tmp_path], timeout=30).stdout
    want = list(yaml.load_all(rendered, Loader=yaml.CSafeLoader))
    resources = list(split(rendered))
    assert [resource.document for resource in resources] == want
    assert [resource.kind for resource in resources] == ["ConfigMap"] * (len(NASTY) + 1)
    assert {resource.id.name for resource in resources} > set(names)
    assert b"---\n".join(resource.text for resource in resources) == rendered


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"apiVersion: v1\nkind: Secret\n", "Secret"),
        (b'kind:   "Secret"   # one\n', "Secret"),
        (b"kind: 'Secret'\n", "Secret"),
        (b"kind: Secret", "Secret"),
        (b"spec:\n  kind: Other\nkind: Own\n", "Own"),
        (b"spec:\n  kind: Other\n", ""),
        (b"kinder: x\n", ""),
        (b"- kind: x\n", ""),
        (b"", ""),
    ],
)
def test_the_kind_is_the_one_at_the_top(text: bytes, kind: str) -> None:
    assert Resource(text).kind == kind


def test_a_resource_says_what_it_is() -> None:
    resource = Resource(b"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n")
    assert resource.api_version == "apps/v1"
    assert resource.id == ResourceId("Deployment", "shop", "web")
    assert str(resource.id) == "Deployment/shop/web"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"kind: Namespace\nmetadata: {name: x}\n", "Namespace/x"),
        (b"kind: X\n", "X"),
        (b"kind: X\nmetadata:\n", "X"),
        (b"kind: X\nmetadata: {name: 12}\n", "X/12"),
        (b"- kind: X\n", ""),
        (b"just text\n", ""),
    ],
)
def test_an_incomplete_resource_says_what_it_can(text: bytes, shown: str) -> None:
    assert str(Resource(text).id) == shown


def test_a_document_is_parsed_once() -> None:
    resource = Resource(b"kind: X\n")
    assert resource.document is resource.document


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("config-g4hk9g2ff8", "config"),
        ("a-b-t757gk2bmf", "a-b"),
        ("config", "config"),
        ("config-production", "config-production"),
        ("config-abcdefghij", "config-abcdefghij"),  # a, e, i and j are in no hash
        ("config-g4hk9g2ff", "config-g4hk9g2ff"),
        ("config-g4hk9g2ff88", "config-g4hk9g2ff88"),
        ("x-g4hk9g2ff8-y", "x-g4hk9g2ff8-y"),
        ("g4hk9g2ff8", "g4hk9g2ff8"),
    ],
)
def test_a_hash_of_kustomize_is_taken_off(name: str, want: str) -> None:
    assert without_hash(name) == want


def test_the_hashes_that_kustomize_makes_are_taken_off(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    generators = "".join(f"- name: conf-{number}\n  literals: [a={number}]\n" for number in range(60))
    write(tmp_path, {"kustomization.yaml": f"configMapGenerator:\n{generators}"})
    rendered = process.run([tool("kustomize"), "build", tmp_path], timeout=30).stdout
    names = [resource.id.name for resource in split(rendered)]
    assert sorted(map(without_hash, names)) == sorted(f"conf-{number}" for number in range(60))
    assert set(names).isdisjoint(map(without_hash, names))


POD: dict[str, Any] = {
    "initContainers": [{"name": "i", "image": "init:1"}],
    "containers": [{"name": "a", "image": "app:1"}, {"name": "b", "image": "side:1"}],
    "ephemeralContainers": [{"name": "e", "image": "debug:1"}],
}


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Pod", "spec": POD},
        {"kind": "Deployment", "spec": {"replicas": 1, "template": {"spec": POD}}},
        {"kind": "Job", "spec": {"template": {"metadata": {}, "spec": POD}}},
        {"kind": "CronJob", "spec": {"schedule": "x", "jobTemplate": {"spec": {"template": {"spec": POD}}}}},
    ],
    ids=lambda document: document["kind"],
)
def test_images_of_each_workload(document: dict[str, Any]) -> None:
    assert list(images(document)) == ["init:1", "app:1", "side:1", "debug:1"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"spec": None},
        {"spec": "text"},
        {"spec": {"template": None}},
        {"spec": {"template": {"spec": None}}},
        {"spec": {"template": "a {{ template }}"}},
        {"spec": {"jobTemplate": {"spec": None}}},
        {"spec": {"containers": None}},
        {"spec": {"containers": ["text", {"name": "no image"}, {"image": 1}]}},
        {"data": {"image": "x"}},
    ],
)
def test_what_has_no_containers_has_no_images(document: dict[str, Any]) -> None:
    assert list(images(document)) == []
