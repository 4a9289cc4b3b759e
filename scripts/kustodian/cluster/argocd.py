"""Sets a trial cluster's Argo CD up: its kinds, its configuration, and an account with a token for the tasks.

Configuration keys: https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kustodian.cluster.api import Api, context
from kustodian.cluster.plan import ACCOUNT, ARGOCD_NAMESPACE, Plan
from kustodian.errors import ToolError

_LABELS = {"app.kubernetes.io/part-of": "argocd"}


def configuration(plan: Plan) -> Iterator[dict[str, Any]]:
    """What must be there before Argo CD starts."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ARGOCD_NAMESPACE}}
    yield _config_map(
        "argocd-cm",
        {
            "kustomize.buildOptions": "--enable-alpha-plugins --enable-exec",
            f"accounts.{ACCOUNT}": "apiKey",
        },
    )
    yield _config_map("argocd-rbac-cm", {"policy.csv": f"g, {ACCOUNT}, role:admin"})
    for name in ("argocd-cmd-params-cm", "argocd-ssh-known-hosts-cm", "argocd-tls-certs-cm", "argocd-gpg-keys-cm"):
        yield _config_map(name, {})
    yield _secret("argocd-secret", {})
    server = plan.certificates.server
    certificate = {"tls.crt": server.certificate.read_text(), "tls.key": server.key.read_text()}
    yield _secret("argocd-server-tls", certificate, kind="kubernetes.io/tls")


def definitions(folder: Path) -> Iterator[dict[str, Any]]:
    """The CustomResourceDefinitions that lie beside the program."""
    import yaml

    for file in sorted(folder.glob("*-crd.yaml")):
        yield from yaml.load_all(file.read_bytes(), Loader=yaml.CSafeLoader)


def token(plan: Plan, api: Api, *, seconds: float) -> str:
    """A token of the tasks' account, made as an administrator would. Raises `ToolError` if the server won't."""
    import httpx

    deadline = time.monotonic() + seconds
    initial = f"/api/v1/namespaces/{ARGOCD_NAMESPACE}/secrets/argocd-initial-admin-secret"
    with httpx.Client(
        base_url=plan.argocd,
        verify=context(plan.certificates),
        trust_env=False,
        headers={"Content-Type": "application/json"},
    ) as http:
        while True:
            try:
                password = base64.b64decode(api.get(initial)["data"]["password"]).decode()
                session = http.post("/api/v1/session", json={"username": "admin", "password": password})
                session.raise_for_status()
                bearer = {"Authorization": f"Bearer {session.json()['token']}"}
                made = http.post(f"/api/v1/account/{ACCOUNT}/token", json={"expiresIn": 0}, headers=bearer)
                made.raise_for_status()
                return str(made.json()["token"])
            except (httpx.HTTPError, ToolError, KeyError) as error:
                if time.monotonic() > deadline:
                    raise ToolError(f"Argo CD's server gives no token: {error}") from None
                time.sleep(0.2)


def _config_map(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": ARGOCD_NAMESPACE, "labels": _LABELS},
        "data": data,
    }


def _secret(name: str, data: dict[str, str], kind: str = "Opaque") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": ARGOCD_NAMESPACE, "labels": _LABELS},
        "stringData": data,
    }
