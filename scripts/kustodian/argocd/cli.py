"""The argocd CLI's own configuration file: who is logged in where.

Source: Argo CD v3.6, util/localconfig/localconfig.go. The file is `config` in `$ARGOCD_CONFIG_DIR`, else in `~/.argocd`
if that is there, else in `$XDG_CONFIG_HOME/argocd`, else in `~/.config/argocd`; only its owner may read it. It has
`contexts` (`name`, `server`, `user`), `servers` and `users`, which contexts name, and a `current-context`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kustodian.errors import UsageError
from kustodian.settings import server_url


@dataclass(frozen=True)
class Login:
    server: str
    """Base address; http:// where the login was `--plaintext`."""
    token: str = field(repr=False, default="")
    insecure: bool = False
    """The login was `--insecure`: the certificate is not verified."""


def login(server: str = "") -> Login | None:
    """The login at a server (a base address), the current one if several are; without `server` the current one.

    None where there is none. Raises `UsageError` for a file that can't be read or says nothing that makes sense.
    """
    path = file()
    document = _read(path)
    current = str(document.get("current-context") or "")
    contexts = sorted(_named(document, "contexts", "name").items(), key=lambda item: item[0] != current)
    if not server:
        if current and current not in dict(contexts):
            raise UsageError(f"{path}: there is no context {current!r}, its `current-context`", hint=_HINT)
        contexts = [(name, context) for name, context in contexts if name == current]
    servers, users = _named(document, "servers", "server"), _named(document, "users", "name")
    for _name, context in contexts:
        entry = servers.get(str(context.get("server")), {})
        if entry.get("core") and not server:
            raise UsageError(
                f"{path}: its current context speaks to Kubernetes (`--core`), not to a server", hint=_HINT
            )
        found = None if entry.get("core") else _login(path, entry, users.get(str(context.get("user")), {}))
        if found and (not server or _address(found.server) == _address(server)):
            return found
    return None


_HINT = "log in with `argocd login HOST`, or set ARGOCD_SERVER and ARGOCD_AUTH_TOKEN"


def file() -> Path:
    """Where the file is, if there is one."""
    if folder := os.environ.get("ARGOCD_CONFIG_DIR"):
        return Path(folder) / "config"
    if (legacy := Path.home() / ".argocd").exists():
        return legacy / "config"
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "argocd" / "config"


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        if path.stat().st_mode & 0o077:  # it holds tokens; the CLI itself refuses such a file
            raise UsageError(f"{path}: others may read it", hint=f"chmod 600 {path}")
        document = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: can't read it: {error.strerror}", hint=_HINT) from None
    except (yaml.YAMLError, ValueError, KeyError, AttributeError):  # their texts may quote a token
        raise UsageError(f"{path}: not YAML", hint=_HINT) from None
    if document is not None and not isinstance(document, Mapping):
        raise UsageError(f"{path}: must be a mapping", hint=_HINT)
    return document or {}


def _named(document: Mapping[str, Any], key: str, name: str) -> dict[str, Mapping[str, Any]]:
    items = document.get(key)
    return {
        item[name]: item
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, Mapping) and isinstance(item.get(name), str)
    }


def _login(path: Path, entry: Mapping[str, Any], user: Mapping[str, Any]) -> Login | None:
    if not entry:
        return None
    scheme = "http" if entry.get("plain-text") is True else "https"
    root = entry.get("grpc-web-root-path")
    below = f"/{root.strip('/')}" if isinstance(root, str) and root.strip("/") else ""
    try:
        server = server_url(f"{scheme}://{entry['server']}{below}")
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=_HINT) from None
    token = user.get("auth-token")
    return Login(server, token.strip() if isinstance(token, str) else "", entry.get("insecure") is True)


def _address(server: str) -> tuple[str, int]:
    # A bare `HOST:80` is https for us and may be plain text for the CLI: the same server all the same.
    parts = urlsplit(server)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
