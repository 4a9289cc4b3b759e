"""Whatever is named is there, and whatever is there is named (C2, C4, S2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .facts import keys, matches, title

if TYPE_CHECKING:
    from .facts import Rendered


def test_what_a_pod_reads_is_there_with_that_key(rendered: Rendered) -> None:
    there = {(found["kind"], found["metadata"]["name"]): found for found in rendered.documents}
    for pod in rendered.pods:
        for kind, name, key in pod.references():
            assert (kind, name) in there, f"{pod.owner} reads {kind}/{name}"
            assert key is None or key in keys(there[kind, name]), f"{pod.owner} reads {key} of {kind}/{name}"


def test_every_configmap_and_every_key_of_a_secret_is_read_by_a_pod(rendered: Rendered) -> None:
    read = {reference for pod in rendered.pods for reference in pod.references()}
    for document in rendered.of("ConfigMap"):
        name = document["metadata"]["name"]
        assert any(found[:2] == ("ConfigMap", name) for found in read), name
    for document in rendered.of("Secret"):
        for key in keys(document):
            assert ("Secret", document["metadata"]["name"], key) in read, f"{title(document)} {key}"


def test_no_variable_is_set_twice_in_a_container(rendered: Rendered) -> None:
    for pod in rendered.workloads:
        names = pod.environment_names(rendered)
        assert len(names) == len(set(names)), f"{pod.owner}: {sorted(n for n in names if names.count(n) > 1)}"


def test_the_backend_gets_every_variable_it_reads(rendered: Rendered) -> None:
    (backend,) = (pod for pod in rendered.workloads if pod.owner == "Deployment/flowlet-backend")
    wanted = (
        "DATABASE_URL API_KEY SECRET_KEY JWT_SECRET_KEY ENCRYPTION_KEY REDIS_URL CORS_ORIGINS "
        "ADMIN_IP_WHITELIST MAIL_SERVER MAIL_PORT MAIL_USE_TLS MAIL_USERNAME MAIL_PASSWORD"
    )
    assert set(wanted.split()) <= set(backend.environment_names(rendered))


def test_services_reach_a_port_of_the_pods_they_select(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        selected = [p for p in rendered.workloads if service["spec"]["selector"].items() <= p.labels.items()]
        assert len(selected) == 1, title(service)
        names = {port["name"] for container in selected[0].containers for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert port["port"] == 80, title(service)
            assert port["targetPort"] in names, title(service)


def test_the_ingress_leads_to_services_that_are_there(rendered: Rendered) -> None:
    paths = {}
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                target = path["backend"]["service"]
                service = rendered.named("Service", target["name"])
                assert target["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
                paths[path["path"]] = target["name"]
    assert paths == {"/": "flowlet-web-frontend-service", "/api": "flowlet-backend-service"}


def test_selectors_match_pods(rendered: Rendered) -> None:
    selecting = [
        *((title(found), found["spec"]["selector"]) for found in rendered.of("PodDisruptionBudget")),
        *((title(found), found["spec"]["podSelector"]) for found in rendered.of("NetworkPolicy")),
        *((title(found), found["spec"]["selector"]) for found in rendered.of("Deployment")),
        *(
            (pod.owner, constraint["labelSelector"])
            for pod in rendered.workloads
            for constraint in pod.spec["topologySpreadConstraints"]
        ),
    ]
    for whose, selector in selecting:
        assert any(matches(selector, pod.labels) for pod in rendered.pods), whose


def test_selectors_name_nothing_that_can_change(rendered: Rendered) -> None:
    """A Deployment's selector can't be edited, so it must be the same in every environment and for ever."""
    for deployment in rendered.of("Deployment"):
        assert deployment["spec"]["selector"] == {
            "matchLabels": {"app.kubernetes.io/name": deployment["metadata"]["name"]}
        }


def test_roles_that_are_bound_are_there(rendered: Rendered) -> None:
    for binding in rendered.of("RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        rendered.named("Role", binding["roleRef"]["name"])
