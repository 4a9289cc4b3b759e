"""The files and the objects of a trial cluster that are not Argo CD's."""

from __future__ import annotations

import base64
import json
import secrets
import time
from pathlib import Path
from typing import Any

from kustodian.cluster.api import Api, Refused
from kustodian.cluster.plan import ARGOCD_NAMESPACE, Plan
from kustodian.errors import RepositoryError
from kustodian.files import write_atomically
from kustodian.kustomization import load_yaml
from kustodian.repository import Repository

_OBJECTS = Path(__file__).parent / "objects"
_HINT = "kustodian.yaml names it: `cluster`"


def write(plan: Plan, repository: Repository) -> None:
    """The files that the programs read at their start. Raises `RepositoryError` for one that can't be read."""
    root, settings = repository.root, repository.settings
    _write(plan.kubeconfig, json.dumps(kubeconfig(plan)))
    encryption = root / settings.cluster_encryption if settings.cluster_encryption else _OBJECTS / "encryption.yaml"
    try:
        _write(plan.encryption, json.dumps(with_new_keys(_document(encryption))))
    except (AttributeError, TypeError):  # what must be a mapping or a list is something else
        raise RepositoryError(f"{encryption}: is no EncryptionConfiguration", hint=_HINT) from None
    policy = root / settings.cluster_audit_policy if settings.cluster_audit_policy else _OBJECTS / "audit-policy.yaml"
    _write(plan.audit_policy, json.dumps(_document(policy)))
    _write(plan.folder / "kwok.yaml", (_OBJECTS / "kwok.yaml").read_text("utf-8"))
    lines = ["bind 127.0.0.1", f"port {plan.ports['redis']}", f"requirepass {plan.redis_password}", 'save ""']
    folder = json.dumps(str(plan.folder), ensure_ascii=False)  # Redis takes a quoted text as JSON does
    _write(plan.redis_configuration, "\n".join([*lines, "appendonly no", f"dir {folder}", ""]))
    (plan.tools / "kustomize").symlink_to(plan.programs["kustomize"])
    # Argo CD starts it for every revision, though signatures are not asked for; it comes with its source.
    (plan.tools / "git-verify-wrapper.sh").symlink_to(plan.programs["argocd"].parent / "git-verify-wrapper.sh")


def kubeconfig(plan: Plan) -> dict[str, Any]:
    """An administrator's, https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/."""
    pair = plan.certificates.admin
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "trial",
                "cluster": {"server": plan.api, "certificate-authority": str(plan.certificates.authority)},
            }
        ],
        "users": [
            {"name": "admin", "user": {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}}
        ],
        # Argo CD takes the namespace that it lives in from here.
        "contexts": [
            {"name": "trial", "context": {"cluster": "trial", "user": "admin", "namespace": ARGOCD_NAMESPACE}}
        ],
        "current-context": "trial",
    }


def with_new_keys(configuration: dict[str, Any]) -> dict[str, Any]:
    """An EncryptionConfiguration whose every key is a new one: a real key has no business in a repository."""
    for resource in configuration.get("resources") or []:
        for provider in resource.get("providers") or []:
            for kind in ("secretbox", "aesgcm", "aescbc"):
                for key in (provider.get(kind) or {}).get("keys") or []:
                    key["secret"] = base64.b64encode(secrets.token_bytes(32)).decode()
    return configuration


def _document(path: Path) -> dict[str, Any]:
    documents, problem = load_yaml(path)
    if problem or len(documents) != 1 or not isinstance(documents[0], dict):
        raise RepositoryError(f"{path}: {problem or 'must be one document'}", hint=_HINT)
    return documents[0]


def stand_in(api: Api) -> None:
    """Nodes, and the kind that metrics are kept as."""
    import yaml

    for document in yaml.load_all((_OBJECTS / "cluster.yaml").read_bytes(), Loader=yaml.CSafeLoader):
        _when_there(api, document)
        if document["kind"] == "Node":
            api.apply(document, status=True)
            # Admission puts it on, and the controller that takes it off waits for a kubelet's heartbeats.
            api.patch(f"/api/v1/nodes/{document['metadata']['name']}", {"spec": {"taints": None}})


def _when_there(api: Api, document: dict[str, Any], seconds: float = 20.0) -> None:
    """Apply as soon as the namespace is there: the API server makes its own ones a moment after it is ready."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            api.apply(document)
        except Refused as refused:
            if refused.code != 404 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode(), mode=0o600)
