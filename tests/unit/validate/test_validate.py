"""The stage as a whole: renders of the real kustomize, held to schemas by the real kubeconform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.errors import ExitCode
from kustodian.finding import Finding
from kustodian.render import Renderer
from kustodian.repository import Repository
from kustodian.validate import Checked, Report, Validator

from ..kit import Files, program, write

pytestmark = pytest.mark.xdist_group("schemas")

Validate = Callable[[Files], Report]
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - port: 80\n"
OVERLAY = "overlays/staging/kustomization.yaml"
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.a.example.com}
spec:
  group: a.example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
"""
THING = "apiVersion: a.example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {size: SIZE}\n"


@pytest.fixture
def validate(tmp_path: Path, kubernetes: Path, tool: Callable[[str], Path]) -> Validate:
    def run(files: Files) -> Report:
        repository = Repository.open(write(tmp_path / "repo", files))
        cache = kubernetes.parents[1]
        validator = Validator(Renderer(repository, tool("kustomize")), tool("kubeconform"), "1.36", cache)
        seen: list[Checked] = []
        report = validator.validate(repository.overlays, on_done=seen.append)
        assert sorted(checked.overlay.path for checked in seen) == [checked.overlay.path for checked in report.overlays]
        return report

    return run


def test_what_is_right_is_clean(validate: Validate) -> None:
    report = validate({OVERLAY: "resources: [web.yaml]\n", "overlays/staging/web.yaml": SERVICE})
    (checked,) = report.overlays
    assert (checked.resources, checked.skipped, checked.findings, checked.errors) == (1, 0, (), ())
    assert (report.findings, report.exit_code) == ((), ExitCode.CLEAN)


def test_a_wrong_field_is_a_finding_with_the_file_and_line_that_set_it(validate: Validate) -> None:
    report = validate(
        {
            OVERLAY: "namespace: shop\nnamePrefix: s-\nresources: [../../base]\npatches: [{path: port.yaml}]\n",
            "overlays/staging/port.yaml": SERVICE.replace("port: 80", "port: eighty"),
            "base/kustomization.yaml": "resources: [web.yaml]\n",
            "base/web.yaml": f"{SERVICE}  selektor: {{a: b}}\n",
        }
    )
    assert report.findings == (
        Finding(
            "schema",
            "/spec: additional properties 'selektor' not allowed",
            resource="Service/shop/s-web",
            file="base/web.yaml",
            line=7,
            overlay="overlays/staging",
            mend="see the Service schema of Kubernetes 1.36",
        ),
        Finding(
            "schema",
            "/spec/ports/0/port: got string, want integer",
            resource="Service/shop/s-web",
            file="overlays/staging/port.yaml",
            line=6,
            overlay="overlays/staging",
            mend="see the Service schema of Kubernetes 1.36",
        ),
    )
    assert report.exit_code is ExitCode.FINDINGS


def test_a_kind_without_a_schema_could_not_be_checked(validate: Validate) -> None:
    things = "---\n".join(THING.replace("name: t", f"name: t{number}").replace("SIZE", "1") for number in range(5))
    report = validate({OVERLAY: "resources: [t.yaml]\n", "overlays/staging/t.yaml": things})
    (error,) = report.overlays[0].errors
    assert error.message == "overlays/staging: a.example.com/v1/Thing: no schema (5: t0, t1, t2 …)"
    assert error.hint.startswith(
        "add its CustomResourceDefinition to the repository, or list the kind under `skipKinds`"
    )
    assert (report.findings, report.exit_code) == ((), ExitCode.ERROR)


def test_a_kind_may_be_skipped(validate: Validate) -> None:
    report = validate(
        {
            "kustodian.yaml": "skipKinds: Thing\n",
            OVERLAY: "resources: [t.yaml]\n",
            "overlays/staging/t.yaml": THING.replace("SIZE", "1"),
        }
    )
    assert (report.overlays[0].skipped, report.exit_code) == (1, ExitCode.CLEAN)


@pytest.mark.parametrize("rendered", [True, False])
def test_a_definition_of_the_repository_or_of_the_render_is_a_schema(validate: Validate, rendered: bool) -> None:
    # In the render only: its file is one that the checks of the tree leave out.
    report = validate(
        {
            "kustodian.yaml": "ignore: ['*/crd.yaml']\n" if rendered else "",
            OVERLAY: f"resources: [t.yaml{', crd.yaml' if rendered else ''}]\n",
            "overlays/staging/t.yaml": THING.replace("SIZE", "large"),
            "overlays/staging/crd.yaml": CRD,
        }
    )
    assert [finding.message for finding in report.findings] == ["/spec/size: got string, want integer"]
    assert report.overlays[0].errors == ()


