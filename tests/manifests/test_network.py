"""Who may talk to whom: nothing by default, then the flows that are needed (H3, M5)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import ENVIRONMENTS
from .facts import matches

if TYPE_CHECKING:
    from .facts import Pod, Rendered

DATABASE, REDIS, INTEGRATIONS = (f"flowlet.example.com/{name}-client" for name in ("database", "redis", "integrations"))
INGRESS_CONTROLLER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}},
    "podSelector": {
        "matchLabels": {
            "app.kubernetes.io/name": "ingress-nginx",
            "app.kubernetes.io/component": "controller",
        }
    },
}
# Inside networks and the clouds' metadata services, and the same by way of NAT64.
NOT_THE_INTERNET = [
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "fd00:ec2::254",
    "fe80::1",
    "::1",
    "64:ff9b::a9fe:a9fe",
]


def flows(rendered: Rendered, pod: Pod, direction: str) -> set[str]:
    """The names of the policies that open something for this pod in this direction."""
    return {
        policy["metadata"]["name"]
        for policy in rendered.of("NetworkPolicy")
        if matches(policy["spec"]["podSelector"], pod.labels) and policy["spec"].get(direction.lower())
    }


def test_nothing_is_open_by_default(rendered: Rendered) -> None:
    policy = rendered.named("NetworkPolicy", "default-deny")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_flow_names_its_peer_its_port_and_its_direction(rendered: Rendered) -> None:
    for policy in rendered.of("NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        if name == "default-deny":
            continue
        assert spec["policyTypes"] == [d for d in ("Ingress", "Egress") if d.lower() in spec], name
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                assert rule[side], name
                assert all(peer for peer in rule[side]), name
                assert all(port["protocol"] and isinstance(port["port"], int) for port in rule["ports"]), name


def test_each_workload_has_exactly_its_flows(rendered: Rendered) -> None:
    found = {pod.owner: (flows(rendered, pod, "Ingress"), flows(rendered, pod, "Egress")) for pod in rendered.pods}
    assert found["Deployment/flowlet-web-frontend"] == (
        {"ingress-controller-to-frontend"},
        {"all-to-dns", "frontend-to-backend-egress"},
    )
    assert found["Deployment/flowlet-backend"] == (
        {"ingress-controller-to-backend", "frontend-to-backend-ingress"},
        {
            "all-to-dns",
            "database-clients-to-postgresql",
            "redis-clients-to-redis",
            "backend-to-mail-server",
            "integrations-clients-to-providers",
        },
    )
    for pod in rendered.pods:
        if pod.kind in {"Job", "CronJob"}:
            assert found[pod.owner] == (set(), {"all-to-dns", "database-clients-to-postgresql"}), pod.owner


def test_a_pod_may_reach_the_database_exactly_when_it_is_told_where_that_is(rendered: Rendered) -> None:
    for pod in rendered.pods:
        names = set(pod.environment_names(rendered))
        assert (pod.labels.get(DATABASE) == "true") == bool(names & {"DATABASE_URL", "PGHOST"}), pod.owner
        assert (pod.labels.get(REDIS) == "true") == ("REDIS_URL" in names), pod.owner
        assert (pod.labels.get(INTEGRATIONS) == "true") == ("BANKING_BASE_URL" in names), pod.owner


@pytest.mark.parametrize(("flow", "workload"), [("frontend", "flowlet-web-frontend"), ("backend", "flowlet-backend")])
def test_the_ingress_controller_reaches_the_port_that_listens(rendered: Rendered, flow: str, workload: str) -> None:
    (rule,) = rendered.named("NetworkPolicy", f"ingress-controller-to-{flow}")["spec"]["ingress"]
    (container,) = rendered.named("Deployment", workload)["spec"]["template"]["spec"]["containers"]
    assert rule["from"] == [INGRESS_CONTROLLER]
    assert [port["port"] for port in rule["ports"]] == [port["containerPort"] for port in container["ports"]]


def test_the_frontends_way_to_the_backend_is_open_at_both_ends(rendered: Rendered) -> None:
    (out,) = rendered.named("NetworkPolicy", "frontend-to-backend-egress")["spec"]["egress"]
    (into,) = rendered.named("NetworkPolicy", "frontend-to-backend-ingress")["spec"]["ingress"]
    assert out["ports"] == into["ports"] == [{"protocol": "TCP", "port": 8000}]
    for peer, workload in ((out["to"], "flowlet-backend"), (into["from"], "flowlet-web-frontend")):
        assert peer == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": workload}}}]


def test_dns_is_the_clusters_own(rendered: Rendered) -> None:
    (rule,) = rendered.named("NetworkPolicy", "all-to-dns")["spec"]["egress"]
    assert rule["to"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    assert sorted((port["protocol"], port["port"]) for port in rule["ports"]) == [("TCP", 53), ("UDP", 53)]


def managed_services(rendered: Rendered) -> dict[str, ipaddress.IPv4Network]:
    found = {}
    for name in ("database-clients-to-postgresql", "redis-clients-to-redis", "backend-to-mail-server"):
        (rule,) = rendered.named("NetworkPolicy", name)["spec"]["egress"]
        (peer,) = rule["to"]
        found[name] = ipaddress.IPv4Network(peer["ipBlock"]["cidr"])
    return found


def test_managed_services_are_small_private_networks_of_this_environment_only(
    all_rendered: dict[str, Rendered],
) -> None:
    networks = [network for found in all_rendered.values() for network in managed_services(found).values()]
    assert len(networks) == 3 * len(ENVIRONMENTS)
    for at, network in enumerate(networks):
        assert network.is_private
        assert not network.subnet_of(ipaddress.IPv4Network("192.0.2.0/24")), "still base's placeholder"
        assert network.prefixlen >= 24
        assert not any(network.overlaps(other) for other in networks[at + 1 :])


@pytest.mark.parametrize(
    ("flow", "configmap", "key"),
    [
        ("database-clients-to-postgresql", "flowlet-database-config", "PGPORT"),
        ("backend-to-mail-server", "flowlet-backend-config", "MAIL_PORT"),
    ],
)
def test_the_open_port_is_the_configured_one(rendered: Rendered, flow: str, configmap: str, key: str) -> None:
    (rule,) = rendered.named("NetworkPolicy", flow)["spec"]["egress"]
    assert [str(port["port"]) for port in rule["ports"]] == [rendered.configuration[configmap][key]]


def providers(rendered: Rendered) -> dict[str, Any]:
    (rule,) = rendered.named("NetworkPolicy", "integrations-clients-to-providers")["spec"]["egress"]
    return dict(rule)


@pytest.mark.parametrize("address", NOT_THE_INTERNET)
def test_development_reaches_the_internet_but_nothing_inside(all_rendered: dict[str, Rendered], address: str) -> None:
    rule = providers(all_rendered["development"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    assert not any(reaches(peer["ipBlock"], address) for peer in rule["to"])
    assert any(reaches(peer["ipBlock"], "93.184.215.14") for peer in rule["to"])
    assert any(reaches(peer["ipBlock"], "2606:2800:21f::1") for peer in rule["to"])


def reaches(block: dict[str, Any], address: str) -> bool:
    target = ipaddress.ip_address(address)

    def inside(text: str) -> bool:
        return target in ipaddress.ip_network(text)

    return inside(block["cidr"]) and not any(inside(excepted) for excepted in block["except"])


@pytest.mark.parametrize("name", ["staging", "production"])
def test_restricted_egress_leaves_by_the_gateway_only(all_rendered: dict[str, Rendered], name: str) -> None:
    rule = providers(all_rendered[name])
    (peer,) = rule["to"]
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "egress-gateway"}}
    assert peer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "egress-gateway"}}
    (container,) = all_rendered[name].named("Deployment", "flowlet-backend")["spec"]["template"]["spec"]["containers"]
    proxy = next(entry["value"] for entry in container["env"] if entry["name"] == "HTTPS_PROXY")
    assert proxy.endswith(f":{rule['ports'][0]['port']}")
