from __future__ import annotations

import base64
import json
import signal
import socket
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kustodian import process
from kustodian.cluster import configuration, redis_server
from kustodian.cluster.api import Refused
from kustodian.cluster.plan import Plan
from kustodian.errors import RepositoryError
from kustodian.repository import Repository

from ...conftest import ROOT
from ..kit import Files, within, write
from .kit import Document, Store, speaking_to

KINDS = ("secretbox", "aesgcm", "aescbc")


def encryption(*providers: Document) -> Document:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": list(providers)}],
    }


def keys_of(document: Document) -> list[str]:
    return [
        key["secret"]
        for resource in document["resources"]
        for provider in resource["providers"]
        for kind in KINDS
        for key in (provider.get(kind) or {}).get("keys") or []
    ]


def test_every_key_is_replaced_by_a_new_one() -> None:
    old = "bW9pbm1vaW5tb2lubW9pbm1vaW5tb2lubW9pbm1vaW4="
    document = encryption(
        *(
            {kind: {"keys": [{"name": f"{kind}1", "secret": old}, {"name": f"{kind}2", "secret": old}]}}
            for kind in KINDS
        )
    )
    document["resources"].append({"resources": ["*.*"], "providers": deepcopy(document["resources"][0]["providers"])})
    made = configuration.with_new_keys(document)
    found = keys_of(made)
    assert len(found) == len(set(found)) == 12
    assert old not in found
    assert {len(base64.b64decode(key, validate=True)) for key in found} == {32}
    assert [key["name"] for key in made["resources"][0]["providers"][1]["aesgcm"]["keys"]] == ["aesgcm1", "aesgcm2"]


def test_what_is_no_key_stays() -> None:
    kms = {"kms": {"apiVersion": "v2", "name": "k", "endpoint": "unix:///tmp/kms.sock"}}
    document = encryption({"identity": {}}, kms)
    assert configuration.with_new_keys(deepcopy(document)) == document


@pytest.mark.parametrize("document", [{}, {"resources": None}, encryption({"secretbox": None}, {"aesgcm": {}})])
def test_a_configuration_without_keys_stays(document: Document) -> None:
    assert configuration.with_new_keys(deepcopy(document)) == document


@pytest.mark.parametrize("folder", ["cluster-config", "scripts/kustodian/cluster/objects"])
def test_the_shipped_configurations_get_a_key(folder: str) -> None:
    document = yaml.safe_load((ROOT / folder / "encryption.yaml").read_bytes())
    (before,) = keys_of(document)
    (after,) = keys_of(configuration.with_new_keys(document))
    assert before != after
    assert len(base64.b64decode(after)) == 32


def written(plan: Plan, root: Path, files: Files | None = None) -> Plan:
    configuration.write(plan, Repository.open(write(root, {"kustodian.yaml": "", **(files or {})})))
    return plan


def test_every_file_is_readable_by_its_owner_only(plan: Plan, tmp_path: Path) -> None:
    written(plan, tmp_path / "repo")
    files = [path for path in plan.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.name for path in files} == {
        *("kubeconfig", "encryption.yaml", "audit-policy.yaml", "kwok.yaml", "redis.conf"),
    }
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}


def test_the_kubeconfig_is_the_administrators(plan: Plan, tmp_path: Path) -> None:
    document = json.loads(written(plan, tmp_path / "repo").kubeconfig.read_text("utf-8"))
    assert document["current-context"] == document["contexts"][0]["name"] == "trial"
    assert document["contexts"][0]["context"]["namespace"] == "argocd"
    cluster = document["clusters"][0]["cluster"]
    assert cluster == {"server": plan.api, "certificate-authority": str(plan.certificates.authority)}
    assert document["users"][0]["user"] == {
        "client-certificate": str(plan.certificates.admin.certificate),
        "client-key": str(plan.certificates.admin.key),
    }


def test_without_settings_our_own_files_are_taken(plan: Plan, tmp_path: Path) -> None:
    written(plan, tmp_path / "repo")
    document = json.loads(plan.encryption.read_text("utf-8"))
    assert [*document["resources"][0]["providers"][0]] == ["secretbox"]
    (key,) = keys_of(document)
    assert len(base64.b64decode(key)) == 32
    assert json.loads(plan.audit_policy.read_text("utf-8"))["kind"] == "Policy"


