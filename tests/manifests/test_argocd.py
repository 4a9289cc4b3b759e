"""What Argo CD is told (argocd/), and how it is set up (argocd/install): bounds, rights, and when it may act.

What a field does: Argo CD v3.6.1, pkg/apis/application/v1alpha1 (app_project_types.go, types.go).
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kustodian.argocd import declared
from kustodian.render import Renderer
from kustodian.repository import Repository
from kustodian.resource import split
from kustodian.toolchain import find

from .conftest import ENVIRONMENTS
from .facts import CLUSTER_SCOPED, Document
from .rendering import ROOT

if TYPE_CHECKING:
    from .facts import Rendered

SERVER = "https://kubernetes.default.svc"
EVERY = "every"
LABEL = "flowlet.example.com/environment"
SHOWN_ONLY = {("apps", "ReplicaSet"), ("", "Pod")}
"""What Deployments and Jobs make: Argo CD shows no kind that a project does not list."""


@functools.cache
def documents() -> list[Document]:
    repository = Repository.open(ROOT)
    text = Renderer(repository, find("kustomize").path).render(repository.overlay_at(ROOT / "argocd"))
    return [resource.document for resource in split(text)]


def named(kind: str, name: str) -> Document:
    return next(found for found in documents() if (found["kind"], found["metadata"]["name"]) == (kind, name))


def group(document: Document) -> str:
    return str(document["apiVersion"]).rpartition("/")[0]


def kinds(listed: list[Document]) -> set[tuple[str, str]]:
    return {(item["group"], item["kind"]) for item in listed}


# Applications


def test_there_is_an_application_for_each_environment_and_one_for_the_policies() -> None:
    found = {d["metadata"]["name"] for d in documents() if d["kind"] == "Application"}
    assert found == {*(f"flowlet-{environment}" for environment in ENVIRONMENTS), "flowlet-policies"}


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "policies"])
def test_an_application_follows_its_folder_in_a_project_of_its_own(name: str) -> None:
    spec = named("Application", f"flowlet-{name}")["spec"]
    assert spec["source"]["path"] == (f"overlays/{name}" if name in ENVIRONMENTS else name)
    assert spec["project"] == f"flowlet-{name}"
    assert spec["destination"]["server"] == SERVER


def test_an_application_goes_to_the_namespace_that_is_rendered(rendered: Rendered) -> None:
    destination = named("Application", f"flowlet-{rendered.environment}")["spec"]["destination"]
    (namespace,) = rendered.of("Namespace")
    assert destination["namespace"] == namespace["metadata"]["name"]


def test_every_application_follows_the_one_repository_that_the_projects_allow() -> None:
    urls = {d["spec"]["source"]["repoURL"] for d in documents() if d["kind"] == "Application"}
    allowed = [d["spec"]["sourceRepos"] for d in documents() if d["kind"] == "AppProject"]
    assert len(urls) == 1
    assert all(repositories == [*urls] for repositories in allowed)


def test_the_repositorys_address_stands_in_one_place() -> None:
    (url,) = {d["spec"]["source"]["repoURL"] for d in documents() if d["kind"] == "Application"}
    holders = [path for path in (ROOT / "argocd").rglob("*.yaml") if url in path.read_text("utf-8")]
    assert holders == [ROOT / "argocd/projects/every.yaml"]


def test_every_application_syncs_prunes_and_heals_by_itself_and_tries_again() -> None:
    for found in documents():
        if found["kind"] == "Application":
            policy = found["spec"]["syncPolicy"]
            assert policy["automated"] == {"prune": True, "selfHeal": True, "allowEmpty": False}
            assert policy["retry"]["limit"] > 0
            assert policy["retry"]["backoff"]["factor"] > 1
            assert {"ServerSideApply=true", "PruneLast=true", "CreateNamespace=false"} <= set(policy["syncOptions"])


def test_deleting_an_application_deletes_nothing_else() -> None:
    assert not [found for found in documents() if "finalizers" in found["metadata"]]


def test_no_difference_has_to_be_ignored_because_nothing_here_is_set_twice(rendered: Rendered) -> None:
    """Autoscalers set the replicas, and no Deployment does."""
    assert not [found for found in documents() if "ignoreDifferences" in found["spec"]]
    assert not [found for found in rendered.of("Deployment") if "replicas" in found["spec"]]


def test_a_namespace_is_never_pruned_with_what_is_in_it(rendered: Rendered) -> None:
    (namespace,) = rendered.of("Namespace")
    options = namespace["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].split(",")
    assert {"Prune=false", "Delete=false"} <= set(options)


def test_one_environment_can_be_applied_without_the_others() -> None:
    """By its label: an Argo CD of one environment needs its Application, its project, and what is everybody's."""
    for found in documents():
        name = found["metadata"]["name"].removeprefix("flowlet-")
        assert found["metadata"]["labels"][LABEL] == (name if name in ENVIRONMENTS else EVERY)