def test_an_overlay_that_does_not_render_is_an_error_and_the_others_are_checked(validate: Validate) -> None:
    report = validate(
        {
            OVERLAY: "resources: [gone.yaml]\n",
            "overlays/test/kustomization.yaml": "resources: [web.yaml]\n",
            "overlays/test/web.yaml": SERVICE,
        }
    )
    assert [len(checked.errors) for checked in report.overlays] == [1, 0]
    assert "gone.yaml does not exist" in report.overlays[0].errors[0].message
    assert report.exit_code is ExitCode.ERROR


def test_the_tree_is_checked_once_for_all_overlays(validate: Validate) -> None:
    overlay = "resources: [../../base]\n"
    report = validate(
        {
            OVERLAY: overlay,
            "overlays/test/kustomization.yaml": overlay,
            "base/kustomization.yaml": "resources: [s.yaml]\n",
            "base/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2}\n",
        }
    )
    assert [(finding.rule, finding.file, finding.line) for finding in report.findings] == [
        ("plain-secret", "base/s.yaml", 4)
    ]
    assert report.exit_code is ExitCode.FINDINGS


CONFIG = {
    "kustodian.yaml": "config: {schema: 'schema/{env}.json'}\n",
    "schema/staging.json": json.dumps(
        {"required": ["app", "db"], "properties": {"app": {"properties": {"PORT": {"type": "integer"}}}}}
    ),
    OVERLAY: "configMapGenerator:\n- {name: app, envs: [app.env]}\n",
    "overlays/staging/app.env": "LEVEL=info\nPORT=http\n",
}


def test_the_configuration_is_held_to_its_schema_and_the_line_named(validate: Validate) -> None:
    report = validate(CONFIG)
    assert sorted(report.findings) == [
        Finding(
            "config",
            "app.PORT: 'http' is not of type 'integer'",
            resource="ConfigMap/app",
            file="overlays/staging/app.env",
            line=2,
            overlay="overlays/staging",
            mend="the rule is in schema/staging.json",
        ),
        Finding(
            "config",
            "db: the ConfigMap 'db' is missing",
            resource="ConfigMap/db",
            overlay="overlays/staging",
            mend="the rule is in schema/staging.json",
        ),
    ]


def test_an_environment_without_a_configuration_schema_could_not_be_checked(validate: Validate) -> None:
    report = validate({**CONFIG, "schema/staging.json": "{"})
    assert "schema/staging.json: not JSON: " in report.overlays[0].errors[0].message
    assert report.exit_code is ExitCode.ERROR


def test_a_root_that_is_no_environment_needs_no_configuration(
    tmp_path: Path, kubernetes: Path, tool: Callable[[str], Path]
) -> None:
    repository = Repository.open(write(tmp_path, {**CONFIG, "base/kustomization.yaml": "namePrefix: x-\n"}))
    write(tmp_path, {"base/kustomization.yaml": "configMapGenerator:\n- {name: app, literals: [PORT=http]}\n"})
    validator = Validator(Renderer(repository, tool("kustomize")), tool("kubeconform"), "1.36", kubernetes.parents[1])
    report = validator.validate([repository.overlay_at(tmp_path / "base")], on_done=lambda _checked: None)
    assert report.exit_code is ExitCode.CLEAN


def test_exit_codes_tell_findings_from_errors() -> None:
    finding = Finding("schema", "x")
    assert Report(()).exit_code is ExitCode.CLEAN
    assert Report((), (finding,)).exit_code is ExitCode.FINDINGS


def test_many_overlays_share_a_run_and_keep_their_own_findings(validate: Validate) -> None:
    files = {"base/kustomization.yaml": "resources: [web.yaml]\n", "base/web.yaml": SERVICE}
    for number in range(7):
        files[f"overlays/o{number}/kustomization.yaml"] = "resources: [../../base]\n"
    files["overlays/o3/kustomization.yaml"] += (
        "patches:\n- patch: '{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: 1}}'\n"
    )
    files["overlays/o5/kustomization.yaml"] = "resources: [gone.yaml]\n"
    report = validate(files)
    assert [len(checked.findings) for checked in report.overlays] == [0, 0, 0, 1, 0, 0, 0]
    assert [len(checked.errors) for checked in report.overlays] == [0, 0, 0, 0, 0, 1, 0]
    assert [checked.resources for checked in report.overlays] == [1, 1, 1, 1, 1, 0, 1]


