from __future__ import annotations

import datetime
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kustodian.errors import OutputError, ToolError
from kustodian.validate import kubeconform, schemas

pytestmark = pytest.mark.xdist_group("schemas")

Schema = dict[str, Any]
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1, ports: [{containerPort: 80}]}]}
"""


# Kubernetes' own kinds


def check(program: Path, text: str, *locations: str) -> kubeconform.Verdict:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stream.yaml"
        file.write_text(text, "utf-8")
        return kubeconform.check(program, [file], schemas=locations, skip=(), timeout=30)[file]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


@pytest.mark.usefixtures("offline")
def test_a_deployment_is_held_to_its_schema_offline(kubernetes: Path, tool: Callable[[str], Path]) -> None:
    location = f"{kubernetes}/{schemas.TEMPLATE}"
    good = check(tool("kubeconform"), DEPLOYMENT.replace("REPLICAS", "2"), location)
    assert good == kubeconform.Verdict()
    bad = check(tool("kubeconform"), DEPLOYMENT.replace("REPLICAS", "two"), location)
    (complaint,) = bad.invalid
    assert (complaint.kind, complaint.name) == ("Deployment", "web")
    assert complaint.fields == (("/spec/replicas", "got string, want null or integer"),)


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("v1/namespace_v1", "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n"),
        (
            "autoscaling/horizontalpodautoscaler_v2",
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\n"
            "spec: {maxReplicas: 2, scaleTargetRef: {kind: Deployment, name: d}}\n",
        ),
        (
            "apiextensions.k8s.io/customresourcedefinition_v1",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: t.a.b}\n"
            "spec: {group: a.b, names: {kind: T, plural: t}, scope: Cluster, versions: "
            "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, "
            "properties: {description: {type: string}, $ref: {type: string}}}}}]}\n",
        ),
    ],
)
@pytest.mark.usefixtures("offline")
def test_a_kind_of_any_group_has_its_file(
    kubernetes: Path, tool: Callable[[str], Path], kind: str, document: str
) -> None:
    assert (kubernetes / f"{kind}.json").is_file()
    verdict = check(tool("kubeconform"), document, f"{kubernetes}/{schemas.TEMPLATE}")
    assert verdict == kubeconform.Verdict()


def test_every_reference_leads_into_the_same_file_and_nothing_has_an_address(kubernetes: Path) -> None:
    files = sorted(kubernetes.glob("*/*.json"))
    assert len(files) > 150
    for file in files:
        schema = json.loads(file.read_text("utf-8"))
        assert "$id" not in schema
        for reference in references(schema):
            assert reference.removeprefix("#/$defs/") in schema["$defs"], (file.name, reference)


def references(schema: object) -> list[str]:
    if isinstance(schema, list):
        return [found for item in schema for found in references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [found for item in schema.values() for found in references(item)]


def test_a_conversion_is_made_once(tmp_path: Path, kubernetes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_source: Path) -> object:
        raise AssertionError

    monkeypatch.setattr(schemas, "_convert", never)
    assert schemas.kubernetes("1.36", kubernetes.parents[1]) == kubernetes
    assert kubernetes.parent.name == "schemas"
    assert kubernetes.stat().st_mode & 0o777 == 0o755
    assert list(kubernetes.parent.iterdir()) == [kubernetes]


def test_a_version_without_schemas_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as raised:
        schemas.kubernetes("1.12", tmp_path)
    assert raised.value.message.startswith("kubernetes-validate ")
    assert raised.value.message.endswith(" has no schemas of Kubernetes 1.12")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as raised:
        schemas.custom([definition({"type": "object"})], tmp_path / "file")
    assert raised.value.message.startswith(f"can't write schemas to {tmp_path / 'file'}/schemas/custom-")
    assert raised.value.message.endswith(": Not a directory")
    assert raised.value.hint == "make the folder writable, or name another one in KUSTODIAN_CACHE"


def test_whoever_comes_second_keeps_the_first_ones(tmp_path: Path) -> None:
    target = tmp_path / "schemas" / "x"
    schemas._publish(target, [("a.json", {"first": True})])
    schemas._publish(target, [("a.json", {"second": True})])
    assert json.loads((target / "a.json").read_text("utf-8")) == {"first": True}
    assert list(target.parent.iterdir()) == [target]


# Custom kinds


def definition(schema: Schema | None, *versions: Schema) -> Schema:
    return {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "a.example.com",
            "names": {"kind": "Thing"},
            "versions": list(versions) or [{"name": "v1", "schema": {"openAPIV3Schema": schema}}],
        },
    }


def spec(**properties: Schema) -> Schema:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


THING = "apiVersion: a.example.com/v1\nkind: Thing\nmetadata: {name: t, labels: {a: b}}\n"


@pytest.mark.parametrize(
    ("schema", "text", "complaints"),
    [
        (spec(port={"type": "integer"}), "spec: {port: 80}", []),
        (spec(port={"type": "integer"}), "spec: {port: eighty}", [("/spec/port", "got string, want integer")]),
        (
            spec(port={"type": "integer"}),
            "spec: {prot: 80}",
            [("/spec", "additional properties 'prot' not allowed")],
        ),
        (spec(), "status: {}", [("", "additional properties 'status' not allowed")]),
        (
            {**spec(port={"type": "integer"}), "required": ["spec"]},
            "",
            [("", "missing property 'spec'")],
        ),
        # preserve-unknown-fields: open where it stands, and no deeper
        (spec(any={"type": "object", "x-kubernetes-preserve-unknown-fields": True}), "spec: {any: {x: {y: 1}}}", []),
        (
            spec(
                any={
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}},
                }
            ),
            "spec: {any: {x: 1, known: {b: 1}}}",
            [("/spec/any/known", "additional properties 'b' not allowed")],
        ),
        (spec(any={"x-kubernetes-preserve-unknown-fields": True}), "spec: {any: [1, two]}", []),
        # an object of which nothing is said has no fields
        (
            spec(map={"type": "object"}),
            "spec: {map: {x: 1}}",
            [("/spec/map", "additional properties 'x' not allowed")],
        ),
        (spec(map={"type": "object"}), "spec: {map: {}}", []),
        (spec(map={"type": "object", "additionalProperties": True}), "spec: {map: {x: 1}}", []),
        (spec(map={"type": "object", "properties": None}), "spec: {map: {}}", []),
        ({"type": "object"}, "spec: {}", [("", "additional properties 'spec' not allowed")]),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "spec: {a: 1}", []),
        ({**spec(), "properties": {"metadata": {"type": "object"}}}, "", []),
        (
            spec(template={"type": "object", "x-kubernetes-embedded-resource": True}),
            "spec: {template: {apiVersion: v1, kind: Pod, metadata: {name: x}, data: {}}}",
            [],
        ),
        # what `not` and its like contain only tests: a closed object there would mean something else
        (
            spec(
                a={
                    "type": "object",
                    "properties": {"b": {"type": "integer"}, "c": {"type": "integer"}},
                    "not": {"properties": {"b": {"enum": [1]}}, "required": ["b"]},
                }
            ),
            "spec: {a: {b: 1, c: 1}}",
            [("/spec/a", "'not' failed")],
        ),
        *(
            (
                spec(
                    a={
                        "type": "object",
                        "properties": {"b": {"type": "object", "properties": {"c": {"type": "integer"}}}},
                        key: [{"properties": {"b": {"properties": {}, "required": ["c"]}}}],
                    }
                ),
                "spec: {a: {b: {c: 1}}}",
                [],
            )
            for key in ("allOf", "anyOf", "oneOf")
        ),
        (
            spec(a={"type": "integer", "allOf": [{"minimum": 1}, {"exclusiveMinimum": False}]}),
            "spec: {a: 0}",
            [("/spec/a", "'allOf' failed"), ("/spec/a", "minimum: got 0, want 1")],
        ),
        # YAML may hold what JSON can't
        (spec(a={"type": "string", "default": datetime.date(2024, 1, 1)}), "spec: {a: x}", []),
        ({"type": "object", "properties": {1: {"type": "integer"}, "a": {"type": "integer"}}}, "a: 1", []),
        (
            spec(map={"type": "object", "additionalProperties": {"type": "string"}}),
            "spec: {map: {x: 1}}",
            [("/spec/map/x", "got number, want string")],
        ),
        # int-or-string
        (spec(port={"x-kubernetes-int-or-string": True}), "spec: {port: 80}", []),
        (spec(port={"x-kubernetes-int-or-string": True}), "spec: {port: http}", []),
        (
            spec(port={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            "spec: {port: [80]}",
            None,
        ),
        (
            spec(port={"type": "object", "x-kubernetes-int-or-string": True}),
            "spec: {port: 1.5}",
            [("/spec/port", "got number, want integer or string")],
        ),
        # nullable
        (spec(a={"type": "string", "nullable": True}), "spec: {a: null}", []),
        (
            spec(a={"type": "string", "nullable": True}),
            "spec: {a: 1}",
            [("/spec/a", "got number, want null or string")],
        ),
        (spec(a={"type": "string", "nullable": False}), "spec: {a: null}", [("/spec/a", "got null, want string")]),
        (spec(a={"x-kubernetes-int-or-string": True, "nullable": True}), "spec: {a: null}", []),
        (
            spec(a={"type": "object", "nullable": True, "properties": {"b": {"type": "string"}}}),
            "spec: {a: {c: 1}}",
            [("/spec/a", "additional properties 'c' not allowed")],
        ),
        # an embedded resource brings its own three fields
        (
            spec(
                template={
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": {"type": "object"}},
                }
            ),
            "spec: {template: {apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {}}}",
            [],
        ),
        (
            spec(template={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {}}),
            "spec: {template: {kind: Pod, data: {}}}",
            [("/spec/template", "additional properties 'data' not allowed")],
        ),
        # lists, enumerations, limits
        (
            spec(many={"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}}),
            "spec: {many: [{a: 1}, {b: 1}]}",
            [("/spec/many/1", "additional properties 'b' not allowed")],
        ),
        (
            spec(a={"type": "string", "enum": ["x", "y"]}),
            "spec: {a: z}",
            [("/spec/a", "value must be one of 'x', 'y'")],
        ),
        (spec(a={"type": "integer", "minimum": 1}), "spec: {a: 0}", [("/spec/a", "minimum: got 0, want 1")]),
        # an exclusive limit is a boolean beside the limit, or a useless false without one
        (spec(a={"type": "integer", "minimum": 1, "exclusiveMinimum": True}), "spec: {a: 2}", []),
        (
            spec(a={"type": "integer", "minimum": 1, "exclusiveMinimum": True}),
            "spec: {a: 1}",
            [("/spec/a", "exclusiveMinimum: got 1, want 1")],
        ),
        (
            spec(a={"type": "integer", "maximum": 9, "exclusiveMaximum": True, "exclusiveMinimum": False}),
            "spec: {a: 9}",
            [("/spec/a", "exclusiveMaximum: got 9, want 9")],
        ),
        # a property may be called like a keyword
        (
            spec(description={"type": "string", "description": "of it"}, nullable={"type": "boolean"}),
            "spec: {description: text, nullable: true}",
            [],
        ),
        (spec(items={"type": "integer"}, properties={"type": "integer"}), "spec: {items: 1, properties: 2}", []),
        (spec(**{"x-y": {"type": "integer"}}), "spec: {x-y: 1}", []),
        (None, "spec: {anything: goes}", []),
    ],
)
def test_a_custom_kind_is_held_to_its_definition_strictly(
    tmp_path: Path,
    tool: Callable[[str], Path],
    schema: Schema | None,
    text: str,
    complaints: list[tuple[str, str]] | None,
) -> None:
    folder = schemas.custom([definition(schema)], tmp_path)
    verdict = check(tool("kubeconform"), f"{THING}{text}\n", f"{folder}/{schemas.TEMPLATE}")
    assert verdict.unchecked == ()
    if complaints is None:
        assert len(verdict.invalid) == 1
        return
    assert [field for complaint in verdict.invalid for field in complaint.fields] == complaints
    assert bool(verdict.invalid) == bool(complaints)


def test_each_version_of_a_definition_counts(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    versions: list[Schema] = [
        {"name": "v1", "schema": {"openAPIV3Schema": spec(a={"type": "integer"})}},
        {"name": "v2", "schema": {"openAPIV3Schema": spec(a={"type": "string"})}},
        {"name": "v3"},
    ]
    folder = schemas.custom([definition(None, *versions)], tmp_path)
    text = "---\n".join(
        f"{THING.replace('/v1', f'/{version}').replace('name: t', f'name: {name}')}spec: {{a: {value}}}\n"
        for name, version, value in [
            ("good1", "v1", "1"),
            ("bad1", "v1", "x"),
            ("bad2", "v2", "1"),
            ("any", "v3", "[]"),
        ]
    )
    verdict = check(tool("kubeconform"), text, f"{folder}/{schemas.TEMPLATE}")
    assert [complaint.name for complaint in verdict.invalid] == ["bad1", "bad2"]
    assert verdict.unchecked == ()
    assert written(folder) == [f"a.example.com/thing_{version}.json" for version in ("v1", "v2", "v3")]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"spec": None},
        {"spec": 5},
        {"spec": {}},
        {"spec": {"group": "a"}},
        {"spec": {"group": "a", "names": 5}},
        {"spec": {"group": "a", "names": {"kind": 5}}},
        {"spec": {"group": 1, "names": {"kind": "T"}}},
    ],
)
def test_a_damaged_definition_makes_no_schema(tmp_path: Path, document: Schema) -> None:
    assert schemas.custom([{"kind": "CustomResourceDefinition", **document}], tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def cyclic() -> Schema:
    schema: Schema = {"type": "object"}
    schema["properties"] = {"a": schema}
    return schema


DAMAGED: list[Any] = [
    {"properties": 5},
    {"properties": {"spec": 5}},
    {"properties": {"spec": {"properties": []}}},
    {"properties": {"spec": {"items": [{}]}}},
    {"properties": {"spec": {"additionalProperties": "x"}}},
    {"properties": {"spec": {"allOf": {}}}},
    {"properties": {"spec": {"oneOf": [5]}}},
    {"properties": {"spec": {"not": 5}}},
    cyclic(),
]


@pytest.mark.parametrize(
    "versions",
    [
        5,
        {},
        "v1",
        ["v1"],
        [None],
        [{"schema": None}],
        [{"name": 5, "schema": None}],
        [{"name": "v1", "schema": 5}],
        [{"name": "v1", "schema": {"openAPIV3Schema": 5}}],
        *([{"name": "v1", "schema": {"openAPIV3Schema": schema}}] for schema in DAMAGED),
    ],
)
def test_damaged_versions_are_passed_over(tmp_path: Path, versions: Any) -> None:
    document = {
        "kind": "CustomResourceDefinition",
        "spec": {"group": "a", "names": {"kind": "T"}, "versions": versions},
    }
    assert written(schemas.custom([document, definition(spec())], tmp_path)) == ["a.example.com/thing_v1.json"]


def written(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("group", "kind", "version"),
    [
        ("../x", "T", "v1"),
        ("..", "T", "v1"),
        ("", "T", "v1"),
        ("{tmp}/victim", "T", "v1"),
        ("a/b", "T", "v1"),
        ("a..b", "T", "v1"),
        ("A.b", "T", "v1"),
        ("a.b\n", "T", "v1"),
        ("a" * 254, "T", "v1"),
        ("a.b", "../T", "v1"),
        ("a.b", "", "v1"),
        ("a.b", "1T", "v1"),
        ("a.b", "T\n", "v1"),
        ("a.b", "T" * 64, "v1"),
        ("a.b", "T", "/../../../victim/package"),
        ("a.b", "T", "v1/.."),
        ("a.b", "T", "V1"),
        ("a.b", "T", "v1-"),
        ("a.b", "T", "v1\n"),
        ("a.b", "T", "v" * 64),
        ("a.b", "T", ""),
    ],
)
def test_names_that_kubernetes_does_not_allow_make_no_file(tmp_path: Path, group: str, kind: str, version: str) -> None:
    victim = tmp_path / "victim" / "package.json"
    victim.parent.mkdir()
    victim.write_text("mine", "utf-8")
    bad = {"spec": {"group": group.format(tmp=tmp_path), "names": {"kind": kind}, "versions": [{"name": version}]}}
    assert schemas.custom([bad], tmp_path / "cache") is None
    assert written(schemas.custom([bad, definition(spec())], tmp_path / "cache")) == ["a.example.com/thing_v1.json"]
    assert written(tmp_path)[1:] == ["victim/package.json"]
    assert victim.read_text("utf-8") == "mine"


@pytest.mark.parametrize("name", ["../x.json", "a/../../x.json", "{tmp}/x.json", ".", "a/.."])
def test_nothing_is_written_beside_the_folder(tmp_path: Path, name: str) -> None:
    target = tmp_path / "schemas" / "x"
    with pytest.raises(OutputError) as raised:
        schemas._publish(target, [("a.json", {}), (name.format(tmp=tmp_path), {})])
    assert raised.value.message.startswith(f"can't write schemas to {target}: ")
    assert raised.value.message.endswith(" isn't below it")
    assert list(tmp_path.rglob("*")) == [target.parent]


def test_a_version_that_is_not_served_has_no_schema(tmp_path: Path) -> None:
    versions: list[Schema] = [{"name": "v1", "served": False}, {"name": "v2", "served": True}, {"name": "v3"}]
    folder = schemas.custom([definition(None, *versions)], tmp_path)
    assert written(folder) == ["a.example.com/thing_v2.json", "a.example.com/thing_v3.json"]
    assert schemas.custom([definition(None, versions[0])], tmp_path) is None


def test_the_same_definitions_have_the_same_folder_and_others_another(tmp_path: Path) -> None:
    one, two = definition(spec(a={"type": "integer"})), definition(spec(a={"type": "string"}))
    assert schemas.custom([one], tmp_path) == schemas.custom([one], tmp_path)
    assert schemas.custom([one], tmp_path) != schemas.custom([two], tmp_path)
    assert schemas.custom([], tmp_path) is None