def test_the_librarys_reading_of_them_is_the_same(tool: Callable[[str], Path]) -> None:
    found = declared.read(Renderer(Repository.open(ROOT), tool("kustomize")))
    assert [(d.name, d.destination_namespace) for d in found] == [
        (d["metadata"]["name"], d["spec"]["destination"].get("namespace", ""))
        for d in documents()
        if d["kind"] == "Application"
    ]


# Projects


def test_a_project_allows_exactly_the_kinds_that_are_rendered(all_rendered: dict[str, Rendered]) -> None:
    wanted = {(group(d), d["kind"]) for found in all_rendered.values() for d in found.documents}
    for environment in ENVIRONMENTS:
        spec = named("AppProject", f"flowlet-{environment}")["spec"]
        assert kinds(spec["clusterResourceWhitelist"]) == {k for k in wanted if k[1] in CLUSTER_SCOPED}
        allowed = kinds(spec["namespaceResourceWhitelist"])
        assert allowed - SHOWN_ONLY == {k for k in wanted if k[1] not in CLUSTER_SCOPED}
        assert allowed >= SHOWN_ONLY


def test_an_environment_reaches_its_own_namespace_and_no_other(environment: str) -> None:
    """With a project for all of them, a commit to staging could render into production."""
    spec = named("AppProject", f"flowlet-{environment}")["spec"]
    assert spec["destinations"] == [{"server": SERVER, "namespace": f"flowlet-{environment}"}]
    assert [item["name"] for item in spec["clusterResourceWhitelist"]] == [f"flowlet-{environment}"]


def test_the_policies_project_allows_exactly_the_rules_and_no_namespace(tool: Callable[[str], Path]) -> None:
    repository = Repository.open(ROOT)
    text = Renderer(repository, tool("kustomize")).render(repository.overlay_at(ROOT / "policies"))
    spec = named("AppProject", "flowlet-policies")["spec"]
    assert kinds(spec["clusterResourceWhitelist"]) == {(group(r.document), r.kind) for r in split(text)}
    assert spec["destinations"] == [{"server": SERVER}]
    # An empty whitelist would not survive the API server, and none means everything.
    assert kinds(spec["namespaceResourceBlacklist"]) == {("*", "*")}


def test_no_project_warns_of_what_others_put_into_its_namespace() -> None:
    assert not [found for found in documents() if "orphanedResources" in found["spec"]]


def test_only_production_has_sync_windows_and_a_person_can_pass_them() -> None:
    windows = {
        d["metadata"]["name"]: d["spec"]["syncWindows"]
        for d in documents()
        if d["kind"] == "AppProject" and "syncWindows" in d["spec"]
    }
    assert list(windows) == ["flowlet-production"]
    for window in windows["flowlet-production"]:
        assert window["kind"] == "deny"
        assert window["applications"] == ["flowlet-production"]
        assert window["manualSync"] is True
        assert window["syncOverrun"] is True
        assert len(window["schedule"].split()) == 5


