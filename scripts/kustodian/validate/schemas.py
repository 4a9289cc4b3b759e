"""JSON Schemas for kubeconform: of Kubernetes' own kinds, and of the custom ones that a repository defines.

Kubernetes' schemas come from the package kubernetes-validate. There each refers to one large file of definitions by an
address that kubeconform can't resolve; here each kind becomes one file with just the definitions that it uses and
without descriptions, which kubeconform loads about five times as fast. Made once per version into the per-user cache.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kustodian.errors import OutputError, ToolError

TEMPLATE = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
"""kubeconform's template of a file name below the folders of `kubernetes()` and `custom()`.

Kubernetes' own files are usually named by `KindSuffix`, which has only the first word of a group: a `CronJob` of
`batch.example.com` would be held to the schema of `batch`. A kind of the core group has its version for a group.
"""

_REVISION = "2"
"""Of the conversion below: change it when the conversion changes."""

# What may become part of a path: names as Kubernetes allows them, and no others.
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_GROUP = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_VERSION = re.compile(_LABEL)


def kubernetes(version: str, cache: Path) -> Path:
    """The folder of the strict schemas of one Kubernetes version (`1.36`)."""
    import kubernetes_validate

    package = importlib.metadata.version("kubernetes-validate")
    target = cache / "schemas" / f"kubernetes-{version}-{package}-{_REVISION}"
    if target.is_dir():
        return target
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    if not source.is_dir():
        raise ToolError(f"kubernetes-validate {package} has no schemas of Kubernetes {version}")
    _publish(target, _convert(source))
    return target


def custom(definitions: Iterable[dict[str, Any]], cache: Path) -> Path | None:
    """The folder of the strict schemas of CustomResourceDefinitions; None if there are none."""
    files: dict[str, dict[str, Any]] = {}
    for definition in definitions:
        files.update(_of_definition(definition))
    if not files:
        return None
    digest = hashlib.sha256(json.dumps([_REVISION, files], sort_keys=True).encode()).hexdigest()[:16]
    target = cache / "schemas" / f"custom-{digest}"
    if not target.is_dir():
        _publish(target, files.items())
    return target


def _convert(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    definitions = _clean(json.loads((source / "_definitions.json").read_text("utf-8"))["$defs"])
    for file in source.glob("*.json"):
        schema = json.loads(file.read_text("utf-8"))
        if "x-kubernetes-group-version-kind" not in schema or file.name.startswith("_"):
            continue
        schema.pop("$id", None)
        schema = _clean(schema)
        schema["$defs"] = {name: definitions[name] for name in sorted(_used(schema, definitions))}
        for kind in schema["x-kubernetes-group-version-kind"]:
            folder = kind["group"] or kind["version"]
            yield f"{folder}/{kind['kind'].lower()}_{kind['version']}.json", schema


def _clean(schema: Any) -> Any:
    """Without descriptions, and with references into the same file."""
    if isinstance(schema, list):
        return [_clean(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned = {}
    for key, value in schema.items():
        # A *property* may well be called `description` or `$ref`; then its value is a schema, not a string.
        if key == "description" and isinstance(value, str):
            continue
        if key == "$ref" and isinstance(value, str):
            cleaned[key] = value.replace("/api/_definitions.json", "")
        else:
            cleaned[key] = _clean(value)
    return cleaned


def _used(schema: Any, definitions: dict[str, Any]) -> set[str]:
    used: set[str] = set()
    pending = list(_references(schema))
    while pending:
        name = pending.pop()
        if name not in used:
            used.add(name)
            pending += _references(definitions[name])
    return used


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix("#/$defs/")
            else:
                yield from _references(value)


class _Damaged(ValueError):
    """A part of a definition is not of the type that it must be."""


def _of_definition(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and schema of each version that is served; what the API server would refuse is passed over."""
    spec = _mapping(definition.get("spec"))
    group, kind = _text(spec.get("group")), _text(_mapping(spec.get("names")).get("kind"))
    if not (_GROUP.fullmatch(group) and _KIND.fullmatch(kind)):
        return
    versions = spec.get("versions")
    for version in map(_mapping, versions if isinstance(versions, list) else []):
        name = _text(version.get("name"))
        if not _VERSION.fullmatch(name) or version.get("served") is False:
            continue
        try:
            strict = _of_version(version)
        except (ValueError, RecursionError):  # as well of json, for anchors that contain themselves
            continue
        yield f"{group}/{kind.lower()}_{name}.json", strict


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _of_version(version: dict[str, Any]) -> dict[str, Any]:
    """The schema of one version. Raises `_Damaged`, among others."""
    schema = _part(version, "schema", dict, {}).get("openAPIV3Schema")
    if schema is None:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    # YAML has dates, and keys of any type; JSON doesn't.
    strict = _strict(json.loads(json.dumps(schema, default=str, skipkeys=True)))
    strict.setdefault("properties", {}).update(
        apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
    )
    return strict


