"""The jobs as they are rendered: what the cluster would mount, set and run, done on this machine.

A test runs what the manifest says (its command, its variables, its mounted ConfigMaps) and nothing else, so a script
that reads a variable which the manifest does not give it fails here as it would there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
SECONDS = 60

Manifest = dict[str, Any]

# What others' manifests provide: the ConfigMaps and the Secret that the jobs refer to by their plain names.
CONFIG: dict[str, dict[str, str]] = {
    "flowlet-database-config": {},  # the test's server
    "flowlet-backend-config": {"FLOWLET_ENVIRONMENT": "testing"},
}
PASSWORDS = {
    "owner_password": "owner",
    "app_password": "app",
    "backup_password": "backup",
    "cleanup_password": "cleanup",
}
SECRETS = {"flowlet-database-roles": PASSWORDS}


def build(kustomize: Path, folder: Path) -> list[Manifest]:
    """`kustomize build` of base/jobs with the component that seeds demo data."""
    root = folder / "rendered"
    root.mkdir()
    names = {name: os.path.relpath(REPOSITORY / name, root) for name in ("base/jobs", "components/demo-data")}
    kustomization = {"resources": [names["base/jobs"]], "components": [names["components/demo-data"]]}
    (root / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run([kustomize, "build", root], check=False, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@dataclass(frozen=True)
class Result:
    """How a job ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Job:
    """One Job or CronJob and the ConfigMaps that were rendered with it."""

    manifest: Manifest
    config_maps: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def spec(self) -> Manifest:
        """The Job's spec, of a CronJob its template's."""
        spec: Manifest = self.manifest["spec"]
        return spec["jobTemplate"]["spec"] if self.manifest["kind"] == "CronJob" else spec

    @property
    def template(self) -> Manifest:
        template: Manifest = self.spec["template"]
        return template

    @property
    def pod(self) -> Manifest:
        pod: Manifest = self.template["spec"]
        return pod

    @property
    def container(self) -> Manifest:
        (only,) = self.pod["containers"]
        assert isinstance(only, dict)
        return only

    def files(self, mount_path: str) -> dict[str, str]:
        """What the ConfigMaps put under a mount path."""
        (mount,) = (m for m in self.container["volumeMounts"] if m["mountPath"] == mount_path)
        (volume,) = (v for v in self.pod["volumes"] if v["name"] == mount["name"])
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        return {
            name: text
            for source in sources
            if "configMap" in source
            for name, text in self.config_maps[source["configMap"]["name"]].items()
        }

    def variables(self) -> dict[str, str]:
        """Each variable of the container with its value."""
        config = {**CONFIG, **self.config_maps}
        found: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            found |= config[source["configMapRef"]["name"]]
        for variable in self.container["env"]:
            if "value" in variable:
                found[variable["name"]] = variable["value"]
            elif "configMapKeyRef" in variable["valueFrom"]:
                reference = variable["valueFrom"]["configMapKeyRef"]
                found[variable["name"]] = config[reference["name"]][reference["key"]]
            else:
                reference = variable["valueFrom"]["secretKeyRef"]
                found[variable["name"]] = SECRETS[reference["name"]][reference["key"]]
        return found


@dataclass(frozen=True)
class Prepared:
    """A job with its files laid out; can be started several times."""

    command: Sequence[str]
    environment: Mapping[str, str]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,  # a Job has no terminal either
        )

    def run(self) -> Result:
        with self.start() as process:
            try:
                out, err = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, out, err)


def prepare(
    job: Job,
    folder: Path,
    path: Sequence[Path],
    connection: Mapping[str, str],
    *,
    changes: Mapping[str, str | None] | None = None,
    mounts: Mapping[str, Path] | None = None,
) -> Prepared:
    """Lays out the job's volumes in `folder`.

    `path` holds the programs of its image. `connection` is what flowlet-database-config says; `changes` overrides
    variables (None takes one away); `mounts` are folders to be found at a mount path instead of the manifest's.
    """
    places: dict[str, Path] = {}
    for mount in job.container["volumeMounts"]:
        mount_path = mount["mountPath"]
        if mounts and mount_path in mounts:
            places[mount_path] = mounts[mount_path]
            continue
        places[mount_path] = place = folder / mount_path.strip("/")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name, text in job.files(mount_path).items():
            (place / name).write_text(text)

    variables: dict[str, str | None] = {**job.variables(), **connection, **(changes or {})}
    environment = {name: str(places.get(value, value)) for name, value in variables.items() if value is not None}
    search = os.pathsep.join([*map(str, path), "/usr/bin", "/bin"])
    shell, script = job.container["command"]
    mounted, _, file = script.rpartition("/")
    return Prepared(
        [shell, str(places[mounted] / file)],
        {"PATH": search, "TMPDIR": str(places["/tmp"]), **environment},
    )
