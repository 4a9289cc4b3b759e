from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kustodian.cluster import argocd
from kustodian.cluster.plan import ACCOUNT, Plan
from kustodian.errors import ToolError

from .kit import speaking_to


@pytest.fixture
def configured(plan: Plan) -> dict[str, dict[str, Any]]:
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in argocd.configuration(plan)}


def test_the_namespace_comes_first_and_all_else_lies_in_it(plan: Plan) -> None:
    first, *others = argocd.configuration(plan)
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", "argocd")
    assert {document["metadata"]["namespace"] for document in others} == {"argocd"}


def test_the_tasks_have_an_account_with_tokens_and_nobody_else_has_one(
    configured: dict[str, dict[str, Any]],
) -> None:
    data = configured["ConfigMap/argocd-cm"]["data"]
    assert {key: value for key, value in data.items() if key.startswith("accounts.")} == {
        f"accounts.{ACCOUNT}": "apiKey"  # no login with a password
    }
    assert configured["ConfigMap/argocd-rbac-cm"]["data"] == {"policy.csv": f"g, {ACCOUNT}, role:admin"}


def test_argo_cd_renders_with_the_options_that_production_has(configured: dict[str, dict[str, Any]]) -> None:
    options = configured["ConfigMap/argocd-cm"]["data"]["kustomize.buildOptions"]
    assert options == "--enable-alpha-plugins --enable-exec"


def test_the_servers_certificate_is_the_clusters(configured: dict[str, dict[str, Any]], plan: Plan) -> None:
    secret = configured["Secret/argocd-server-tls"]
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["stringData"] == {
        "tls.crt": plan.certificates.server.certificate.read_text(),
        "tls.key": plan.certificates.server.key.read_text(),
    }


def test_no_config_map_holds_a_key_or_a_password(configured: dict[str, dict[str, Any]], plan: Plan) -> None:
    for name, document in configured.items():
        if name.startswith("ConfigMap/"):
            assert "PRIVATE" not in str(document)
            assert plan.redis_password not in str(document)


def test_definitions_are_those_beside_the_program(tmp_path: Path) -> None:
    for name in ("b-crd.yaml", "a-crd.yaml", "other.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump({"kind": "CustomResourceDefinition", "from": name}))
    assert [document["from"] for document in argocd.definitions(tmp_path)] == ["a-crd.yaml", "b-crd.yaml"]


def test_a_server_that_gives_no_token_is_told_after_a_while(plan: Plan) -> None:
    with (
        speaking_to(lambda _request: httpx.Response(404, json={"message": "no such secret"})) as api,
        pytest.raises(ToolError) as raised,
    ):
        argocd.token(plan, api, seconds=0.0)
    assert raised.value.message.startswith("Argo CD's server gives no token: GET /api/v1/namespaces/argocd/secrets/")
