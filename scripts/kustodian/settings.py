"""What a repository says about itself in its optional `kustodian.yaml`.

Every key has a default, so that a repository without the file works; an unknown key is an error, because a setting
that is misspelt and silently ignored is worse than none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kustodian.errors import RepositoryError, UsageError

FILE = "kustodian.yaml"
KUBERNETES_VERSIONS = tuple(f"1.{minor}" for minor in range(25, 38))
"""Those whose JSON schemas the package kubernetes-validate carries."""


@dataclass(frozen=True)
class Settings:
    """The content of `kustodian.yaml`; field names are the file's keys in snake case. Paths are repository-relative."""

    overlays: tuple[str, ...] = ("overlays",)
    """Folders (or glob patterns of folders) whose Kustomizations are the overlays."""
    kubernetes_version: str = "1.36"
    load_restrictor: str = "rootOnly"
    """`rootOnly` or `none`: kustomize's --load-restrictor."""
    skip_kinds: frozenset[str] = frozenset()
    """Kinds that are not held to a schema: `Kind` or `group/version/Kind`, as kubeconform's -skip takes them."""
    config_schema: str = ""
    """JSON Schema of an environment's configuration, `{env}` standing for the environment's name; empty for none."""
    demo_keys: tuple[str, ...] = ()
    """Files with age identities that are public on purpose."""
    ignore: tuple[str, ...] = ()
    """Glob patterns of files that the checks of the tree leave out (test fixtures)."""
    timeout_seconds: float = 120.0
    """Time limit of one program over one overlay."""
    trust_remote_bases: bool = False
    """Whether a remote folder may stand beside a secrets generator: kustomize then runs whatever plugins it brings."""
    argocd_applications: str = ""
    """Folder of the Kustomization that renders this repository's Applications; empty for none."""
    argocd_server: str = ""
    """Argo CD's base address, `https://HOST[:PORT][/PATH]`; empty where the repository does not name it."""
    argocd_ca: str = ""
    """PEM file with the certificate that signs that server's; empty for the system's."""
    argocd_skip_tls_verify: bool = False
    """Whether that server's certificate is not verified."""
    protected: tuple[str, ...] = ()
    """Environments whose changes go by pull request."""
    cluster_encryption: str = ""
    """The trial cluster's EncryptionConfiguration, whose keys are replaced; empty for a default."""
    cluster_audit_policy: str = ""
    """Its audit policy; empty for a default."""
    declared: frozenset[str] = field(default=frozenset(), compare=False)
    """The fields that the file itself sets."""


_DAY = 86_400


def kubernetes_version(text: str) -> str:
    """`1.36` for `1.36`, `v1.36` or `1.36.2`. Raises `UsageError` for a version without schemas."""
    match = re.fullmatch(r"v?(\d+\.\d+)(\.\d+)?", text.strip())
    version = match[1] if match else text
    if version not in KUBERNETES_VERSIONS:
        raise UsageError(
            f"no schemas for Kubernetes {text}",
            hint=f"choose one of {KUBERNETES_VERSIONS[0]} … {KUBERNETES_VERSIONS[-1]}",
        )
    return version


def server_url(text: str) -> str:
    """Argo CD's base address for what a person writes: `HOST[:PORT]` is taken for https. Raises `UsageError`."""
    from urllib.parse import urlsplit

    wrong = UsageError(
        f"{re.sub('//.*@', '//***@', text)!r} is not a server's address",
        hint="write HOST, HOST:PORT or https://HOST[:PORT][/PATH]",
    )
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("https", "http") or not host or not re.fullmatch(r"[!-~]+", text):
        raise wrong
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("a server's address holds no user, `?` or `#`", hint=wrong.hint)
    name = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{name}{f':{port}' if port not in (None, default) else ''}{parts.path.rstrip('/')}"


def load(root: Path) -> Settings:
    """The settings of the repository at `root`. Raises `RepositoryError` naming the file and the key."""
    path = root / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise RepositoryError(f"{FILE}: can't read it: {error}") from None

    import yaml

    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise RepositoryError(f"{FILE}: not YAML: {_one_line(error)}") from None
    except (ValueError, KeyError, AttributeError):  # how PyYAML takes `!!bool maybe` and `!!timestamp x`
        raise RepositoryError(f"{FILE}: not YAML: a value does not fit its tag") from None
    return parse(document if document is not None else {})


