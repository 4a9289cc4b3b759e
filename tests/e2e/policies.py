"""What a real API server says to the examples of tests/policies/ and to rendered resources.

All is asked by dry run, and the server is left as it was. Each example is asked twice:

- where it belongs, in one of Flowlet's namespaces, under the bindings that are shipped: a failing one is refused.
- in a twin of that namespace, without Pod Security, quota and limits, under copies of the bindings that warn instead of
  refusing. The server names only one policy when it refuses, and none when Pod Security was quicker; here it names
  every policy that has something against the example, which must be the one of the example's folder, or none.
"""

from __future__ import annotations

import copy
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests" / "policies"
ENVIRONMENTS = ("development", "staging", "production")

Document = dict[str, Any]
Words = dict[str, list[list[str]]]
"""Policy → for each of its validations the fixed parts of the message."""

_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
_OURS = {"labelSelector": "app.kubernetes.io/name=policies,app.kubernetes.io/part-of=flowlet"}
_PART_OF = "app.kubernetes.io/part-of"
_TWIN = "flowlet-examples"
_ACCOUNTS = ("default", "example")
"""What example pods run as: a pod of an account that is not there is refused before any policy is asked."""
_ACTIVE_SECONDS = 15.0
"""A policy is enforced some time after it was made, and the server does not say when."""
_WARNING = re.compile(r"Validation failed for ValidatingAdmissionPolicy '([^']+)' with binding '[^']+': (.*)", re.S)


@dataclass(frozen=True)
class Example:
    policy: str
    passes: bool
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(EXAMPLES))

    @cached_property
    def document(self) -> Document:
        return dict(yaml.load(self.path.read_text("utf-8"), Loader=yaml.CSafeLoader))


def examples() -> tuple[Example, ...]:
    """Every file of `tests/policies/<policy>/{pass,fail}/`."""
    return tuple(
        Example(path.parts[-3], path.parts[-2] == "pass", path)
        for path in sorted(EXAMPLES.glob("*/*/*.yaml"))
        if path.parts[-2] in ("pass", "fail")
    )


@dataclass(frozen=True)
class Answer:
    """What the server said to one request."""

    refusal: str
    """Empty if the object was admitted."""
    warnings: tuple[str, ...]


def check_rendered(client: httpx.Client, documents: Iterable[Document]) -> list[str]:
    """What is wrong with the server's answers to resources that it must admit without a warning.

    Their namespaces must be there; the resources themselves may be.
    """
    kinds = _Kinds(client)
    wrong = []
    for document in documents:
        answer = _send(client, kinds, document)
        name = f"{document['kind']}/{document['metadata'].get('namespace', '')}/{document['metadata']['name']}"
        wrong += [f"{name}: {text}" for text in (answer.refusal, *answer.warnings) if text]
    return wrong


