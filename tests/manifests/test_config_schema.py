"""What the configuration's JSON Schema accepts and what it refuses (C4)."""

from __future__ import annotations

import copy

import pytest
from jsonschema import Draft202012Validator

from .conftest import ENVIRONMENTS
from .facts import Rendered
from .rendering import ROOT, render
from .schemas import FILES, complaints, schema

Configuration = dict[str, dict[str, str]]
AREAS = sorted(set(FILES) - {*ENVIRONMENTS, "environment"})


def configuration(environment: str) -> Configuration:
    return copy.deepcopy(Rendered(environment, render(environment)).configuration)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_a_json_schema(name: str) -> None:
    found = schema(name)
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert found["title"]
    assert found["description"]


@pytest.mark.parametrize("name", AREAS)
def test_every_key_is_required_and_described_and_no_other_is_allowed(name: str) -> None:
    found = schema(name)
    assert found["additionalProperties"] is False
    assert sorted(found["required"]) == sorted(found["properties"])
    assert all(described["description"] for described in found["properties"].values())


def test_every_configmap_for_values_has_a_schema_of_its_own() -> None:
    for environment in ENVIRONMENTS:
        named = {name for name in configuration(environment) if name.endswith("-config")}
        assert named == set(schema("environment")["required"]) == set(schema("environment")["properties"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_shipped_values_are_accepted(environment: str) -> None:
    assert complaints(environment, configuration(environment)) == []


def test_the_variables_in_the_env_files_are_all_in_a_schema() -> None:
    """No .env file is left that nothing reads."""
    for path in [*ROOT.glob("base/config/**/*.env"), *ROOT.glob("overlays/*/config/**/*.env")]:
        properties = schema(path.stem)["properties"]
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                assert line.split("=", 1)[0] in properties, path


REFUSED = {
    "sandbox in production": (
        "production",
        "banking/BANKING_BASE_URL",
        "https://sandbox.banking.example.net",
    ),
    "sandbox mode in production": ("production", "payment-processors/PAYMENTS_MODE", "sandbox"),
    "staging database in production": (
        "production",
        "database/PGHOST",
        "postgresql.staging.flowlet.example.net",
    ),
    "unverified database in production": ("production", "database/PGSSLMODE", "require"),
    "debug in production": ("production", "backend/LOG_LEVEL", "debug"),
    "staging origin in production": (
        "production",
        "backend/CORS_ORIGINS",
        "https://staging.flowlet.example.com",
    ),
    "plain mail": ("production", "backend/MAIL_USE_TLS", "false"),
    "short backups in production": ("production", "jobs/BACKUP_RETENTION_DAYS", "7"),
    "live in staging": ("staging", "kyc-providers/KYC_BASE_URL", "https://api.kyc.example.net"),
    "live in development": ("development", "card-issuers/CARDS_BASE_URL", "https://api.cards.example.net"),
    "live mode in development": ("development", "banking/BANKING_MODE", "live"),
    "production host in development": ("development", "frontend/PUBLIC_URL", "https://flowlet.example.com"),
    "wrong environment": ("staging", "backend/FLOWLET_ENVIRONMENT", "production"),
    "wrong log level": ("development", "backend/LOG_LEVEL", "verbose"),
    "log level in capitals": ("development", "backend/LOG_LEVEL", "DEBUG"),
    "any origin": ("development", "backend/CORS_ORIGINS", "*"),
    "admin from anywhere": ("development", "backend/ADMIN_IP_WHITELIST", "0.0.0.0/0"),
    "no address": ("development", "backend/ADMIN_IP_WHITELIST", "10.0.0.256/24"),
    "port too high": ("development", "backend/MAIL_PORT", "70000"),
    "port zero": ("development", "database/PGPORT", "0"),
    "port a word": ("development", "database/PGPORT", "postgres"),
    "no boolean": ("development", "backend/MAIL_USE_TLS", "yes"),
    "empty": ("development", "banking/BANKING_TIMEOUT_SECONDS", ""),
    "plain http": ("development", "banking/BANKING_BASE_URL", "http://sandbox.banking.example.net"),
    "empty provider": ("development", "kyc-providers/KYC_ENABLED_PROVIDERS", "a,,b"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_one_wrong_value_is_refused_by_name(what: str) -> None:
    environment, where, value = REFUSED[what]
    area, key = where.split("/")
    changed = configuration(environment)
    assert key in changed[f"flowlet-{area}-config"]
    changed[f"flowlet-{area}-config"][key] = value
    found = complaints(environment, changed)
    assert found
    assert all(complaint.startswith(f"flowlet-{area}-config/{key}: ") for complaint in found)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", AREAS)
def test_any_missing_key_is_refused(environment: str, name: str) -> None:
    given = configuration(environment)
    configmap = f"flowlet-{name}-config"
    for key in given[configmap]:
        changed = {**given, configmap: {k: v for k, v in given[configmap].items() if k != key}}
        assert complaints(environment, changed) == [f"{configmap}/{key}: the key {key!r} is missing"]


def test_an_unknown_key_is_refused() -> None:
    changed = configuration("staging")
    changed["flowlet-backend-config"]["LOG_LEVLE"] = "info"
    (found,) = complaints("staging", changed)
    assert found == "flowlet-backend-config/LOG_LEVLE: the schema knows no such key"


def test_a_missing_configmap_is_refused() -> None:
    changed = configuration("staging")
    del changed["flowlet-kyc-providers-config"]
    assert complaints("staging", changed) == [
        "flowlet-kyc-providers-config: the ConfigMap 'flowlet-kyc-providers-config' is missing"
    ]


def test_a_new_configmap_for_values_needs_a_schema_and_one_for_files_does_not() -> None:
    changed = configuration("staging")
    changed["flowlet-jobs-scripts"] = {"backup.sh": "echo production"}
    assert complaints("staging", changed) == []
    changed["flowlet-insurance-config"] = {"INSURANCE_MODE": "sandbox"}
    (found,) = complaints("staging", changed)
    assert "flowlet-insurance-config" in found
