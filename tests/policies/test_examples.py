"""The policies and their examples fit each other (all of C, H, J, M and S that concerns a resource).

What a real API server says to the examples is asked by tests/e2e.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
import yaml
from kustodian import toolchain
from kustodian.render import Renderer
from kustodian.repository import Repository
from kustodian.resource import split
from kustodian.toolchain import find
from kustodian.validate import kubeconform, schemas

from ..e2e.policies import ENVIRONMENTS, EXAMPLES, Example, examples
from ..manifests.rendering import ROOT, render

FOLDER = ROOT / "policies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
ALL = examples()
UNSEEN = {
    "C3": "git's history",
    "H1": "values files; no chart is used",
    "J1": "what a second run does",
    "S5": "the API server's audit policy",
    "S6": "where a value comes from",
}
"""Practices that no single resource shows."""
KEPT = {
    f"{area}{number}"
    for area, last in {"C": 4, "H": 5, "J": 6, "M": 6, "S": 6}.items()
    for number in range(1, last + 1)
}
CONTROLS = {
    "pci-dss": r"\d+(\.\d+){1,3}",
    "soc-2": r"(A|C|CC|PI|P)\d+\.\d+",
    "iso-27001": r"A\.[5-8]\.\d+",
}


@functools.cache
def rendered() -> list[dict[str, Any]]:
    """What `policies/` renders to."""
    repository = Repository.open(ROOT)
    text = Renderer(repository, find("kustomize").path).render(repository.overlay_at(FOLDER))
    return [resource.document for resource in split(text)]


def of(kind: str) -> list[dict[str, Any]]:
    return [document for document in rendered() if document["kind"] == kind]


def policy(name: str) -> dict[str, Any]:
    (found,) = (each for each in of("ValidatingAdmissionPolicy") if each["metadata"]["name"] == name)
    return found


def annotation(name: str, key: str) -> list[str]:
    text = policy(name)["metadata"]["annotations"].get(f"kustodian/{key}", "")
    return [part for part in text.split(", ") if part]


def variables(name: str) -> dict[str, str]:
    return {each["name"]: each["expression"] for each in policy(name)["spec"].get("variables", [])}


def expressions(name: str) -> list[str]:
    spec = policy(name)["spec"]
    every = [*spec.get("matchConditions", []), *spec.get("variables", []), *spec["validations"]]
    return [each[key] for each in every for key in ("expression", "messageExpression") if key in each]


# Policies


def test_each_file_is_one_policy_of_its_name_and_is_rendered() -> None:
    for name in NAMES:
        (document,) = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text("utf-8"))
        assert (document["kind"], document["metadata"]["name"]) == ("ValidatingAdmissionPolicy", name)
    assert sorted(each["metadata"]["name"] for each in of("ValidatingAdmissionPolicy")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_says_why_and_for_which_practices_and_controls(name: str) -> None:
    assert len(policy(name)["metadata"]["annotations"]["kustodian/reason"]) > 40
    practices = annotation(name, "practices")
    assert practices
    assert set(practices) <= KEPT | {f"G{number}" for number in range(1, 7)}
    controls = {key: annotation(name, key) for key in CONTROLS}
    assert any(controls.values())
    for key, found in controls.items():
        assert all(re.fullmatch(CONTROLS[key], each) for each in found), (key, found)


@pytest.mark.parametrize("name", NAMES)
def test_it_fails_closed_and_each_refusal_says_how_to_mend_it(name: str) -> None:
    spec = policy(name)["spec"]
    assert spec["failurePolicy"] == "Fail"
    for validation in spec["validations"]:
        said = validation.get("message", "") + validation.get("messageExpression", "")
        assert ":" in said, "what is wrong: what to do"


@pytest.mark.parametrize("name", NAMES)
def test_every_evaluator_of_the_language_can_run_it(name: str) -> None:
    """CEL without the extensions that the offline evaluator lacks."""
    for expression in expressions(name):
        beyond = (
            r"\.\?|\[\?|\b(quantity|optional|cel\.bind)\b|\.(split|join|lowerAscii|substring|replace|find|indexOf)\("
        )
        assert not re.search(beyond, expression), expression


@pytest.mark.parametrize("variable", ["podSpec", "containers", "word", "jobSpec"])
def test_what_several_policies_look_at_they_get_in_the_same_way(variable: str) -> None:
    found = {name: variables(name)[variable] for name in NAMES if variable in variables(name)}
    if variable == "containers":
        # The one policy that speaks of what an ephemeral container cannot have.
        assert "ephemeralContainers" not in found.pop("containers-have-requests-and-limits")
    assert len(found) > 1
    assert len(set(found.values())) == 1


def test_what_looks_into_pods_sees_every_workload_kind() -> None:
    rules = {name: policy(name)["spec"]["matchConstraints"] for name in NAMES if "podSpec" in variables(name)}
    everything = rules.pop("containers-drop-all-capabilities")
    assert {kind for rule in everything["resourceRules"] for kind in rule["resources"]} == {
        *("pods", "pods/ephemeralcontainers", "daemonsets", "deployments", "replicasets", "statefulsets"),
        *("cronjobs", "jobs"),
    }
    del rules["containers-have-probes"]  # jobs end by themselves, and a pod may be a job's
    assert all(found == everything for found in rules.values())


def test_every_practice_that_a_resource_shows_has_a_policy() -> None:
    assert {each for name in NAMES for each in annotation(name, "practices")} & KEPT == KEPT - set(UNSEEN)


# Bindings


def actions(name: str, labels: dict[str, str]) -> list[list[str]]:
    """What each binding that selects a namespace with these labels does."""
    found = []
    for binding in of("ValidatingAdmissionPolicyBinding"):
        selector = binding["spec"]["matchResources"]["namespaceSelector"]
        assert set(binding["spec"]["matchResources"]) == {"namespaceSelector"}
        assert set(selector) <= {"matchLabels", "matchExpressions"}
        selected = selector["matchLabels"].items() <= labels.items()
        for expression in selector.get("matchExpressions", []):
            assert expression["operator"] == "NotIn"
            selected &= labels.get(expression["key"]) not in expression["values"]
        if selected and binding["spec"]["policyName"] == name:
            found.append(binding["spec"]["validationActions"])
    return found


def labels(environment: str) -> dict[str, str]:
    (namespace,) = (document for document in render(environment) if document["kind"] == "Namespace")
    return dict(namespace["metadata"]["labels"])


@pytest.mark.parametrize("environment", [*ENVIRONMENTS, "one that nobody has thought of"])
def test_every_policy_refuses_in_every_environment(environment: str) -> None:
    if environment in ENVIRONMENTS:
        selected = labels(environment)
    else:
        selected = labels("staging") | {"app.kubernetes.io/instance": environment}
    for name in NAMES:
        on_purpose = (name, environment) == ("images-are-pinned-by-digest", "development")
        assert actions(name, selected) == [["Audit"] if on_purpose else ["Deny"]], name


def test_namespaces_of_others_are_left_alone() -> None:
    for system in ({}, {"kubernetes.io/metadata.name": "kube-system"}, {"app.kubernetes.io/part-of": "argocd"}):
        assert not any(actions(name, system) for name in NAMES)


def test_only_namespaced_kinds_and_namespaces_are_matched() -> None:
    """A namespaceSelector selects every object of any other cluster-wide kind, the system's own included."""
    for name in NAMES:
        for rule in policy(name)["spec"]["matchConstraints"]["resourceRules"]:
            assert rule["scope"] == "Namespaced" or rule["resources"] == ["namespaces"], name


