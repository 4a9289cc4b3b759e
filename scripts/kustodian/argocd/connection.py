"""Where Argo CD's server is, and with which token it is spoken to.

The first that names a server counts: the environment (`ARGOCD_SERVER`), this repository's trial cluster if one is up,
`argocd.server` in kustodian.yaml, the current context of the argocd CLI. The token is `ARGOCD_AUTH_TOKEN`, else what
the argocd CLI holds for that same server (single sign-on tokens too); the trial cluster has its own. No token is ever
offered to a server that it was not meant for, but `ARGOCD_AUTH_TOKEN` is meant for whatever the rest names.

`ARGOCD_CA` names a PEM file with the certificate that signs the server's, before `argocd.ca` in kustodian.yaml.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kustodian import settings
from kustodian.argocd import cli
from kustodian.cluster import state
from kustodian.errors import TokenRefused, UsageError, task
from kustodian.repository import Repository

SERVER = "ARGOCD_SERVER"
TOKEN = "ARGOCD_AUTH_TOKEN"  # noqa: S105  the variable's name
CA = "ARGOCD_CA"
ENVIRONMENT, TRIAL, CLI = "the environment", "trial cluster", "argocd's configuration file"
"""Who named the server, besides kustodian.yaml."""


@dataclass(frozen=True)
class Connection:
    server: str
    """Base address, `https://HOST[:PORT][/PATH]`."""
    token: str = field(repr=False)
    ca: Path | None = None
    """PEM file with what signs the server's certificate; None for the system's."""
    verify: bool = True
    origin: str = ""
    """Who named the server: `the environment`, `trial cluster`, `kustodian.yaml`, `argocd's configuration file`."""

    @property
    def login(self) -> str:
        """How to get another token, for a hint."""
        if self.origin == TRIAL:
            return f"start it anew: `{task('cluster down')}`, `{task('cluster up')}`"
        return f"log in with `argocd login {urlsplit(self.server).netloc} --sso`, or set {TOKEN}"


def find(repository: Repository) -> Connection:
    """How to speak to the Argo CD of this repository; asks no server.

    Raises `UsageError` where nobody names a server or holds a token for it, and `TokenRefused` for a token that is
    known to be expired.
    """
    named = os.environ.get(SERVER, "").strip()
    if not named and (trial := state.read(repository.root)) is not None:
        return _usable(Connection(trial.server, trial.token, trial.ca, origin=TRIAL))
    ours = repository.settings.argocd_server
    server, origin = (_from_environment(named), ENVIRONMENT) if named else (ours, settings.FILE)
    token = os.environ.get(TOKEN, "").strip()
    login = None if server and token else cli.login(server)
    if login is not None and (not server or (named and "://" not in named)):
        server, origin = login.server, origin if server else CLI  # a bare name leaves it to the CLI how to speak to it
    if not server:
        raise UsageError(
            "nobody says where Argo CD is",
            hint=f"set {SERVER} and {TOKEN}; or log in with `argocd login HOST` ({settings.FILE} can name the server "
            f"as `argocd.server`); or start a trial cluster: `{task('cluster up')}`",
        )
    is_ours = server == ours
    verify = not (login and login.insecure) and not (is_ours and repository.settings.argocd_skip_tls_verify)
    found = Connection(server, token or (login.token if login else ""), _ca(repository, is_ours), verify, origin)
    if not found.token:
        raise UsageError(f"no token for Argo CD at {server}, which {origin} names", hint=found.login)
    return _usable(found)


def _from_environment(named: str) -> str:
    try:
        return settings.server_url(named)
    except UsageError as error:
        raise UsageError(f"{SERVER}: {error.message}", hint=error.hint) from None


def _ca(repository: Repository, is_ours: bool) -> Path | None:
    named = os.environ.get(CA, "")
    path = Path(named) if named else repository.root / repository.settings.argocd_ca
    if not named and not (is_ours and repository.settings.argocd_ca):
        return None
    if not path.is_file():
        whose = CA if named else f"{settings.FILE}: `argocd`: `ca`"
        raise UsageError(f"{whose}: there is no file {path}", hint="it takes a PEM file with a certificate")
    return path


def _usable(connection: Connection) -> Connection:
    if not re.fullmatch(r"[!-~]+", connection.token):
        raise UsageError(f"the token for {connection.server} has characters that no token has", hint=connection.login)
    expired = expiry(connection.token)
    if expired is not None and expired < time.time():
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(expired))
        raise TokenRefused(f"the token for {connection.server} expired at {when}", hint=connection.login)
    return connection


def expiry(token: str) -> float | None:
    """When a token certainly ends, in seconds since 1970; None where only the server knows.

    That is the `exp` of a token that Argo CD itself signed. It may renew one of single sign-on after that
    (`getClaims` in its server/server.go).
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = float(claims["exp"]) if claims["iss"] == "argocd" else None
        return end if end is not None and 0 < end < 1e11 else None
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None
