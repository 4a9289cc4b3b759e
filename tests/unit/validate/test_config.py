from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kustodian.errors import RepositoryError
from kustodian.resource import Resource
from kustodian.validate import config
from kustodian.validate.config import Violation

Schema = dict[str, Any]
Check = Callable[..., list[Violation]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """What breaks a schema; further schema files by name."""

    def run(schema: object, instance: dict[str, dict[str, Any]], **files: object) -> list[Violation]:
        for name, content in {"schema": schema, **files}.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / f"{name}.json").write_text(text, "utf-8")
        return list(config.check(instance, tmp_path / "schema.json"))

    return run


def of_key(schema: object) -> Schema:
    """A schema that asks something of the key `k` of the ConfigMap `app`."""
    return {"properties": {"app": {"properties": {"k": schema}}}}


# The instance


def test_the_instance_is_the_data_of_every_config_map_by_its_name_without_the_hash() -> None:
    resources = [
        Resource(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-g4hk9g2ff8}\ndata: {A: '1'}\n"),
        Resource(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: empty}\n"),
        Resource(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: damaged}\ndata: [x]\n"),
        Resource(b"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {A: eA==}\n"),
        Resource(b"apiVersion: other/v1\nkind: ConfigMap\nmetadata: {name: o}\ndata: {A: x}\n"),
    ]
    assert config.configuration(resources) == {"app": {"A": "1"}, "empty": {}, "damaged": {}}


# Strings that read as what a schema asks for


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"type": "string"}, ["", "x", "1", "true"], []),
        (
            {"type": "integer"},
            ["0", "7", "-12", "9" * 300],
            ["9" * 301, "9" * 5000, "", "x", "1.5", "1.0", "007", "+1", "1e3", " 1", "0x1", "true", "-0x"],
        ),
        (
            {"type": "number"},
            ["0", "7", "-12", "1.5", "-0.25", "1.0"],
            ["9" * 5000, "9" * 5000 + ".5", "", "x", "1.", ".5", "01.5", "1e3", "NaN", "true"],
        ),
        ({"type": "boolean"}, ["true", "false"], ["True", "yes", "1", "0", "", "on"]),
        ({"type": ["integer", "boolean"]}, ["1", "true"], ["x"]),
        ({"type": "integer", "minimum": 5}, ["5", "10"], ["4", "-1"]),
        ({"type": "integer", "maximum": 5}, ["5", "-10"], ["6", "10"]),
        ({"type": "integer", "exclusiveMinimum": 5}, ["6"], ["5"]),
        ({"type": "number", "exclusiveMaximum": 5}, ["4.9"], ["5", "5.0"]),
        ({"type": "integer", "multipleOf": 5}, ["0", "25"], ["7"]),
        ({"type": "integer", "enum": [1, 2]}, ["1", "2"], ["3", "12"]),
        ({"enum": ["debug", "info"]}, ["info"], ["INFO", ""]),
        ({"enum": ["1", 2, True]}, ["1", "2", "true"], ["false", "3"]),
        ({"const": True}, ["true"], ["false", "True", "1"]),
        ({"const": 1}, ["1"], ["true", "2", "01"]),
        ({"const": "1"}, ["1"], ["2"]),
        ({"const": 1.5}, ["1.5"], ["1.50x"]),
        ({"not": {"const": True}}, ["false", "x"], ["true"]),
        ({"not": {"enum": [1, "x"]}}, ["2"], ["1", "x"]),
        ({"pattern": "^https://"}, ["https://x"], ["http://x"]),
        ({"minLength": 2, "maxLength": 3}, ["ab", "12"], ["a", "1234"]),
        ({"minimum": 5}, ["7", "text"], ["3"]),
        ({"anyOf": [{"const": "off"}, {"type": "integer", "minimum": 1}]}, ["off", "3"], ["on", "0"]),
    ],
)
def test_a_string_is_taken_as_what_it_reads_as(
    check: Check, schema: Schema, right: list[str], wrong: list[str]
) -> None:
    assert {text: check(of_key(schema), {"app": {"k": text}}) for text in right} == {text: [] for text in right}
    for text in wrong:
        found = check(of_key(schema), {"app": {"k": text}})
        assert [(violation.config_map, violation.key) for violation in found] == [("app", "k")], text


