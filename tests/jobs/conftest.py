"""The jobs, rendered once, and a PostgreSQL per worker to run them against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import postgres, rendered
from .rendered import Job, Manifest, Prepared, Result

ROLES = {
    "flowlet_app": "app",
    "flowlet_backup": "backup",
    "flowlet_cleanup": "cleanup",
    "flowlet_owner": "owner",
}


@pytest.fixture(scope="session")
def kustomize() -> Path:
    """The pinned kustomize. The one place that knows where it comes from."""
    from kustodian.toolchain import find

    return find("kustomize").path


@pytest.fixture(scope="session")
def manifests(kustomize: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return rendered.build(kustomize, tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="session")
def jobs(manifests: list[Manifest]) -> dict[str, Job]:
    """All jobs by name."""
    config_maps = {m["metadata"]["name"]: m["data"] for m in manifests if m["kind"] == "ConfigMap"}
    return {m["metadata"]["name"]: Job(m, config_maps) for m in manifests if m["kind"] in {"Job", "CronJob"}}


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    with postgres.running_server() as running:
        yield running


@dataclass(frozen=True)
class Runner:
    """Runs jobs against a server."""

    jobs: Mapping[str, Job]
    server: postgres.Server
    folder: Path

    def prepare(
        self,
        name: str,
        database: str,
        *,
        changes: Mapping[str, str | None] | None = None,
        mounts: Mapping[str, Path] | None = None,
        programs: Path | None = None,
    ) -> Prepared:
        """The job `name`, ready to start; `programs` is a folder whose programs come before the image's."""
        connection = {"PGHOST": str(self.server.socket), "PGPORT": postgres.PORT, "PGDATABASE": database}
        path = [*([programs] if programs else []), self.server.programs]
        folder = self.folder / name
        return rendered.prepare(self.jobs[name], folder, path, connection, changes=changes, mounts=mounts)

    def run(
        self,
        name: str,
        database: str,
        *,
        changes: Mapping[str, str | None] | None = None,
        mounts: Mapping[str, Path] | None = None,
        programs: Path | None = None,
    ) -> Result:
        return self.prepare(name, database, changes=changes, mounts=mounts, programs=programs).run()

    def succeed(
        self,
        name: str,
        database: str,
        *,
        changes: Mapping[str, str | None] | None = None,
        mounts: Mapping[str, Path] | None = None,
    ) -> str:
        """The output of a run that must succeed and have nothing to complain about."""
        result = self.run(name, database, changes=changes, mounts=mounts)
        assert result.err == ""
        assert result.code == 0
        return result.out


@pytest.fixture
def runner(jobs: Mapping[str, Job], server: postgres.Server, tmp_path: Path) -> Runner:
    return Runner(jobs, server, tmp_path)


@pytest.fixture(scope="session")
def migrated(jobs: Mapping[str, Job], server: postgres.Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database after init-system and database-migration, to be copied and otherwise left alone."""
    name = server.create_database()
    runner = Runner(jobs, server, tmp_path_factory.mktemp("migrated"))
    runner.succeed("init-system", name)
    runner.succeed("database-migration", name)
    return name


@pytest.fixture
def blank(server: postgres.Server, migrated: str) -> Iterator[str]:
    """An empty database, on a server that knows the roles."""
    name = server.create_database()
    yield name
    server.drop_database(name)


@pytest.fixture
def initialised(server: postgres.Server, jobs: Mapping[str, Job], blank: str) -> str:
    """A fresh database after init-system, without any migration."""
    _initialise(server, jobs, blank)
    return blank


@pytest.fixture
def database(server: postgres.Server, jobs: Mapping[str, Job], migrated: str) -> Iterator[str]:
    """A fresh database as a release finds it: init-system and all migrations have run."""
    name = server.create_database(template=migrated)
    # CREATE DATABASE copies neither the privileges on the database nor the roles' settings in it.
    _initialise(server, jobs, name)
    yield name
    server.drop_database(name)


def _initialise(server: postgres.Server, jobs: Mapping[str, Job], name: str) -> None:
    text = jobs["init-system"].files("/scripts")["init-system.sql"]
    server.query(name, text, user="flowlet_owner", password=ROLES["flowlet_owner"])
