"""Where an environment is deployed from: the git repository and the branch that its Application follows."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from kustodian.argocd import declared
from kustodian.cluster import state
from kustodian.errors import UsageError
from kustodian.git import COMMIT_ID, Git, mask
from kustodian.remote import Refs, remotes
from kustodian.render import Renderer
from kustodian.repository import Overlay, Repository

_SCP = re.compile(r"(?:[^@/\s]+@)?(\[[^\]]+\]|[^:/\s]+):(.*)")
_RANGE = re.compile(r".*[*^~<> ].*|[=!].*|v?\d+(\.\d+)*\.[xX](\.[xX])?")
"""What only a range of versions can be (Argo CD takes Masterminds/semver's); most of it no branch may be called."""
_WEB = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Destination:
    """What an overlay's Application follows. With a trial cluster up, the trial's repository and branch."""

    overlay: Overlay
    application: str
    namespace: str
    """Of the Application; empty where the repository leaves it to whoever applies it."""
    repo_url: str
    branch: str
    """The `targetRevision` as declared; `HEAD` (the default branch) where it is empty. `branch_of` makes a branch."""
    source: int
    """The position among the Application's sources, and so among the revisions of its status and history."""
    trial: bool = False


def find(repository: Repository, renderer: Renderer, overlay: Overlay) -> Destination:
    """The overlay's destination. Raises `UsageError` if no declared Application deploys it, `RenderError`."""
    return of(find_all(repository, renderer), overlay, repository)


def find_all(repository: Repository, renderer: Renderer) -> dict[str, Destination]:
    """The destination of every overlay that an Application of the repository deploys, by the overlay's path."""
    applications = declared.read(renderer)
    trial = state.read(repository.root)
    found: dict[str, Destination] = {}
    for overlay in repository.overlays:
        application = declared.of(applications, overlay)
        if application is None:
            continue
        paths = [declared.path_of(source) for source in application.sources]
        position = paths.index(overlay.path)
        source = application.sources[position]
        found[overlay.path] = Destination(
            overlay,
            application.name,
            application.namespace,
            trial.repository_url if trial else source.repo_url,
            trial.branch if trial else source.target_revision or "HEAD",
            position,
            trial is not None,
        )
    return found


def of(destinations: Mapping[str, Destination], overlay: Overlay, repository: Repository) -> Destination:
    """The overlay's among the destinations. Raises `UsageError` if it has none."""
    if overlay.path in destinations:
        return destinations[overlay.path]
    folder = repository.settings.argocd_applications
    if not folder:
        raise UsageError(
            f"{overlay.path}: which Application deploys it is not known",
            hint="name the folder that renders the Applications: `argocd: {applications: FOLDER}` in kustodian.yaml",
        )
    root = repository.root
    if not (root / ".git").exists() and any((parent / ".git").exists() for parent in root.parents):
        raise UsageError(
            f"{overlay.path}: no Application in the render of {folder} has this path as a source; Argo CD takes paths "
            f"from the top of the git repository, in which {root} is but a folder",
            hint="deliveries need kustodian.yaml, and all below it, at the top of a git repository",
        )
    raise UsageError(
        f"{overlay.path}: no Application in the render of {folder} has this path as a source",
        hint=f"declare one in {folder}, with `path: {overlay.path}`",
    )


def remote_of(git: Git, destination: Destination) -> str:
    """The name of the remote that is the destination's repository; of a trial cluster, its URL.

    Raises `UsageError` if there is none.
    """
    if destination.trial:
        return destination.repo_url
    known = remotes(git)
    fitting = [one.name for one in known if any(is_same(url, destination.repo_url, git.top) for url in one.urls)]
    if fitting:
        return "origin" if "origin" in fitting else fitting[0]
    listed = ", ".join(f"{one.name} ({mask(one.urls[0])})" for one in known) or "none"
    raise UsageError(
        f"the Application {destination.application} follows {mask(destination.repo_url)}, "
        f"and no git remote is that repository; there is: {listed}",
        hint=f"add it: git remote add {'argocd' if known else 'origin'} {mask(destination.repo_url)}",
    )


def branch_of(destination: Destination, refs: Refs) -> str:
    """The branch that is followed. Raises `UsageError` for what can't be pushed to: a tag, a commit, a range."""
    revision = destination.branch
    if revision == "HEAD":
        if refs.default:
            return refs.default
        raise UsageError(
            f"the Application {destination.application} follows the default branch of {mask(destination.repo_url)}, "
            "which has none yet",
            hint="push the first one by hand: git push --set-upstream REMOTE BRANCH",
        )
    branch = revision.removeprefix("refs/heads/")
    if branch in refs.branches:
        return branch
    what = ""
    if branch in refs.tags or revision.startswith("refs/tags/"):
        what = "tag"
    elif COMMIT_ID.fullmatch(revision):
        what = "commit"
    elif _RANGE.fullmatch(revision):
        what = "range of versions"
    if what:
        raise UsageError(
            f"the Application {destination.application} follows the {what} {revision}, which can't be pushed to",
            hint="have it follow a branch (`targetRevision`), or make the release by hand",
        )
    return branch


def follows(destination: Destination | None, other: Destination, refs: Refs, folder: Path) -> bool:
    """Whether `destination` is deployed from the same branch of the same repository as `other`.

    An overlay without an Application counts: who deploys it, and from where, is not known.
    """
    if destination is None:
        return True
    if not is_same(destination.repo_url, other.repo_url, folder):
        return False
    try:
        return branch_of(destination, refs) == branch_of(other, refs)
    except UsageError:
        return False


def followed_of(destinations: Iterable[Destination], other: Destination, refs: Refs, folder: Path) -> Iterator[str]:
    """The branches that these destinations follow in the repository of `other`."""
    for destination in destinations:
        if is_same(destination.repo_url, other.repo_url, folder):
            with contextlib.suppress(UsageError):
                yield branch_of(destination, refs)


def is_same(one: str, other: str, folder: Path) -> bool:
    """Whether two URLs name the same repository, however each of them reaches it.

    As for Argo CD (NormalizeGitURL in its util/git/git.go): without regard to case, `.git`, and `git@host:path` being
    `ssh://git@host/path`; besides, to user, password and protocol. Ports tell two web servers of one host apart, and
    nothing else. Paths are relative to `folder`, as git takes them.
    """
    first, second = _parts(one, folder), _parts(other, folder)
    ports = {first[1], second[1]} - {0}
    return first[0] == second[0] and first[2] == second[2] and len(ports) < 2


def review_page(url: str, base: str, branch: str) -> str:
    """The page that opens a pull request, where the host makes plain what it is; else an empty string."""
    host, _port, path = _parts(url, Path())
    base, branch = quote(base), quote(branch)
    if host == "github.com" or host.startswith("github."):
        return f"https://{host}/{path}/compare/{base}...{branch}?expand=1"
    if host == "gitlab.com" or host.startswith("gitlab."):
        fields = f"merge_request%5Bsource_branch%5D={branch}&merge_request%5Btarget_branch%5D={base}"
        return f"https://{host}/{path}/-/merge_requests/new?{fields}"
    return ""


def _parts(url: str, folder: Path) -> tuple[str, int, str]:
    """Host (empty for a path of this machine), port of a web server (else 0), and path."""
    url = url.strip()
    if "://" not in url:
        if match := _SCP.fullmatch(url):
            return match[1].strip("[]").lower(), 0, _path(match[2]).lower()
        return "", 0, _path(str((folder / url).resolve()))
    try:
        parsed = urlsplit(url)
        port = parsed.port
    except ValueError:
        return "", 0, url
    if parsed.scheme == "file":
        return "", 0, _path(str(Path(parsed.path).resolve()))
    default = _WEB.get(parsed.scheme.lower(), 0)
    return (parsed.hostname or "").lower(), (port or default) if default else 0, _path(parsed.path).lower()


def _path(text: str) -> str:
    return text.strip("/").removesuffix(".git").strip("/")
