"""Holds an environment's configuration to the repository's own JSON Schema.

The instance is one object for the whole environment: `{ConfigMap's name without its hash: its data}`, so that a schema
can ask for a ConfigMap to be there as well as for a value to be right. Values of a ConfigMap are strings; where a
schema asks for an integer, a number or a boolean, a string that reads as one is taken as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kustodian.errors import RepositoryError
from kustodian.resource import Resource, without_hash

_LONGEST_NUMBER = 300
"""Characters of a string that is still taken as a number: all of that length fit a float, and Python reads them."""


@dataclass(frozen=True)
class Violation:
    """`config_map` and `key` are empty where the rule is about more than one of them."""

    config_map: str
    key: str
    message: str


def configuration(resources: list[Resource]) -> dict[str, dict[str, Any]]:
    """The instance: the data of every ConfigMap of a render."""
    found: dict[str, dict[str, Any]] = {}
    for resource in resources:
        if resource.kind == "ConfigMap" and resource.api_version == "v1":
            data = resource.document.get("data") or {}
            found[without_hash(resource.id.name)] = data if isinstance(data, dict) else {}
    return found


def check(instance: dict[str, dict[str, Any]], schema: Path) -> Iterator[Violation]:
    """What in `instance` breaks the schema in the file `schema`. Raises `RepositoryError` for a wrong schema."""
    import jsonschema
    import referencing
    import referencing.exceptions
    from referencing.jsonschema import DRAFT202012

    def retrieve(uri: str) -> referencing.Resource[Any]:
        parts = urlsplit(uri)
        if parts.scheme != "file" or parts.netloc:
            raise RepositoryError(
                f"{schema}: `$ref` to {uri}: only files of the repository can be referred to",
                hint="put the schema into the repository and give its path, relative to the file that refers to it",
            )
        return DRAFT202012.create_resource(_load(Path(unquote(parts.path))))

    registry: referencing.Registry[Any] = referencing.Registry(retrieve=retrieve)  # type: ignore[call-arg]
    try:
        _load(schema)
        validator = _validator_class()({"$ref": schema.absolute().as_uri()}, registry=registry)
        errors = sorted(
            validator.iter_errors(instance), key=lambda broken: [str(part) for part in broken.absolute_path]
        )
    except (referencing.exceptions.Unresolvable, jsonschema.SchemaError, re.error, ValueError) as error:
        cause: BaseException | None = error
        while cause is not None:  # what is wrong with a file that another one refers to says so itself
            if isinstance(cause, RepositoryError):
                raise cause from None
            cause = cause.__cause__
        raise _unusable(schema, str(error)) from None
    except RecursionError:
        raise _unusable(schema, "it refers to itself without end, or is nested too deeply") from None
    for broken in errors:
        yield from _violations(broken)


def _unusable(schema: Path, reason: str) -> RepositoryError:
    return RepositoryError(f"{schema}: not a usable JSON Schema: {' '.join(reason.split())}")


def _violations(error: Any) -> Iterator[Violation]:
    path = [str(part) for part in error.absolute_path]
    config_map = path[0] if path else ""
    key = path[1] if len(path) > 1 else ""
    if error.validator == "additionalProperties" and len(path) == 1:
        patterns = error.schema.get("patternProperties", {})
        for name in sorted(set(error.instance) - set(error.schema.get("properties", {}))):
            if not any(re.search(pattern, name) for pattern in patterns):
                yield Violation(config_map, name, "the schema knows no such key")
    elif error.validator == "required":
        # One error for each missing name; only the message says which.
        missing = next(name for name in error.validator_value if error.message.startswith(f"{name!r} "))
        kind = "ConfigMap" if not path else "key"
        yield Violation(config_map or missing, missing if path else "", f"the {kind} {missing!r} is missing")
    else:
        own = error.schema.get("x-message") if isinstance(error.schema, dict) else ""
        yield Violation(config_map, key, str(own or error.message))


def _validator_class() -> Any:
    import jsonschema
    from jsonschema import validators

    base = jsonschema.Draft202012Validator

    def equal(keyword: str) -> Callable[..., Iterator[Any]]:
        original = base.VALIDATORS[keyword]

        def check_equal(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
            if all(next(original(validator, wanted, value, schema) or iter(()), None) for value in _readings(instance)):
                yield from original(validator, wanted, instance, schema)

        return check_equal

    def numeric(keyword: str) -> Callable[..., Iterator[Any]]:
        original = base.VALIDATORS[keyword]

        def check_number(validator: Any, limit: Any, instance: Any, schema: Any) -> Iterator[Any]:
            yield from original(validator, limit, _number(instance), schema) or ()

        return check_number

    limits = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    checker = base.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _checker, value: isinstance(_number(value), int),
            "number": lambda _checker, value: isinstance(_number(value), int | float),
            "boolean": lambda _checker, value: value in ("true", "false") or isinstance(value, bool),
        }
    )
    keywords = {keyword: numeric(keyword) for keyword in limits} | {key: equal(key) for key in ("const", "enum")}
    return validators.extend(base, keywords, type_checker=checker)  # type: ignore[no-untyped-call]


def _readings(value: Any) -> Iterator[Any]:
    """A value as it stands, and as the number or boolean that it reads as."""
    yield value
    if isinstance(value, str):
        yield {"true": True, "false": False}.get(value, _number(value))


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str):
        return value if not isinstance(value, bool) else None
    if len(value) > _LONGEST_NUMBER:
        return value
    if re.fullmatch(r"-?(0|[1-9]\d*)", value):
        return int(value)
    if re.fullmatch(r"-?(0|[1-9]\d*)\.\d+", value):
        return float(value)
    return value


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise RepositoryError(
            f"{path}: {error.strerror}", hint="`config.schema` in kustodian.yaml names it; every environment needs one"
        ) from None
    except ValueError as error:
        raise RepositoryError(f"{path}: not JSON: {error}") from None
    return _parsed(path, text)


@cache
def _parsed(path: Path, text: str) -> dict[str, Any]:
    """The schema without its `$schema`. jsonschema would take that as a wish for its own validator, without our reading
    of strings."""
    import jsonschema

    try:
        schema = json.loads(text)
    except ValueError as error:
        raise RepositoryError(f"{path}: not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise RepositoryError(f"{path}: a schema must be an object")
    schema.pop("$schema", None)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        raise RepositoryError(f"{path}: not a usable JSON Schema: {place or 'it'}: {error.message}") from None
    return schema