def test_the_repositorys_files_are_taken_where_it_names_them(plan: Plan, tmp_path: Path) -> None:
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "RequestResponse"}]}
    theirs = encryption({"aesgcm": {"keys": [{"name": "theirs", "secret": "bm90IGEga2V5"}]}}, {"identity": {}})
    written(
        plan,
        tmp_path / "repo",
        {
            "kustodian.yaml": "cluster: {encryption: c/e.yaml, auditPolicy: c/a.yaml}\n",
            "c/e.yaml": yaml.safe_dump(theirs),
            "c/a.yaml": yaml.safe_dump(policy),
        },
    )
    document = json.loads(plan.encryption.read_text("utf-8"))
    assert document["resources"][0]["providers"][0]["aesgcm"]["keys"][0]["name"] == "theirs"
    assert "bm90IGEga2V5" not in plan.encryption.read_text("utf-8")
    assert json.loads(plan.audit_policy.read_text("utf-8")) == policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        ("", "must be one document"),
        ("[]", "must be one document"),
        ("moin", "must be one document"),
        ("a: 1\n---\na: 2\n", "must be one document"),
        ("a: [", "not YAML: line 2, column 1: did not find expected node content"),
    ],
)
@pytest.mark.parametrize("key", ["encryption", "auditPolicy"])
def test_a_file_that_cannot_be_used_is_named(
    key: str, text: str | None, message: str, plan: Plan, tmp_path: Path
) -> None:
    files = {"kustodian.yaml": f"cluster: {{{key}: c.yaml}}\n"} | ({} if text is None else {"c.yaml": text})
    with pytest.raises(RepositoryError) as raised:
        written(plan, tmp_path / "repo", files)
    assert raised.value.message == f"{tmp_path / 'repo' / 'c.yaml'}: {message}"
    assert raised.value.hint == "kustodian.yaml names it: `cluster`"


@pytest.mark.parametrize(
    "text",
    [
        "resources: [secrets]",
        "resources: 7",
        "resources: [{providers: [identity]}]",
        "resources: [{providers: [{secretbox: {keys: [a-key]}}]}]",
    ],
)
def test_a_file_of_another_shape_is_named_without_what_is_in_it(text: str, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError) as raised:
        written(plan, tmp_path / "repo", {"kustodian.yaml": "cluster: {encryption: c.yaml}\n", "c.yaml": text})
    assert raised.value.message == f"{tmp_path / 'repo' / 'c.yaml'}: is no EncryptionConfiguration"
    assert not plan.encryption.exists()


def test_the_repo_servers_tools_are_kustomize_and_what_lies_beside_argo_cd(plan: Plan, tmp_path: Path) -> None:
    written(plan, tmp_path / "repo")
    beside = plan.programs["argocd"].parent / "git-verify-wrapper.sh"
    links = {path.name: path.readlink() for path in plan.tools.iterdir()}
    assert links == {"kustomize": plan.programs["kustomize"], "git-verify-wrapper.sh": beside}


def test_redis_listens_on_this_machine_only_and_wants_the_password(plan: Plan, tmp_path: Path) -> None:
    """The real one, started as the supervisor starts it, in a folder whose name has a space."""
    plan = replace(plan, programs={**plan.programs, "redis-server": redis_server()})
    written(plan, tmp_path / "repo")
    (redis,) = [program for program in plan.delivery() if program.name == "redis"]
    started = process.spawn(redis.argv, log=tmp_path / "log", cwd=plan.folder)
    try:

        def ask(*lines: str) -> str:
            with socket.create_connection(("127.0.0.1", plan.ports["redis"]), timeout=5) as connection:
                connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
                said = connection.makefile("r")
                return "".join(said.readline() for _line in lines)

        def answers() -> bool:
            try:
                return ask("PING") != ""
            except OSError:
                return False

        assert within(5, answers), (tmp_path / "log").read_text("utf-8")
        assert ask("PING").startswith("-NOAUTH")
        assert ask(f"AUTH {plan.redis_password}", "PING") == "+OK\n+PONG\n"
        assert listeners(started.pid) == {("0100007F", plan.ports["redis"])}
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    assert [path.name for path in plan.folder.glob("*.rdb")] == []


def listeners(pid: int) -> set[tuple[str, int]]:
    """The addresses (as the kernel writes them) and ports that a process listens on."""
    sockets = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text("utf-8").splitlines()[1:]:
            _number, local, _remote, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                address, _colon, port = local.rpartition(":")
                found.add((address, int(port, 16)))
    return found


def test_nodes_get_their_state_and_lose_the_taint() -> None:
    store = Store()
    with store.client() as api:
        configuration.stand_in(api)
    node = "/api/v1/nodes/trial-a"
    assert store.written[:3] == [node, f"{node}/status", node]
    assert store.objects[node]["spec"] == {"taints": None}
    assert store.objects[f"{node}/status"]["status"]["allocatable"]["pods"] == 500
    assert store.written[-1].endswith("/customresourcedefinitions/pods.metrics.k8s.io")


def test_what_is_not_there_yet_is_waited_for() -> None:
    store, refused = Store(), 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal refused
        if request.method == "PATCH" and refused < 2:
            refused += 1
            return httpx.Response(404, json={"message": "not found"})
        return store.answer(request)

    with speaking_to(answer) as api:
        configuration.stand_in(api)
    assert refused == 2
    assert store.written[0] == "/api/v1/nodes/trial-a"


@pytest.mark.parametrize(("code", "seconds"), [(403, 20.0), (404, 0.0)])
def test_another_refusal_and_one_that_lasts_are_told(code: int, seconds: float) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            return httpx.Response(code, json={"message": "no"})
        return Store().answer(request)

    document: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    with speaking_to(answer) as api, pytest.raises(Refused) as raised:
        configuration._when_there(api, document, seconds)
    assert raised.value.message == f"PATCH /api/v1/nodes/n: {code} no"