# Messages


@pytest.mark.parametrize(
    ("schema", "instance", "violations"),
    [
        (of_key({"type": "integer"}), {"app": {"k": "x"}}, [Violation("app", "k", "'x' is not of type 'integer'")]),
        (
            of_key({"type": "integer", "minimum": 5}),
            {"app": {"k": "4"}},
            [Violation("app", "k", "4 is less than the minimum of 5")],
        ),
        (of_key({"const": "a"}), {"app": {"k": "b"}}, [Violation("app", "k", "'a' was expected")]),
        (
            of_key({"enum": ["a", "c"]}),
            {"app": {"k": "b"}},
            [Violation("app", "k", "'b' is not one of ['a', 'c']")],
        ),
        (
            of_key({"pattern": "^a$", "x-message": "must be a, see docs/a.md"}),
            {"app": {"k": "b"}},
            [Violation("app", "k", "must be a, see docs/a.md")],
        ),
        ({"required": ["app"]}, {}, [Violation("app", "", "the ConfigMap 'app' is missing")]),
        (
            {"required": ["app", "db", "cache"]},
            {"db": {}},
            [
                Violation("app", "", "the ConfigMap 'app' is missing"),
                Violation("cache", "", "the ConfigMap 'cache' is missing"),
            ],
        ),
        (
            {"properties": {"app": {"required": ["a", "b", "c"]}}},
            {"app": {"b": "1"}},
            [Violation("app", "a", "the key 'a' is missing"), Violation("app", "c", "the key 'c' is missing")],
        ),
        (
            {"properties": {"app": {"properties": {"a": {}}, "additionalProperties": False}}},
            {"app": {"a": "1", "z": "1", "b": "2"}},
            [
                Violation("app", "b", "the schema knows no such key"),
                Violation("app", "z", "the schema knows no such key"),
            ],
        ),
        (
            {
                "properties": {
                    "app": {"properties": {"a": {}}, "patternProperties": {"^X_": {}}, "additionalProperties": False}
                }
            },
            {"app": {"a": "1", "X_1": "1", "b": "2"}},
            [Violation("app", "b", "the schema knows no such key")],
        ),
        (
            {"properties": {"app": {}}, "additionalProperties": False},
            {"app": {}, "other": {}},
            [Violation("", "", "Additional properties are not allowed ('other' was unexpected)")],
        ),
        (of_key(False), {"app": {"k": "1"}}, [Violation("app", "", "False schema does not allow '1'")]),
        (of_key(True), {"app": {"k": "1"}}, []),
        (
            {"properties": {"app": {"dependentRequired": {"a": ["b"]}}}},
            {"app": {"a": "1"}},
            [Violation("app", "", "'b' is a dependency of 'a'")],
        ),
    ],
)
def test_a_violation_names_config_map_key_and_reason(
    check: Check, schema: Schema, instance: dict[str, dict[str, Any]], violations: list[Violation]
) -> None:
    assert check(schema, instance) == violations


def test_violations_come_in_the_order_of_their_places(check: Check) -> None:
    number = {"type": "integer"}
    schema = {"properties": {name: {"properties": {"b": number, "a": number}} for name in ("z", "m")}}
    found = check(schema, {"z": {"b": "x", "a": "x"}, "m": {"b": "x"}})
    assert [(violation.config_map, violation.key) for violation in found] == [("m", "b"), ("z", "a"), ("z", "b")]


def test_nothing_is_asked_of_nothing(check: Check) -> None:
    assert check({}, {"app": {"k": "1"}}) == []
    assert check({"$schema": "https://json-schema.org/draft/2020-12/schema"}, {}) == []


# Several files