def check_examples(client: httpx.Client, chosen: Iterable[Example] | None = None) -> list[str]:
    """What is wrong with the server's answers to the examples (all of them by default).

    The policies and Flowlet's namespaces must be there.
    """
    asked = list(examples() if chosen is None else chosen)
    first_failing = {example.policy: example for example in reversed(asked) if not example.passes}
    # Another name each time: the namespaces of an earlier run may not be gone yet.
    suffix = f"examples-{secrets.token_hex(3)}"
    with _twins(client, suffix):
        kinds, words = _Kinds(client), _words(client)

        def judge(some: Iterable[Example]) -> list[str]:
            wrong = []
            for example in some:
                there = _send(client, kinds, example.document)
                twin = _send(client, kinds, _moved(example.document, suffix))
                found = [*_there(example, there, words), *_in_the_twin(example, twin, words)]
                wrong += [f"{example.name}: {text}" for text in found]
            return wrong

        deadline = time.monotonic() + _ACTIVE_SECONDS
        while judge(first_failing.values()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return judge(asked)


def _there(example: Example, answer: Answer, words: Words) -> list[str]:
    """What is wrong with the answer under the shipped bindings."""
    if example.passes:
        return [f"not as it should be: {text}" for text in (answer.refusal, *answer.warnings) if text]
    if not answer.refusal:
        return ["admitted"]
    if f"ValidatingAdmissionPolicy '{example.policy}'" in answer.refusal:
        return _unfit(words[example.policy], answer.refusal)
    if example.document["kind"] == "Pod" and "violates PodSecurity" in answer.refusal:
        return []
    return [f"refused, but not by its policy: {answer.refusal}"]


def _in_the_twin(example: Example, answer: Answer, words: Words) -> list[str]:
    """What is wrong with the answer under the bindings that only warn."""
    if answer.refusal:
        return [f"refused where policies only warn: {answer.refusal}"]
    if example.passes:
        return [f"warned in the twin: {text}" for text in answer.warnings]
    objections = [match.groups() for text in answer.warnings if (match := _WARNING.match(text))]
    wrong = [] if objections else ["no policy objects in the twin"]
    for policy, text in objections:
        wrong += _unfit(words[policy], text) if policy == example.policy else [f"{policy} objects too: {text}"]
    return wrong


def _unfit(messages: list[list[str]], said: str) -> list[str]:
    """Nothing if what was said has all the words of one of the policy's messages."""
    return [] if any(all(word in said for word in words) for words in messages) else [f"not a message of it: {said}"]


def _words(client: httpx.Client) -> Words:
    return {
        policy["metadata"]["name"]: [
            re.findall(r"'([^']*)'", validation["messageExpression"])
            if "messageExpression" in validation
            else [validation["message"]]
            for validation in policy["spec"]["validations"]
        ]
        for policy in _get(client, _POLICIES, _OURS)["items"]
    }


# Requests


class _Kinds:
    """Where objects of a kind are created."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, tuple[str, bool]]] = {}

    def path(self, document: Document) -> str:
        version = document["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._known:
            self._known[version] = {
                found["kind"]: (found["name"], found["namespaced"])
                for found in _get(self._client, base)["resources"]
                if "/" not in found["name"]
            }
        plural, namespaced = self._known[version][document["kind"]]
        return f"{base}/namespaces/{document['metadata']['namespace']}/{plural}" if namespaced else f"{base}/{plural}"


def _send(client: httpx.Client, kinds: _Kinds, document: Document) -> Answer:
    path = kinds.path(document)
    options = {"dryRun": "All", "fieldValidation": "Strict"}
    debuggers = document["spec"].get("ephemeralContainers") if document["kind"] == "Pod" else None
    if debuggers is None:
        return _answer(client.post(path, params=options, json=document))
    # Ephemeral containers come into a pod that is there, by a subresource of their own.
    pod = copy.deepcopy(document)
    del pod["spec"]["ephemeralContainers"]
    with _present(client, path, pod):
        patch = {"spec": {"ephemeralContainers": debuggers}}
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        subresource = f"{path}/{pod['metadata']['name']}/ephemeralcontainers"
        return _answer(client.patch(subresource, params=options, json=patch, headers=headers))


def _answer(response: httpx.Response) -> Answer:
    # RFC 7234: code, agent and the text in quotes; the API server sends one header a warning.
    warnings = [re.sub(r'^299 \S+ "(.*)"$', r"\1", text, flags=re.S) for text in response.headers.get_list("warning")]
    said = response.json()
    # Admission comes before the look whether the name is taken.
    admitted = response.is_success or said.get("reason") == "AlreadyExists"
    plain = tuple(re.sub(r"\\(.)", r"\1", text) for text in warnings)
    return Answer("" if admitted else f"{response.status_code} {said.get('message')}", plain)


def _get(client: httpx.Client, path: str, params: dict[str, str] | None = None) -> Document:
    response = client.get(path, params=params)
    response.raise_for_status()
    return dict(response.json())


@contextmanager
def _present(client: httpx.Client, path: str, document: Document) -> Iterator[None]:
    """The object, made if need be, and then gone at the end. A pod is made without waiting for its account's token."""
    response = client.post(path, json=document)
    if response.status_code != httpx.codes.CONFLICT:
        assert response.is_success, f"{path}: {response.text}"
    try:
        yield
    finally:
        if response.is_success:
            client.delete(f"{path}/{document['metadata']['name']}", params={"gracePeriodSeconds": 0})


# Twins


def _moved(document: Document, suffix: str) -> Document:
    """The same object in the twin of its namespace; the twin of a Namespace."""
    twin = copy.deepcopy(document)
    if document["kind"] == "Namespace":
        twin["metadata"]["labels"][_PART_OF] = _TWIN
    else:
        twin["metadata"]["namespace"] = f"{twin['metadata']['namespace']}-{suffix}"
    return twin


@contextmanager
def _twins(client: httpx.Client, suffix: str) -> Iterator[None]:
    """The twin namespaces, the bindings for them, and the account that example pods name; all gone at the end."""
    made: list[tuple[str, Document]] = []
    for environment in ENVIRONMENTS:
        name = f"flowlet-{environment}"
        twin = f"{name}-{suffix}"
        labels = {_PART_OF: _TWIN, "app.kubernetes.io/instance": name}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": twin, "labels": labels}}
        made.append(("/api/v1/namespaces", namespace))
        for place in (name, twin):
            accounts = f"/api/v1/namespaces/{place}/serviceaccounts"
            made += [(accounts, _account(account, place)) for account in _ACCOUNTS]
    made += [(_BINDINGS, _warning(binding)) for binding in _get(client, _BINDINGS, _OURS)["items"]]
    assert len(made) > len(ENVIRONMENTS) * 3, "no policy is bound"
    with ExitStack() as stack:
        for path, document in made:
            stack.enter_context(_present(client, path, document))
        yield


def _account(name: str, namespace: str) -> Document:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def _warning(binding: Document) -> Document:
    """A copy of a binding that selects twins and warns where the original denies."""
    spec = copy.deepcopy(binding["spec"])
    spec["matchResources"]["namespaceSelector"]["matchLabels"][_PART_OF] = _TWIN
    spec["validationActions"] = ["Warn" if action == "Deny" else action for action in spec["validationActions"]]
    metadata = {"name": f"{binding['metadata']['name']}-examples"}
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding"}
    return {**kind, "metadata": metadata, "spec": spec}