# Examples


@pytest.mark.parametrize("name", NAMES)
def test_it_has_passing_and_failing_examples(name: str) -> None:
    assert {example.passes for example in ALL if example.policy == name} == {True, False}


def test_every_example_belongs_to_a_policy() -> None:
    assert {example.policy for example in ALL} == set(NAMES)
    assert {example.path for example in ALL} == set(EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("example", ALL, ids=[example.name for example in ALL])
def test_an_example_says_what_it_shows(example: Example) -> None:
    first, second = example.path.read_text("utf-8").splitlines()[:2]
    assert first.startswith("# ")
    assert second.startswith("apiVersion: ")
    if example.document["kind"] != "Namespace":
        assert example.document["metadata"]["namespace"] in {f"flowlet-{name}" for name in ENVIRONMENTS}


@pytest.mark.parametrize("example", [each for each in ALL if not each.passes], ids=lambda example: str(example.name))
def test_a_failing_example_is_of_a_kind_that_its_policy_judges(example: Example) -> None:
    group, _slash, version = example.document["apiVersion"].rpartition("/")
    kind = example.document["kind"].lower()
    plurals = {f"{kind}s", f"{kind}es", f"{kind.removesuffix('y')}ies"}
    assert any(
        group in rule["apiGroups"] and version in rule["apiVersions"] and plurals & set(rule["resources"])
        for rule in policy(example.policy)["spec"]["matchConstraints"]["resourceRules"]
    )


def test_an_example_has_no_fault_that_a_schema_sees() -> None:
    location = schemas.kubernetes("1.36", toolchain.cache_folder())
    files = [example.path for example in ALL]
    program = find("kubeconform").path
    found = kubeconform.check(program, files, schemas=[f"{location}/{schemas.TEMPLATE}"], skip=(), timeout=120)
    assert not {path: verdict for path, verdict in found.items() if verdict.invalid or verdict.unchecked}


def test_every_container_of_every_workload_kind_is_among_the_failing_examples() -> None:
    """For one policy; the others look at the same containers of the same kinds (see above)."""
    failing = {
        (example.document["kind"], example.path.stem.partition("_of_a_")[0])
        for example in ALL
        if example.policy == "containers-drop-all-capabilities" and "_of_a_" in example.path.stem and not example.passes
    }
    kinds = ("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
    wanted = {(kind, container) for kind in kinds for container in ("container", "init_container")}
    assert failing == wanted | {("Pod", "ephemeral_container")}


def test_every_policy_is_on_the_page() -> None:
    assert not [name for name in NAMES if f"`{name}`" not in (ROOT / "docs/policies.md").read_text("utf-8")]