def test_without_the_one_line_production_may_be_synced_at_any_hour(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """What a trial or a test does."""
    text = (ROOT / "argocd/kustomization.yaml").read_text("utf-8")
    line = "  - path: projects/sync-windows.yaml\n"
    assert text.count(line) == 1
    subprocess.run(["cp", "-r", ROOT / "argocd", tmp_path], check=True)
    (tmp_path / "argocd/kustomization.yaml").write_text(text.replace(line, ""), "utf-8")
    done = subprocess.run([tool("kustomize"), "build", tmp_path / "argocd"], check=True, capture_output=True)
    assert b"syncWindows" not in done.stdout


# Rights


def roles(project: str) -> dict[str, Document]:
    return {role["name"]: role for role in named("AppProject", project)["spec"].get("roles", [])}


def rights(project: str, role: str) -> set[tuple[str, str]]:
    found = set()
    for policy in roles(project)[role]["policies"]:
        kind, subject, resource, action, target, effect = (part.strip() for part in policy.split(","))
        assert (kind, subject, effect) == ("p", f"proj:{project}:{role}", "allow")
        assert target == f"{project}/*"
        found.add((resource, action))
    return found


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "policies"])
def test_ci_may_look_and_sync_and_nothing_else(name: str) -> None:
    assert rights(f"flowlet-{name}", "ci") == {("applications", "get"), ("applications", "sync")}
    assert "groups" not in roles(f"flowlet-{name}")["ci"], "it is a token's, not a person's"


def test_operators_sync_read_logs_and_restart_deployments(environment: str) -> None:
    """docs/decisions/0007: restarts are Argo CD's action, because whoever may patch can read every Secret."""
    assert rights(f"flowlet-{environment}", "operator") == {
        ("applications", "get"),
        ("applications", "sync"),
        ("applications", "action/apps/Deployment/restart"),
        ("logs", "get"),
    }


def test_viewers_look(environment: str) -> None:
    assert rights(f"flowlet-{environment}", "viewer") == {("applications", "get")}


@pytest.mark.parametrize(("role", "binding"), [("viewer", "flowlet-viewers"), ("operator", "flowlet-operators")])
def test_the_groups_are_those_of_the_cluster(rendered: Rendered, role: str, binding: str) -> None:
    groups = roles(f"flowlet-{rendered.environment}")[role]["groups"]
    assert groups == [subject["name"] for subject in rendered.named("RoleBinding", binding)["subjects"]]


# The set-up of Argo CD itself


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], Path]) -> dict[tuple[str, str], Document]:
    """argocd/install over a stand-in of what upstream's install names."""
    folder = tmp_path_factory.mktemp("install")
    subprocess.run(["cp", "-r", ROOT / "argocd/install", folder / "install"], check=True)
    subprocess.run(["cp", Path(__file__).parent / "upstream.yaml", folder], check=True)
    (folder / "kustomization.yaml").write_text("namespace: argocd\nresources: [upstream.yaml]\ncomponents: [install]\n")
    done = subprocess.run([tool("kustomize"), "build", folder], check=True, capture_output=True)
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.stdout)}


Install = dict[tuple[str, str], Document]


def repo_server(install: Install) -> Document:
    return dict(install["Deployment", "argocd-repo-server"]["spec"]["template"]["spec"])


def by_name(items: list[Document], name: str) -> Document:
    return next(item for item in items if item["name"] == name)


def test_the_repo_server_has_ksops_beside_its_own_kustomize(install: Install) -> None:
    spec = repo_server(install)
    assert {"copyutil", "install-ksops"} == {container["name"] for container in spec["initContainers"]}
    container = by_name(spec["containers"], "argocd-repo-server")
    assert container["image"].startswith("quay.io/argoproj/argocd:"), "upstream's own container is kept"
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounted["/usr/local/bin/ksops"]["subPath"] == "ksops"
    assert "/usr/local/bin/kustomize" not in mounted
    assert "/tmp" in mounted, "upstream's own mounts are kept"
    options = install["ConfigMap", "argocd-cm"]["data"]["kustomize.buildOptions"].split()
    assert options == ["--enable-alpha-plugins", "--enable-exec"]