def test_a_run_that_fails_for_many_is_tried_for_each_alone(
    tmp_path: Path, kubernetes: Path, tool: Callable[[str], Path]
) -> None:
    # As if one file made the program die: it does so for two files, and for the one that says so.
    fake = program(
        tmp_path / "kubeconform",
        f"""
        count=0
        for last; do case "$last" in *.yaml) count=$((count + 1)) ;; esac; done
        if [ $count = 1 ] && ! grep -q "name: bad" "$last"; then exec {tool("kubeconform")} "$@"; fi
        echo died >&2
        exit 3
        """,
    )
    files: dict[str, str | bytes] = {
        f"overlays/{name}/kustomization.yaml": f"resources: [s.yaml]\nnamePrefix: {name}-\n" for name in "abcd"
    }
    files |= {f"overlays/{name}/s.yaml": SERVICE for name in "abcd"}
    files["overlays/c/kustomization.yaml"] = "resources: [s.yaml]\nnamePrefix: bad\n"
    repository = Repository.open(write(tmp_path / "repo", files))
    validator = Validator(Renderer(repository, tool("kustomize")), fake, "1.36", kubernetes.parents[1])
    report = validator.validate(repository.overlays, on_done=lambda _checked: None)
    assert [[error.message for error in checked.errors] for checked in report.overlays] == [
        [],
        [],
        ["kubeconform failed: died"],
        [],
    ]


def test_a_group_is_not_taken_for_another_that_starts_alike(validate: Validate) -> None:
    job = "apiVersion: batch.example.com/v1\nkind: CronJob\nmetadata: {name: t}\nspec: {size: 1}\n"
    own = CRD.replace("a.example.com", "batch.example.com").replace("kind: Thing", "kind: CronJob")
    files = {OVERLAY: "resources: [job.yaml]\n", "overlays/staging/job.yaml": job}
    report = validate(files)
    (error,) = report.overlays[0].errors
    assert error.message == "overlays/staging: batch.example.com/v1/CronJob: no schema (1: t)"
    assert validate({**files, "crds/own.yaml": own}).exit_code is ExitCode.CLEAN


def test_the_definition_that_is_rendered_counts_before_the_trees(validate: Validate) -> None:
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/extra"
    added = f'[{{"op": "add", "path": "{path}", "value": {{"type": "string"}}}}]'
    report = validate(
        {
            OVERLAY: "resources: [../../crds, t.yaml]\npatches:\n- target: {kind: CustomResourceDefinition}\n"
            f"  patch: '{added}'\n",
            "overlays/staging/t.yaml": THING.replace("SIZE", "1") + "extra: x\n",
            "crds/kustomization.yaml": "resources: [crd.yaml]\n",
            "crds/crd.yaml": CRD,
        }
    )
    assert report.exit_code is ExitCode.CLEAN


def test_a_rendered_secret_with_an_open_value_is_found_whatever_made_it(validate: Validate) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
    report = validate(
        {
            OVERLAY: "resources: [s.yaml]\npatches:\n- target: {kind: Secret}\n  path: patch.json\n",
            "overlays/staging/s.yaml": secret,
            "overlays/staging/patch.json": json.dumps(
                [{"op": "add", "path": "/data", "value": {"a": "eA==", "b": "c2VhbGVkOmE="}}]
            ),
        }
    )
    (finding,) = report.findings
    assert (finding.rule, finding.resource, finding.overlay) == ("plain-secret", "Secret/s", "overlays/staging")
    assert finding.message == "the rendered Secret holds `data.a` in plain text"


def test_a_secret_that_the_tree_shows_in_the_open_is_found_once(validate: Validate) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: x}\n"
    report = validate({OVERLAY: "resources: [s.yaml]\n", "overlays/staging/s.yaml": secret})
    (finding,) = report.findings
    assert (finding.file, finding.line) == ("overlays/staging/s.yaml", 4)


# The Applications


def test_findings_over_applications_belong_to_no_overlay(validate: Validate) -> None:
    report = validate(
        {
            "kustodian.yaml": "argocd: {applications: deploy}\n",
            "deploy/kustomization.yaml": "resources: []\n",
            OVERLAY: "resources: [web.yaml]\n",
            "overlays/staging/web.yaml": SERVICE,
        }
    )
    assert [finding.rule for finding in report.tree] == ["argocd"]
    assert (report.overlays[0].findings, report.exit_code) == ((), ExitCode.FINDINGS)


def test_applications_that_do_not_render_could_not_be_checked(
    tmp_path: Path, kubernetes: Path, tool: Callable[[str], Path]
) -> None:
    files = {
        "kustodian.yaml": "argocd: {applications: deploy}\n",
        "deploy/kustomization.yaml": "resources: [missing.yaml]\n",
        OVERLAY: "resources: [web.yaml]\n",
        "overlays/staging/web.yaml": SERVICE,
    }
    repository = Repository.open(write(tmp_path / "repo", files))
    renderer = Renderer(repository, tool("kustomize"))
    validator = Validator(renderer, tool("kubeconform"), "1.36", kubernetes.parents[1])
    report = validator.validate(repository.overlays, on_done=lambda _checked: None)
    overlay, applications = report.overlays
    assert (overlay.overlay.path, overlay.findings, overlay.errors) == ("overlays/staging", (), ())
    assert applications.overlay.path == "deploy"
    assert "missing.yaml" in applications.errors[0].message
    assert report.exit_code is ExitCode.ERROR
