"""What the API server is started with: the encryption of etcd (S1) and the audit log (S5).

Fields and their meaning: k8s.io/apiserver v0.36.3, pkg/apis/apiserver/v1 and pkg/apis/audit/v1; a rule fits as in
pkg/audit/policy/checker.go. The end-to-end tests start a real API server with both files.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import pytest
import yaml

from .rendering import ROOT

FOLDER = ROOT / "cluster-config"
LEVELS = {"None", "Metadata", "Request", "RequestResponse"}
STAGES = {"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"}
RULE = {
    "level": str,
    "users": list,
    "userGroups": list,
    "verbs": list,
    "resources": list,
    "namespaces": list,
    "nonResourceURLs": list,
    "omitStages": list,
    "omitManagedFields": bool,
}


def load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / name).read_text("utf-8")))


ENCRYPTION = load("encryption.yaml")
POLICY = load("audit-policy.yaml")


# Encryption


def test_secrets_are_encrypted_before_anything_else_is_tried() -> None:
    assert (ENCRYPTION["apiVersion"], ENCRYPTION["kind"]) == ("apiserver.config.k8s.io/v1", "EncryptionConfiguration")
    assert set(ENCRYPTION) == {"apiVersion", "kind", "resources"}
    (entry,) = ENCRYPTION["resources"]
    assert set(entry) == {"resources", "providers"}
    assert entry["resources"] == ["secrets"]
    first, *_between, last = entry["providers"]
    assert list(first) == ["secretbox"]
    assert last == {"identity": {}}, "what was written before is still read"


def test_the_key_is_a_stand_in_that_no_api_server_takes() -> None:
    (key,) = ENCRYPTION["resources"][0]["providers"][0]["secretbox"]["keys"]
    assert set(key) == {"name", "secret"}
    with pytest.raises(binascii.Error):
        base64.b64decode(key["secret"], validate=True)


# Audit


def test_the_audit_policy_has_only_fields_that_there_are() -> None:
    assert (POLICY["apiVersion"], POLICY["kind"]) == ("audit.k8s.io/v1", "Policy")
    assert set(POLICY) <= {"apiVersion", "kind", "rules", "omitStages", "omitManagedFields"}
    assert set(POLICY["omitStages"]) <= STAGES
    for rule in POLICY["rules"]:
        assert all(isinstance(value, RULE[field]) for field, value in rule.items())
        assert rule["level"] in LEVELS
        assert not ("resources" in rule and "nonResourceURLs" in rule)
        assert all(set(found) <= {"group", "resources", "resourceNames"} for found in rule.get("resources", []))
        assert all(url.startswith("/") and "*" not in url[:-1] for url in rule.get("nonResourceURLs", []))


def level(user: str, verb: str, what: str, *, groups: tuple[str, ...] = ()) -> str:
    """The level of a request for `group/resource[/subresource]` (or a path), as the API server finds it."""
    return str(next(rule["level"] for rule in POLICY["rules"] if fits(rule, user, verb, what, groups)))


def fits(rule: dict[str, Any], user: str, verb: str, what: str, groups: tuple[str, ...]) -> bool:
    if "users" in rule and user not in rule["users"]:
        return False
    if "userGroups" in rule and not set(groups) & set(rule["userGroups"]):
        return False
    if "verbs" in rule and verb not in rule["verbs"]:
        return False
    if "resources" in rule:
        if what.startswith("/"):
            return False
        group, _slash, resource = what.partition(":")
        return any(
            found["group"] == group and resource in found.get("resources", [resource]) for found in rule["resources"]
        )
    if "nonResourceURLs" in rule:
        return any(
            what == url or (url.endswith("*") and what.startswith(url.rstrip("*"))) for url in rule["nonResourceURLs"]
        )
    return True


CONTROLLER = "system:serviceaccount:argocd:argocd-application-controller"


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "patch", "delete"])
@pytest.mark.parametrize(
    ("user", "groups"),
    [
        ("anna@flowlet.example.com", ()),
        (CONTROLLER, ()),
        ("system:kube-controller-manager", ()),
        ("system:node:a", ("system:nodes",)),
    ],
)
def test_every_access_to_a_secret_is_logged_without_its_content(user: str, groups: tuple[str, ...], verb: str) -> None:
    assert level(user, verb, ":secrets", groups=groups) == "Metadata"


def test_no_body_of_an_answer_is_ever_logged() -> None:
    assert "RequestResponse" not in {rule["level"] for rule in POLICY["rules"]}


def test_no_rule_that_logs_bodies_can_fit_a_secret_or_a_token() -> None:
    for rule in POLICY["rules"]:
        if rule["level"] == "Request":
            for found in rule["resources"]:
                named = set(found.get("resources", []))
                assert named or found["group"] in {"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}
                assert not named & {"secrets", "configmaps", "serviceaccounts/token", "*"}


@pytest.mark.parametrize(
    ("user", "verb", "what", "wanted"),
    [
        ("anna", "create", ":pods/exec", "Request"),
        ("anna", "get", ":pods/exec", "Request"),
        ("anna", "create", ":pods/portforward", "Request"),
        ("anna", "patch", ":pods/ephemeralcontainers", "Request"),
        ("anna", "create", "rbac.authorization.k8s.io:rolebindings", "Request"),
        (CONTROLLER, "patch", "rbac.authorization.k8s.io:roles", "Request"),
        ("anna", "delete", "admissionregistration.k8s.io:validatingadmissionpolicybindings", "Request"),
        ("anna", "patch", ":namespaces", "Request"),
        ("anna", "delete", ":pods", "Metadata"),
        ("anna", "get", "apps:deployments", "Metadata"),
        ("anna", "patch", "argoproj.io:applications", "Metadata"),
        (CONTROLLER, "patch", "apps:deployments", "Metadata"),
        (CONTROLLER, "watch", "apps:deployments", "None"),
        ("system:kube-scheduler", "list", ":pods", "None"),
        ("anna", "create", ":events", "None"),
        ("system:kube-scheduler", "update", "coordination.k8s.io:leases", "None"),
        ("system:anonymous", "get", "/readyz", "None"),
        ("anna", "get", "/api", "Metadata"),
    ],
)
def test_who_did_what_is_logged_and_noise_is_not(user: str, verb: str, what: str, wanted: str) -> None:
    assert level(user, verb, what) == wanted
