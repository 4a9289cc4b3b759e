"""JSON Schemas for kubeconform: of Kubernetes' own kinds, and of the custom ones that a repository defines.

Kubernetes' schemas come from the package kubernetes-validate. There each refers to one large file of definitions by an
address that kubeconform can't resolve; here each kind becomes one file with just the definitions that it uses and
without descriptions, which kubeconform loads about five times as fast. Made once per version into the per-user cache.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kustodian.errors import OutputError, ToolError

KUBERNETES = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""kubeconform's template of a file name below the folder of `kubernetes()`."""
CUSTOM = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
"""The same below the folder of `custom()`."""

_REVISION = "1"
"""Of the conversion below: change it when the conversion changes."""


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
        yield file.name, schema


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


def _of_definition(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = definition.get("spec") or {}
    group, kind = spec.get("group"), (spec.get("names") or {}).get("kind")
    if not (isinstance(group, str) and isinstance(kind, str)):
        return
    versions = spec.get("versions")
    for version in versions if isinstance(versions, list) else []:
        if not isinstance(version, dict):
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not isinstance(schema, dict):
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        strict = _strict(schema)
        strict.setdefault("properties", {}).update(
            apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
        )
        yield f"{group}/{kind.lower()}_{version.get('name')}.json", strict


def _strict(schema: Any) -> dict[str, Any]:
    """A structural schema (apiextensions/v1) as JSON Schema that refuses what the API server would prune."""
    if not isinstance(schema, dict):
        return {}
    result = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "description"}
    for key in ("properties", "patternProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = {name: _strict(value) for name, value in schema[key].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            result[key] = _strict(schema[key])
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if embedded:
        result.setdefault("properties", {}).update(apiVersion={}, kind={}, metadata={})
    closed = not schema.get("x-kubernetes-preserve-unknown-fields")
    if closed and isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    _adapt_type(schema, result)
    for limit in ("exclusiveMinimum", "exclusiveMaximum"):
        if result.get(limit) is False:  # kubeconform reads draft 4, where it may not stand without its limit
            del result[limit]
    return result


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
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(schema, separators=(",", ":")), "utf-8")
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
