"""A small repository with two environments, the bare repository that Argo CD would follow, and colleagues who push."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kustodian.delivery import destination
from kustodian.delivery.destination import Destination
from kustodian.delivery.publish import Pushed
from kustodian.delivery.push import push
from kustodian.delivery.rollback import RolledBack, rollback
from kustodian.render import Renderer
from kustodian.repository import Overlay, Repository
from kustodian.validate import Report, Validator, schemas

from tests.conftest import Repo

from ..kit import Files, write

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {value: 'VALUE'}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2}\n"
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop-ENV
  namespace: argocd
  annotations: {argocd.argoproj.io/manifest-generate-paths: /base;/overlays/ENV}
spec:
  project: default
  source: {repoURL: "REPOSITORY", targetRevision: main, path: overlays/ENV}
  destination: {namespace: shop-ENV}
"""


def config_map(name: str, value: str) -> str:
    return MAP.replace("NAME", name).replace("VALUE", value)


def application(env: str, url: str) -> str:
    return APPLICATION.replace("ENV", env).replace("REPOSITORY", url)


def git(folder: Path, *arguments: str | Path) -> str:
    """What the real git prints; it must succeed."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Site:
    """A clone, the bare repository that it came from, and what runs on it."""

    root: Path
    origin: Path
    repo: Repo
    kustomize: Path
    kubeconform: Path
    cache: Path

    def git(self, *arguments: str | Path) -> str:
        return git(self.root, *arguments)

    def write(self, files: Files) -> None:
        write(self.root, files)

    def commit(self, files: Files, subject: str = "A change") -> str:
        """A commit by hand, of these files only, not pushed."""
        self.write(files)
        self.git("add", "--", *files)
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def published(self, files: Files, subject: str = "A change") -> str:
        commit = self.commit(files, subject)
        self.git("push", "--quiet", "origin", "HEAD:main")
        return commit

    def remote(self, branch: str = "main") -> str:
        """The commit at a branch of the bare repository."""
        return git(self.origin, "rev-parse", f"refs/heads/{branch}")

    def branches(self) -> set[str]:
        return set(git(self.origin, "for-each-ref", "--format=%(refname:short)", "refs/heads").split())

    def status(self) -> str:
        return self.git("status", "--porcelain")

    @property
    def repository(self) -> Repository:
        return Repository.open(self.root)

    def validator(self) -> Validator:
        return Validator(Renderer(self.repository, self.kustomize), self.kubeconform, "1.36", self.cache)

    def overlay(self, env: str) -> Overlay:
        return self.repository.overlay_at(self.root / "overlays" / env)

    def destinations(self) -> dict[str, Destination]:
        repository = self.repository
        return destination.find_all(repository, Renderer(repository, self.kustomize))

    def try_push(self, env: str, message: str = "") -> Pushed | Report:
        return push(self.validator(), self.overlay(env), self.destinations(), message=message)

    def push(self, env: str, message: str = "") -> Pushed:
        result = self.try_push(env, message)
        assert isinstance(result, Pushed)
        return result

    def try_rollback(self, env: str, *revisions: str, to: str = "", shared: bool = False) -> RolledBack | Report:
        return rollback(self.validator(), self.overlay(env), self.destinations(), revisions, to=to, shared=shared)

    def rollback(self, env: str, *revisions: str, to: str = "", shared: bool = False) -> RolledBack:
        result = self.try_rollback(env, *revisions, to=to, shared=shared)
        assert isinstance(result, RolledBack)
        return result

    def render(self, env: str) -> bytes:
        return Renderer(self.repository, self.kustomize).render(self.overlay(env))

    def colleague(self, tmp_path: Path, name: str = "colleague") -> Path:
        """Somebody else's clone."""
        git(tmp_path, "clone", "--quiet", self.origin, name)
        return tmp_path / name


@pytest.fixture(scope="session")
def schema_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return schemas.kubernetes("1.36", tmp_path_factory.mktemp("cache")).parents[1]


@pytest.fixture
def site(repo: Repo, tmp_path: Path, schema_cache: Path, tool: Callable[[str], Path]) -> Site:
    origin = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", origin)
    made = Site(repo.root, origin, repo, tool("kustomize"), tool("kubeconform"), schema_cache)
    made.git("remote", "add", "origin", origin)
    files = {
        "kustodian.yaml": "argocd: {applications: argocd}\nprotected: [production]\n",
        "argocd/kustomization.yaml": "resources: [staging.yaml, production.yaml]\n",
        "base/kustomization.yaml": "resources: [map.yaml]\n",
        "base/map.yaml": config_map("base", "1"),
        "README.md": "read me\n",
    }
    for env in ("staging", "production"):
        files |= {
            f"argocd/{env}.yaml": application(env, origin.as_uri()),
            f"overlays/{env}/kustomization.yaml": "resources: [../../base, own.yaml]\ngenerators: [secrets.yaml]\n",
            f"overlays/{env}/own.yaml": config_map("own", "1"),
        }
        repo.secret_overlay(env, SECRET)
    repo.write(files)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Begin")
    made.git("push", "--quiet", "--set-upstream", "origin", "main")
    return made
