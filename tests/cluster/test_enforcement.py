"""What the cluster itself refuses, encrypts and records."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from kustodian.cluster.api import Api, Refused

from ..e2e import policies
from .conftest import ENVIRONMENTS, NAMESPACE, Cluster, decoded, within

ACCOUNT = "system:serviceaccount:{namespace}:{name}"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
RESOURCES = (
    *(("", "secrets"), ("", "configmaps"), ("", "pods"), ("", "pods/exec"), ("", "pods/log"), ("", "pods/eviction")),
    *(
        ("", "serviceaccounts/token"),
        ("", "services"),
        ("apps", "deployments"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
    ),
    *(("rbac.authorization.k8s.io", "roles"), ("networking.k8s.io", "networkpolicies"), ("", "namespaces")),
)


def allowed(api: Api, namespace: str, verb: str, group: str, resource: str, **who: Any) -> bool:
    """What the API server's authorizer says, https://kubernetes.io/docs/reference/access-authn-authz/authorization/."""
    resource, _, sub = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": sub,
            },
            **who,
        },
    }
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review)
    return bool(answer["status"]["allowed"])


def matrix(api: Api, namespace: str, **who: Any) -> set[str]:
    return {
        f"{verb} {resource}"
        for group, resource in RESOURCES
        for verb in VERBS
        if allowed(api, namespace, verb, group, resource, **who)
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_service_account_may_do_anything(synced: Cluster, environment: str) -> None:
    namespace = NAMESPACE[environment]
    names = [account["metadata"]["name"] for account in synced.objects(environment, "v1", "ServiceAccount")]
    assert len(names) >= 7
    with synced.api() as api:
        for name in names:
            user = ACCOUNT.format(namespace=namespace, name=name)
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
            assert matrix(api, namespace, user=user, groups=groups) == set(), name


LOOK = {
    f"{verb} {what}"
    for verb in ("get", "list", "watch")
    for what in ("configmaps", "pods", "services", "deployments", "jobs", "cronjobs", "networkpolicies")
}
OPERATE = {"get pods/log", "create pods/eviction", "delete pods"}


@pytest.mark.parametrize(
    ("environment", "group", "may"),
    [
        ("development", "flowlet-developers", LOOK | OPERATE),
        ("staging", "flowlet-developers", LOOK),
        ("staging", "flowlet-release-managers", LOOK | OPERATE),
        ("production", "flowlet-developers", set()),
        ("production", "flowlet-site-reliability", LOOK | OPERATE),
        ("production", "flowlet-support", LOOK),
    ],
)
def test_people_may_do_what_their_group_may(synced: Cluster, environment: str, group: str, may: set[str]) -> None:
    with synced.api() as api:
        found = matrix(api, NAMESPACE[environment], user="somebody", groups=[group, "system:authenticated"])
    assert found == may


def test_argocds_own_projects_hold_each_environment_to_its_namespace(synced: Cluster) -> None:
    """An Application of one environment's project that renders into another's namespace is refused."""
    stray = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "stray", "namespace": "argocd"},
        "spec": {
            "project": synced.application("development")["spec"]["project"],
            "source": {
                "repoURL": synced.state.repository_url,
                "path": "overlays/development",
                "targetRevision": "main",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": NAMESPACE["production"]},
        },
    }
    with synced.api() as api:
        api.apply(stray)
        path = api.path_of(stray)
        try:
            assert within(30, lambda: api.get(path).get("status", {}).get("conditions"))
            words = " ".join(item["message"] for item in api.get(path)["status"]["conditions"])
        finally:
            api.delete(path)
    assert "do not match any of the allowed destinations in project" in words


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_namespace_refuses_a_pod_that_is_not_restricted(synced: Cluster, environment: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": NAMESPACE[environment]},
        "spec": {"containers": [{"name": "root", "image": "busybox:1", "securityContext": {"privileged": True}}]},
    }
    with synced.api() as api, pytest.raises(Refused) as refused:
        api.request("POST", f"/api/v1/namespaces/{NAMESPACE[environment]}/pods?dryRun=All", json=pod)
    assert refused.value.code == 403
    assert 'violates PodSecurity "restricted:' in refused.value.message


def test_the_policies_refuse_what_fails_and_admit_what_passes(synced: Cluster) -> None:
    synced.await_healthy("flowlet-policies", synced.tip())
    with synced.api() as api:
        assert policies.check_examples(api._http) == []


def test_the_policies_admit_every_rendered_resource(synced: Cluster) -> None:
    ran = synced.run("build", "--all", "--output", "-")
    documents = [document for document in yaml.load_all(ran.out, Loader=yaml.CSafeLoader) if document]
    assert len(documents) > 150
    with synced.api() as api:
        assert policies.check_rendered(api._http, documents) == []


def test_the_bytes_in_etcd_are_not_the_plain_value(synced: Cluster) -> None:
    """S1: what etcd's own files and its answers hold."""
    values = [value for kinds in synced.plain.values() for keys in kinds.values() for value in keys.values()]
    store = b"".join(path.read_bytes() for path in sorted((synced.state.folder / "etcd").rglob("*")) if path.is_file())
    assert b"/registry/secrets/flowlet-production/" in store
    assert b"k8s:enc:secretbox:v1:" in store
    assert [value for value in values if value.encode() in store] == []


def test_a_read_of_a_secret_is_in_the_audit_log_with_its_user(synced: Cluster) -> None:
    """S5: who, which, when; never what is in it."""
    (secret, *_) = [s for s in synced.objects("production", "v1", "Secret") if decoded(s)]
    name, namespace = secret["metadata"]["name"], NAMESPACE["production"]
    with synced.api("mallory", ("system:masters",)) as api:
        api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    log = synced.state.folder / "audit.log"
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines() if '"mallory"' in line]
    assert [
        (event["verb"], event["objectRef"]["resource"], event["objectRef"]["name"], event["responseStatus"]["code"])
        for event in events
    ] == [("get", "secrets", name, 200)]
    assert events[0]["impersonatedUser"]["username"] == "mallory"
    assert events[0]["user"]["username"] == "trial-admin"
    assert not re.search(r'"(requestObject|responseObject)"', json.dumps(events))


def test_the_servers_listen_on_loopback_only(synced: Cluster) -> None:
    listening = subprocess.run(["ss", "-Hltnp"], check=True, capture_output=True, text=True).stdout.splitlines()
    names = ("etcd", "kube-", "kwok", "argocd", "redis-server")
    ours = [line.split()[3] for line in listening if any(f'"{name}' in line for name in names)]
    assert len(ours) > 8
    assert [address for address in ours if not address.startswith(("127.0.0.1:", "[::1]:"))] == []
