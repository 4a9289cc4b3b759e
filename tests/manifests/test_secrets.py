"""The encrypted files, without a key (S1 to S3, C1)."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

from .conftest import ENVIRONMENTS
from .facts import Rendered, keys, without_hash
from .rendering import ROOT, decrypt, render

if TYPE_CHECKING:
    from pathlib import Path


SECRETS = {
    "flowlet-secrets": {
        "database_url",
        "api_key",
        "secret_key",
        "jwt_secret_key",
        "encryption_key",
        "redis_url",
        "mail_username",
        "mail_password",
    },
    "flowlet-database-roles": {"owner_password", "app_password", "backup_password", "cleanup_password"},
    "flowlet-banking-secrets": {"client_id", "client_secret", "webhook_secret"},
    "flowlet-payment-processors-secrets": {"api_key", "webhook_secret"},
    "flowlet-card-issuers-secrets": {"api_key", "webhook_secret"},
    "flowlet-kyc-providers-secrets": {"api_key", "webhook_secret"},
}
SUSPICIOUS = re.compile(
    r"password|passwd|secret|api_?key|private|credential|://[^/@\s]+:[^/@\s]+@|BEGIN [A-Z ]*KEY", re.I
)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> dict[str, dict[str, str]]:
    """The creation rules by environment."""
    found = load(ROOT / ".sops.yaml")["creation_rules"]
    assert len(found) == len(ENVIRONMENTS)
    return dict(zip(ENVIRONMENTS, found, strict=True))


def encrypted(environment: str) -> list[Path]:
    return sorted(ROOT.glob(f"overlays/{environment}/secrets/*.sops.yaml"))


def test_each_environment_has_one_rule_and_its_own_recipients() -> None:
    found = rules()
    assert len({rule["age"] for rule in found.values()}) == len(ENVIRONMENTS)
    for environment, rule in found.items():
        assert rule["encrypted_regex"] == "^(data|stringData)$"
        for other in ENVIRONMENTS:
            path = f"overlays/{other}/secrets/flowlet-secrets.sops.yaml"
            assert bool(re.search(rule["path_regex"], path)) == (environment == other)
        for elsewhere in ("base/secrets/x.sops.yaml", f"old/overlays/{environment}/secrets/x.sops.yaml"):
            assert not re.search(rule["path_regex"], elsewhere)


def test_every_file_is_encrypted_to_exactly_its_environments_recipients(environment: str) -> None:
    for path in encrypted(environment):
        document = load(path)
        assert [entry["recipient"] for entry in document["sops"]["age"]] == [rules()[environment]["age"]], path
        assert all(value.startswith("ENC[AES256_GCM,") for value in document["stringData"].values()), path
        assert document["metadata"]["name"] == path.name.removesuffix(".sops.yaml")


def test_the_generator_names_every_file_once(environment: str) -> None:
    generator = load(ROOT / "overlays" / environment / "secrets" / "generator.yaml")
    assert sorted(generator["files"]) == [f"secrets/{path.name}" for path in encrypted(environment)]


def test_every_secret_with_every_key_is_there(rendered: Rendered) -> None:
    assert {without_hash(found): keys(found) for found in rendered.of("Secret")} == SECRETS


def test_no_environment_shares_a_ciphertext_or_a_data_key_with_another() -> None:
    seen: set[str] = set()
    for environment in ENVIRONMENTS:
        for path in encrypted(environment):
            document = load(path)
            values = [*document["stringData"].values(), *(entry["enc"] for entry in document["sops"]["age"])]
            assert not seen & set(values), path
            seen |= set(values)


def test_the_only_key_in_the_repository_is_the_marked_public_one() -> None:
    tracked = subprocess.run(
        [
            "git",
            "grep",
            "-l",
            "-I",
            "AGE-SECRET-KEY-1[0-9A-Z]\\{20\\}",
            "--",
            ".",
            ":!tests",
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    ).stdout.split()
    allowed = load(ROOT / "kustodian.yaml")["demoKeys"]
    assert tracked == allowed == ["overlays/development/secrets/demo.agekey"]
    text = (ROOT / allowed[0]).read_text(encoding="utf-8")
    assert "PUBLIC DEMO KEY: IT PROTECTS NOTHING" in text
    assert rules()["development"]["age"] in text


def test_no_configmap_holds_what_looks_like_a_secret(rendered: Rendered) -> None:
    for name, data in rendered.configuration.items():
        if name.endswith("-config"):
            for key, value in data.items():
                assert not SUSPICIOUS.search(key), f"{name} {key}"
                assert not SUSPICIOUS.search(value), f"{name} {key}"


def test_no_container_states_a_secret_in_its_environment(rendered: Rendered) -> None:
    for pod in rendered.pods:
        for container in pod.containers:
            for entry in container.get("env", []):
                if SUSPICIOUS.search(entry["name"]) or SUSPICIOUS.search(entry.get("value", "")):
                    assert "secretKeyRef" in entry.get("valueFrom", {}), f"{pod.owner} {entry['name']}"


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_says_that_pods_must_roll_with_it(environment: str, name: str) -> None:
    annotations = load(ROOT / f"overlays/{environment}/secrets/{name}.sops.yaml")["metadata"]["annotations"]
    assert annotations["kustomize.config.k8s.io/needs-hash"] == "true"


def test_developments_public_values_fit_each_other() -> None:
    """Staging and production were made by the same program; nobody can look."""
    folder = ROOT / "overlays" / "development" / "secrets"
    values = {name: decrypt(folder / f"{name}.sops.yaml") for name in SECRETS}
    configured = Rendered("development", render("development")).configuration["flowlet-database-config"]
    database = urlsplit(values["flowlet-secrets"]["database_url"])
    assert database.username == "flowlet_app"
    assert database.password == values["flowlet-database-roles"]["app_password"]
    assert (database.hostname, str(database.port)) == (configured["PGHOST"], configured["PGPORT"])
    assert database.path == f"/{configured['PGDATABASE']}"
    assert f"sslmode={configured['PGSSLMODE']}" in database.query
    assert urlsplit(values["flowlet-secrets"]["redis_url"]).port == 6380
    every = [value for held in values.values() for value in held.values()]
    assert len(set(every)) == len(every)
    passwords = [value for held in values.values() for key, value in held.items() if "password" in key]
    assert min(map(len, passwords)) >= 32