def test_the_key_is_a_file_that_only_the_repo_server_reads(install: Install) -> None:
    spec = repo_server(install)
    volume = by_name(spec["volumes"], "sops-age")["secret"]
    assert volume == {
        "secretName": "sops-age",
        "defaultMode": 0o400,
        "items": [{"key": "keys.txt", "path": "keys.txt"}],
    }
    container = by_name(spec["containers"], "argocd-repo-server")
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "sops-age"]
    assert mount["readOnly"] is True
    assert {"name": "SOPS_AGE_KEY_FILE", "value": f"{mount['mountPath']}/keys.txt"} in container["env"]
    # A Secret's files are root's; without the group a pod that is not root could not read them.
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"] == 999
    others = [c for c in spec["initContainers"] if "sops-age" in {m["name"] for m in c.get("volumeMounts", [])}]
    assert not others


def test_what_is_added_to_the_repo_server_is_confined(install: Install) -> None:
    context = by_name(repo_server(install)["initContainers"], "install-ksops")["securityContext"]
    assert context == {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    image = by_name(repo_server(install)["initContainers"], "install-ksops")["image"]
    assert image.rpartition(":")[2].startswith("v"), "pinned by version"


def test_the_repo_server_reaches_git_redis_and_dns_only(install: Install) -> None:
    policy = install["NetworkPolicy", "repo-server-to-git"]["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "argocd-repo-server"}}
    assert policy["policyTypes"] == ["Egress"]
    ports = [sorted({port["port"] for port in rule["ports"]}) for rule in policy["egress"]]
    assert ports == [[443], [6379], [53]]
    assert all(rule["to"] for rule in policy["egress"]), "a rule without peers means everywhere"


def test_nobody_reaches_a_part_of_argo_cd_unless_a_policy_says_so(install: Install) -> None:
    assert install["NetworkPolicy", "default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert {d["metadata"]["namespace"] for (kind, _name), d in install.items() if kind == "NetworkPolicy"} == {"argocd"}


def test_nobody_opens_a_shell_and_who_is_nobody_may_nothing(install: Install) -> None:
    assert install["ConfigMap", "argocd-cm"]["data"]["exec.enabled"] == "false"
    access = install["ConfigMap", "argocd-rbac-cm"]["data"]
    assert access["policy.default"] == ""
    assert [line for line in access["policy.csv"].splitlines() if line] == [
        "g, flowlet-platform-administrators, role:admin"
    ]


def test_a_sync_is_of_the_branch_and_a_rollback_is_more_than_a_sync(install: Install) -> None:
    data = install["ConfigMap", "argocd-cm"]["data"]
    assert data["application.sync.requireOverridePrivilegeForRevisionSync"] == "true"
    assert data["server.rbac.rollback.enforce.enable"] == "true"


@pytest.mark.slow  # the definitions come with the program, which is built from nothing at its first use
def test_every_document_fits_argo_cds_own_definitions(
    tmp_path: Path, tool: Callable[[str], Path], kustodian: Callable[..., Any]
) -> None:
    """By the strict schema: a field that Argo CD does not know is an error."""
    subprocess.run(["cp", "-r", ROOT / "argocd", tmp_path], check=True)
    definitions = list(tool("argocd").parent.glob("*-crd.yaml"))
    assert len(definitions) == 3
    for file in definitions:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    done = kustodian("--repo", tmp_path, "validate", "--root", "argocd", cwd=tmp_path)
    assert done.code == 0, done.output
    shared = tmp_path / "argocd/applications/every.yaml"
    shared.write_text(shared.read_text("utf-8").replace("selfHeal", "selfHeel"), "utf-8")
    done = kustodian("--repo", tmp_path, "validate", "--root", "argocd", cwd=tmp_path)
    assert "'selfHeel' not allowed" in done.output