def parse(document: object) -> Settings:
    """Settings from the parsed document. Raises `RepositoryError`."""
    if not isinstance(document, dict):
        raise RepositoryError(f"{FILE}: must be a mapping of settings")
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            known = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(_KEYS)}"
            raise RepositoryError(f"{FILE}: unknown key `{key}`", hint=known)
        name, convert = _KEYS[key]
        try:
            converted = convert(value)
        except UsageError as error:
            raise RepositoryError(f"{FILE}: `{key}`: {error.message}", hint=error.hint) from None
        except (TypeError, ValueError) as error:
            raise RepositoryError(f"{FILE}: `{key}`: {error}") from None
        values |= {name: converted} if name else converted
    return Settings(**values, declared=frozenset(values))


def _strings(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item for item in items):
        raise ValueError("must be a string or a list of strings")
    return tuple(items)


def _paths(value: object) -> tuple[str, ...]:
    return tuple(_path(item) for item in _strings(value))


def _path(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path")
    if Path(value).is_absolute() or ".." in Path(value).parts:
        raise ValueError(f"{value!r} must be a path inside the repository")
    return value.rstrip("/")


def _version(value: object) -> str:
    # 1.30 without quotes is the number 1.3 in YAML; say so instead of checking against another version.
    if not isinstance(value, str):
        raise ValueError('must be in quotes, for example "1.36"')
    return kubernetes_version(value)


def _restrictor(value: object) -> str:
    if value not in ("rootOnly", "none"):
        raise ValueError("must be `rootOnly` or `none`")
    return str(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _DAY:
        raise ValueError("must be a number of seconds above zero, and at most a day")
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _config(value: object) -> str:
    if not isinstance(value, Mapping) or set(value) != {"schema"}:
        raise ValueError("must be a mapping with the one key `schema`")
    return _path(value["schema"])


def _mapping(value: object, keys: Mapping[str, tuple[str, Callable[[object], Any]]]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value or not set(value) <= set(keys):
        raise ValueError(f"must be a mapping with some of the keys {', '.join(f'`{key}`' for key in keys)}")
    values: dict[str, Any] = {}
    for key, item in value.items():
        name, convert = keys[key]
        try:
            values[name] = convert(item)
        except ValueError as error:
            raise ValueError(f"`{key}` {error}") from None
    return values


def _argocd(value: object) -> dict[str, Any]:
    values = _mapping(value, _ARGOCD)
    if "argocd_server" not in values and set(values) & {"argocd_ca", "argocd_skip_tls_verify"}:
        raise ValueError("`ca` and `skipTlsVerify` are for the `server` named beside them; there is none")
    if values.get("argocd_server", "").startswith("http://") and not values.get("argocd_skip_tls_verify"):
        raise ValueError(
            "`server` with http:// shows the token to everybody on the way; `skipTlsVerify: true` allows it"
        )
    return values


def _server(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a server's address")
    return server_url(value)


_ARGOCD: dict[str, tuple[str, Callable[[object], Any]]] = {
    "applications": ("argocd_applications", _path),
    "server": ("argocd_server", _server),
    "ca": ("argocd_ca", _path),
    "skipTlsVerify": ("argocd_skip_tls_verify", _boolean),
}
_CLUSTER: dict[str, tuple[str, Callable[[object], Any]]] = {
    "encryption": ("cluster_encryption", _path),
    "auditPolicy": ("cluster_audit_policy", _path),
}
"""The keys in `argocd` and in `cluster`: the field's name and what reads the value."""
_KEYS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "overlays": ("overlays", _paths),
    "kubernetesVersion": ("kubernetes_version", _version),
    "loadRestrictor": ("load_restrictor", _restrictor),
    "skipKinds": ("skip_kinds", lambda value: frozenset(_strings(value))),
    "config": ("config_schema", _config),
    "demoKeys": ("demo_keys", _paths),
    "ignore": ("ignore", _strings),
    "trustRemoteBases": ("trust_remote_bases", _boolean),
    "timeout": ("timeout_seconds", _seconds),
    "argocd": ("", _argocd),
    "cluster": ("", lambda value: _mapping(value, _CLUSTER)),
    "protected": ("protected", _strings),
}
"""The file's keys: the field's name (empty where the value has several, by name) and what reads the value."""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