def _part(parent: dict[str, Any], key: str, types: type | tuple[type, ...], default: Any = None) -> Any:
    """A value that must be of these types or, as for the API server, may be null instead of missing."""
    value = parent.get(key)
    if value is None:
        return default
    if not isinstance(value, types):
        raise _Damaged(key)
    return value


def _strict(schema: Any, *, tests: bool = False) -> dict[str, Any]:
    """A structural schema (apiextensions/v1) as JSON Schema that refuses what the API server would prune.

    `tests`: the schema stands within a `not`, `allOf`, `anyOf` or `oneOf`. It tests fields which are defined outside of
    it, so that nothing is pruned for not being in it.
    """
    if schema is None:
        return {}
    if not isinstance(schema, dict):
        raise _Damaged
    result = {
        key: value
        for key, value in schema.items()
        if not key.startswith("x-") and key != "description" and value is not None
    }
    result.update(_strict_parts(schema, tests=tests))
    if not tests and "additionalProperties" not in result and _prunes(schema):
        result["additionalProperties"] = False
    if schema.get("x-kubernetes-embedded-resource"):
        result.setdefault("properties", {}).update(apiVersion={}, kind={}, metadata={})
    _adapt_type(schema, result)
    for limit in ("exclusiveMinimum", "exclusiveMaximum"):
        if result.get(limit) is False:  # kubeconform reads draft 4, where it may not stand without its limit
            del result[limit]
    return result


def _strict_parts(schema: dict[str, Any], *, tests: bool) -> Iterator[tuple[str, Any]]:
    for key in ("properties", "patternProperties"):
        if (properties := _part(schema, key, dict)) is not None:
            yield key, {name: _strict(value, tests=tests) for name, value in properties.items()}
    if (items := _part(schema, "items", dict)) is not None:
        yield "items", _strict(items, tests=tests)
    additional = _part(schema, "additionalProperties", (dict, bool))
    if isinstance(additional, dict):
        yield "additionalProperties", _strict(additional, tests=tests)
    if (refused := _part(schema, "not", dict)) is not None:
        yield "not", _strict(refused, tests=True)
    for key in ("allOf", "anyOf", "oneOf"):
        if (parts := _part(schema, key, list)) is not None:
            yield key, [_strict(part, tests=True) for part in parts]


def _prunes(schema: dict[str, Any]) -> bool:
    """Whether the API server drops fields that are not among the properties, of which there may be none."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return False
    if schema.get("properties") is not None:
        return True
    return schema.get("type") == "object" and not schema.get("x-kubernetes-embedded-resource")


def _adapt_type(schema: dict[str, Any], result: dict[str, Any]) -> None:
    """Say `int-or-string` and `nullable`, which are the API server's own, in terms of JSON Schema's `type`."""
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in result:
        types = result["type"]
        result["type"] = [*(types if isinstance(types, list) else [types]), "null"]
    result.pop("nullable", None)


def _publish(target: Path, files: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write a folder under its name in one rename; whoever comes second keeps the first one's."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for name, schema in files:
                path = work / name
                if work not in path.parents or ".." in path.relative_to(work).parts:
                    raise OutputError(f"can't write schemas to {target}: {name} isn't below it")
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(schema, separators=(",", ":"), default=str), "utf-8")
            work.chmod(0o755)
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if not target.is_dir():
            raise OutputError(
                f"can't write schemas to {target}: {error.strerror or error}",
                hint="make the folder writable, or name another one in KUSTODIAN_CACHE",
            ) from None
