from __future__ import annotations

import re
import socket

import pytest
from kustodian.cluster.plan import Plan, Program, free_ports
from kustodian.toolchain.pins import CLUSTER_PINS

BESIDE = {"--secure-port": "--bind-address", "--port": "--address", "--metrics-port": "--metrics-address"}
"""Options that give a port only, and those that say at which address it is."""
UNBOUND = ("argocd-application-controller", "--metrics-port")
"""What has no such option: its source is changed for the build."""


def programs(plan: Plan) -> list[Program]:
    return [plan.store(), plan.api_server(), *plan.controllers(), *plan.delivery(), plan.application_sets()]


def options(program: Program) -> dict[str, str]:
    """`--name=value` and `--name value` alike."""
    found: dict[str, str] = {}
    for word, after in zip(program.argv[1:], (*program.argv[2:], "--"), strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            found[name] = value if equals or after.startswith("--") else after
    return found


def test_every_server_is_there_once(plan: Plan) -> None:
    assert [program.name for program in programs(plan)] == [
        *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "redis"),
        *("argocd-repo-server", "argocd-application-controller", "argocd-server", "argocd-applicationset-controller"),
    ]


def test_every_port_is_listened_on_at_127_0_0_1_only(plan: Plan) -> None:
    """Each port is somebody's, and whoever has it is told the address beside it."""
    listened: set[int] = {plan.ports["redis"]}
    for program in programs(plan):
        found = options(program)
        for name, value in found.items():
            if name in BESIDE:
                if (program.name, name) != UNBOUND:
                    assert found.get(BESIDE[name]) == "127.0.0.1", (program.name, name)
                listened.add(int(value))
            elif name.startswith("--listen-") or name.endswith(("-addr", "-address")):
                assert re.fullmatch(r"(https?://)?127\.0\.0\.1(:\d+)?", value), (program.name, name)
                listened.update(int(port) for port in re.findall(r":(\d+)", value))
    assert listened == set(plan.ports.values())


def test_the_one_listener_without_an_option_is_bound_when_it_is_built() -> None:
    ((file, text, instead),) = CLUSTER_PINS["argocd"].replaced
    assert file == "controller/appcontroller.go"
    assert instead == text.replace("0.0.0.0", "127.0.0.1") != text  # noqa: S104  what it must not be


def test_no_argument_and_no_variable_names_another_address(plan: Plan) -> None:
    for program in programs(plan):
        for name, value in (*options(program).items(), *program.env.items()):
            if not name.endswith(("-range", "-cidr", "--cidr")):  # addresses of Services and pods: nobody listens there
                assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", value)) <= {"127.0.0.1"}, (program.name, name)
            assert "[::" not in value
            assert "localhost" not in value


def test_ports_are_distinct_and_free() -> None:
    ports = free_ports()
    assert len(set(ports.values())) == len(ports) == 15
    for port in ports.values():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_a_password_is_in_no_argument_and_in_no_repr(plan: Plan) -> None:
    assert len(plan.redis_password) >= 32
    assert plan.redis_password not in repr(plan)
    for program in programs(plan):
        assert not any(plan.redis_password in word for word in program.argv)
        assert plan.redis_password not in repr(program)
        assert (program.env.get("REDIS_PASSWORD") == plan.redis_password) == program.name.startswith("argocd-")


def test_a_repr_shows_no_key_of_the_environment(plan: Plan) -> None:
    (repo_server,) = [program for program in programs(plan) if program.name == "argocd-repo-server"]
    assert repo_server.env["SOPS_AGE_KEY_FILE"] == "/keys.txt"
    assert "SOPS_AGE_KEY_FILE" not in repr(repo_server)


def test_two_plans_have_two_passwords(plan: Plan) -> None:
    again = Plan(**{name: value for name, value in vars(plan).items() if name != "redis_password"})
    assert again.redis_password != plan.redis_password


def test_only_the_repo_server_renders_with_our_kustomize_and_generator(plan: Plan) -> None:
    for program in programs(plan):
        renders = program.name == "argocd-repo-server"
        assert ("KUSTODIAN_SECRETS" in program.env) == renders
        if renders:
            assert program.env["PATH"] == f"{plan.tools}:/generator:/usr/bin"
            assert program.env["GIT_CONFIG_NOSYSTEM"] == "1"


def test_argo_cd_is_one_program_that_plays_several_parts(plan: Plan) -> None:
    parts = [program for program in programs(plan) if program.name.startswith("argocd-")]
    assert len(parts) == 4
    for part in parts:
        assert part.argv[0] == str(plan.programs["argocd"])
        assert part.env["ARGOCD_BINARY_NAME"] == part.name
        for name, value in part.env.items():
            if name.endswith("_DATA_PATH") or name in ("HOME", "TMPDIR", "ARGOCD_GNUPGHOME"):
                assert value.startswith(str(plan.folder)), (part.name, name)


def test_etcd_serves_only_who_has_a_certificate(plan: Plan) -> None:
    found = options(plan.store())
    assert "--client-cert-auth" in found
    assert found["--trusted-ca-file"] == str(plan.certificates.authority)
    assert found["--listen-client-urls"].startswith("https://")


def test_the_api_server_encrypts_logs_and_authorizes(plan: Plan) -> None:
    found = options(plan.api_server())
    assert found["--encryption-provider-config"] == str(plan.encryption)
    assert found["--audit-policy-file"] == str(plan.audit_policy)
    assert found["--audit-log-path"] == str(plan.audit_log) == str(plan.folder / "audit.log")
    assert found["--authorization-mode"] == "Node,RBAC"


@pytest.mark.parametrize("name", ["api", "argocd"])
def test_addresses_are_tls(name: str, plan: Plan) -> None:
    port = plan.ports["apiserver" if name == "api" else "server"]
    assert getattr(plan, name) == f"https://127.0.0.1:{port}"


def test_health_is_asked_of_each_servers_own_port(plan: Plan) -> None:
    asked = {program.name: program.health for program in programs(plan) if program.health}
    assert set(asked) == {program.name for program in programs(plan)} - {"redis"}  # it speaks no HTTP
    for name, address in asked.items():
        match = re.fullmatch(r"https?://127\.0\.0\.1:(\d+)/\S+", address)
        assert match, name
        (program,) = [program for program in programs(plan) if program.name == name]
        assert any(match[1] in word for word in program.argv), name
