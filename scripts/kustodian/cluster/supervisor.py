"""The process that a trial cluster lives in: `python -m kustodian.cluster.supervisor`, started by `cluster up`.

It reads its order as JSON from standard input, says on standard output how far it is, a JSON document a line
(`{"step": …}`, then `{"ready": true}` or `{"error": …, "hint": …}`), and then starts again whatever server ends,
until it is told to stop (SIGTERM). Everything is cleaned up by the janitor, whatever ends us.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kustodian import process
from kustodian.cluster import argocd, certificates, configuration, follow, standins, state
from kustodian.cluster.api import Api, context
from kustodian.cluster.plan import Plan, Program, free_ports
from kustodian.errors import KustodianError, ToolError
from kustodian.files import write_atomically
from kustodian.render import Renderer, Secrets
from kustodian.repository import Overlay, Repository

if TYPE_CHECKING:
    from subprocess import Popen

SECONDS = 90.0
"""How long the servers may take to answer, each."""
_PAUSE = 0.5
_RESTART_SECONDS = 1.0
_FAILURES = 5


@dataclass
class Server:
    """A running server. `ended` is when it was last seen to have ended."""

    program: Program
    process: Popen[bytes]
    ended: float = 0.0
    failures: int = 0


@dataclass
class Supervisor:
    plan: Plan
    servers: dict[str, Server] = field(default_factory=dict)

    def start(self, programs: Iterable[Program]) -> None:
        for program in programs:
            self.servers[program.name] = Server(program, self._spawn(program))

    def await_health(self, names: Sequence[str]) -> None:
        """Until each of the servers answers. Raises `ToolError` with the end of the log of one that does not."""
        import httpx

        deadline = time.monotonic() + SECONDS
        with httpx.Client(verify=context(self.plan.certificates), trust_env=False, timeout=5) as http:
            for name in names:
                program = self.servers[name].program
                while program.health and not _answers(http, program.health):
                    self.tend()
                    if time.monotonic() > deadline or self.servers[name].failures > _FAILURES:
                        raise ToolError(f"{name} does not come up: {self._last_words(name)}")
                    time.sleep(0.1)

    def tend(self) -> None:
        """Start again what has ended, a second later, as a cluster does with its pods."""
        now = time.monotonic()
        for server in self.servers.values():
            if server.process.poll() is None:
                continue
            if not server.ended:
                server.ended = now
            elif now - server.ended >= _RESTART_SECONDS:
                server.process, server.ended = self._spawn(server.program), 0.0
                server.failures += 1

    def _spawn(self, program: Program) -> Popen[bytes]:
        return process.spawn(
            program.argv,
            log=self._log(program.name),
            cwd=self.plan.folder,
            env={"HOME": str(self.plan.home), "TMPDIR": str(self.plan.temporary), **program.env},
        )

    def _log(self, name: str) -> Path:
        return self.plan.folder / "logs" / f"{name}.log"

    def _last_words(self, name: str) -> str:
        try:
            lines = self._log(name).read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        told = [line for line in lines if re.search(r"(?i)error|panic|fatal|unknown flag", line)] or lines
        return told[-1][-400:].strip() if told else "it says nothing"


def _answers(http: Any, address: str) -> bool:
    import httpx

    try:
        return bool(http.get(address).status_code == 200)
    except httpx.HTTPError:
        return False


def main() -> None:
    order = json.loads(sys.stdin.buffer.read())
    root, folder = Path(order["root"]), Path(order["folder"])
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    lock = (folder / state.LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say({"error": "this repository's cluster is up already", "hint": "its folder is locked"})
        return
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    janitor = process.spawn(
        [sys.executable, "-m", "kustodian.cluster.janitor", str(os.getpid()), str(folder)],
        log=Path(os.devnull),
        own_session=True,
        give_input=True,
    )
    try:
        supervisor = _bring_up(root, folder, order)
    except KustodianError as error:
        _say({"error": error.message, "hint": error.hint})
        return
    assert janitor.stdin is not None  # noqa: S101  kept open until we end: that is what it waits for
    _say({"ready": True})
    _detach(folder)
    _tend(supervisor)


def _bring_up(root: Path, folder: Path, order: Mapping[str, Any]) -> Supervisor:
    programs = {name: Path(path) for name, path in order["programs"].items()}
    repository = Repository.open(root)
    renderer = Renderer(repository, programs["kustomize"], Secrets.REVEALED, programs["sops"])
    overlays = repository.select(environments=order["environments"], every=not order["environments"], roots=[])
    followed, left_out = _that_open(renderer, overlays)
    for overlay, reason in left_out:
        _say({"note": f"{overlay.path} is left out: {str(reason).removeprefix(f'{overlay.path}: ')}"})
    if not followed:
        raise ToolError("no overlay can be rendered with its secrets", hint="see the reasons above")
    plan = _plan(folder, renderer, programs)
    url = follow.make_repository(root, folder / "repository.git")
    supervisor = Supervisor(plan)
    _say({"step": "etcd and the API server"})
    supervisor.start([plan.store(), plan.api_server()])
    supervisor.await_health(["etcd", "kube-apiserver"])
    with Api(plan.api, context(plan.certificates)) as api:
        _say({"step": "controllers, scheduler and nodes"})
        supervisor.start(plan.controllers())
        configuration.stand_in(api)
        _say({"step": "Argo CD"})
        api.apply_all(argocd.definitions(programs["argocd"].parent))
        api.apply_all(argocd.configuration(plan))
        supervisor.start(plan.delivery())
        supervisor.await_health(list(supervisor.servers))
        token = argocd.token(plan, api, seconds=SECONDS)
        supervisor.start([plan.application_sets()])
        supervisor.await_health(["argocd-applicationset-controller"])
        _say({"step": "the Applications"})
        api.apply_all(_applications(renderer, url, followed))
    document = {
        "supervisor": os.getpid(),
        "kubeconfig": plan.kubeconfig.name,
        "server": plan.argocd,
        "ca": plan.certificates.authority.relative_to(folder).as_posix(),
        "repositoryUrl": url,
        "branch": follow.BRANCH,
        "token": token,
    }
    write_atomically(folder / state.STATE, json.dumps(document).encode(), mode=0o600)
    return supervisor


def _that_open(
    renderer: Renderer, overlays: Sequence[Overlay]
) -> tuple[list[Overlay], list[tuple[Overlay, KustodianError]]]:
    """The overlays whose secrets open with the keys at hand, and the others with the reason."""
    followed, left_out = [], []
    for overlay in overlays:
        try:
            renderer.render(overlay)
        except KustodianError as error:
            left_out.append((overlay, error))
        else:
            followed.append(overlay)
    return followed, left_out


def _plan(folder: Path, renderer: Renderer, programs: Mapping[str, Path]) -> Plan:
    made = folder / "certificates"
    argocds = [folder / "argocd" / name for name in ("tls", "ssh", "gpg", "gnupg", "plugins")]
    for below in (made, *(folder / name for name in ("home", "logs", "tmp", "tools")), *argocds):
        below.mkdir(mode=0o700, parents=True)
    plan = Plan(
        folder=folder,
        programs=programs,
        certificates=certificates.make(made),
        ports=free_ports(),
        kubeconfig=folder / "kubeconfig",
        encryption=folder / "encryption.yaml",
        audit_policy=folder / "audit-policy.yaml",
        rendering={k: v for k, v in renderer.environment.items() if not k.startswith("GIT_")},
    )
    configuration.write(plan, renderer.repository)
    return plan


def _applications(renderer: Renderer, url: str, overlays: Sequence[Overlay]) -> list[dict[str, Any]]:
    repository = renderer.repository
    if folder := repository.settings.argocd_applications:
        sealed = Renderer(repository, renderer.kustomize)
        rendered = sealed.render(repository.overlay_at(repository.root / folder))
        without = set(repository.overlays) - set(overlays)
        return list(follow.documents(repository.root, rendered, url, without))
    return list(follow.own_applications(url, overlays))


def _tend(supervisor: Supervisor) -> NoReturn:
    import httpx

    with Api(supervisor.plan.api, context(supervisor.plan.certificates)) as api:
        while True:
            supervisor.tend()
            # The API server is just starting again, or something went while we looked.
            with contextlib.suppress(httpx.HTTPError, ToolError):
                standins.play(api)
            time.sleep(_PAUSE)


def _detach(folder: Path) -> None:
    """Whoever started us may go: from here on, output goes to the log."""
    log = os.open(folder / "logs" / "supervisor.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())


def _end(_number: int, _frame: object) -> NoReturn:
    os._exit(0)  # the janitor sees it and does the rest


def _say(document: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