def test_a_reference_leads_into_another_file_with_the_same_reading_of_strings(check: Check) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"app": {"$ref": "common.json#/$defs/app"}, "db": {"$ref": "db.json"}},
    }
    files = {
        "common": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {"app": {"properties": {"k": {"$ref": "#/$defs/port"}}}, "port": {"type": "integer"}},
        },
        "db": {"required": ["url"]},
    }
    assert check(schema, {"app": {"k": "80"}, "db": {"url": "x"}}, **files) == []
    assert check(schema, {"app": {"k": "x"}, "db": {}}, **files) == [
        Violation("app", "k", "'x' is not of type 'integer'"),
        Violation("db", "url", "the key 'url' is missing"),
    ]


def test_an_overlays_schema_may_narrow_a_common_one(check: Check) -> None:
    schema = {"allOf": [{"$ref": "common.json"}, of_key({"const": "info"})]}
    common = of_key({"enum": ["debug", "info"]})
    assert check(schema, {"app": {"k": "info"}}, common=common) == []
    assert check(schema, {"app": {"k": "debug"}}, common=common) == [Violation("app", "k", "'info' was expected")]


def test_a_path_with_spaces_and_other_letters_is_a_file_like_any(tmp_path: Path) -> None:
    folder = tmp_path / "größe 1 #2 %20"
    folder.mkdir()
    (folder / "a b.json").write_text('{"$ref": "c%20d.json"}', "utf-8")
    (folder / "c d.json").write_text('{"required": ["app"]}', "utf-8")
    assert list(config.check({}, folder / "a b.json")) == [Violation("app", "", "the ConfigMap 'app' is missing")]


# Wrong schemas


def refusal(check: Check, schema: object, **files: object) -> RepositoryError:
    with pytest.raises(RepositoryError) as raised:
        check(schema, {"app": {"k": "1"}}, **files)
    return raised.value


def test_a_missing_schema_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError) as raised:
        list(config.check({}, tmp_path / "gone.json"))
    assert raised.value.message == f"{tmp_path / 'gone.json'}: No such file or directory"
    assert raised.value.hint == "`config.schema` in kustodian.yaml names it; every environment needs one"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "a schema must be an object"),
        ('"x"', "a schema must be an object"),
        (of_key({"pattern": "["}), "not a usable JSON Schema: "),
        (of_key({"type": "nonsense"}), "not a usable JSON Schema: "),
        (of_key({"minimum": "5"}), "not a usable JSON Schema: "),
        ({"required": "app"}, "not a usable JSON Schema: "),
        ({"properties": ["app"]}, "not a usable JSON Schema: "),
        (of_key({"$ref": "#/$defs/gone"}), "not a usable JSON Schema: "),
        (of_key({"$ref": "http://["}), "not a usable JSON Schema: Invalid IPv6 URL"),
    ],
)
def test_a_wrong_schema_file_is_named(check: Check, tmp_path: Path, schema: object, message: str) -> None:
    error = refusal(check, schema)
    assert error.message.startswith(f"{tmp_path / 'schema.json'}: {message}")
    assert "\n" not in error.message


@pytest.mark.parametrize("scheme", ["https://example.com", "http:", "file://example.com", "ftp://x"])
def test_a_reference_to_what_is_no_file_is_refused(check: Check, tmp_path: Path, scheme: str) -> None:
    (tmp_path / "other.json").write_text("{}", "utf-8")
    uri = f"{scheme}{tmp_path}/other.json"
    error = refusal(check, {"$ref": uri})
    assert error.message == (
        f"{tmp_path / 'schema.json'}: `$ref` to {uri}: only files of the repository can be referred to"
    )


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, {"$ref": "schema.json"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}]
)
def test_a_reference_that_goes_in_a_circle_is_refused(check: Check, tmp_path: Path, schema: Schema) -> None:
    reason = "it refers to itself without end, or is nested too deeply"
    assert refusal(check, schema).message == f"{tmp_path / 'schema.json'}: not a usable JSON Schema: {reason}"


def test_the_referred_file_that_is_wrong_is_the_one_that_is_named(check: Check, tmp_path: Path) -> None:
    assert str(tmp_path / "gone.json") in refusal(check, {"$ref": "gone.json"}).message
    other = refusal(check, {"$ref": "other.json"}, other="{")
    assert str(tmp_path / "other.json") in other.message
    assert "not JSON" in other.message
