from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.argocd import connection
from kustodian.argocd.connection import Connection
from kustodian.cluster import state
from kustodian.errors import TokenRefused, UsageError
from kustodian.repository import Repository

from ..kit import write

SECRET = "eyJ-the-token-itself"
CONFIG = f"""\
contexts:
- {{name: main, server: cd.example.com, user: main}}
- {{name: other, server: "other.example.com:8443", user: other}}
- {{name: forwarded, server: "localhost:8080", user: forwarded}}
- {{name: core, server: kubernetes, user: core}}
current-context: main
prompts-enabled: false
servers:
- {{server: cd.example.com, grpc-web-root-path: ""}}
- {{server: "other.example.com:8443", insecure: true, grpc-web-root-path: /argo/}}
- {{server: "localhost:8080", plain-text: true}}
- {{server: kubernetes, core: true}}
users:
- {{name: main, auth-token: {SECRET}-main, refresh-token: {SECRET}-refresh}}
- {{name: other, auth-token: {SECRET}-other}}
- {{name: forwarded, auth-token: {SECRET}-forwarded}}
- {{name: core}}
"""


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ARGOCD_SERVER", "ARGOCD_AUTH_TOKEN", "ARGOCD_CA", "ARGOCD_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Connection]:
    def run(settings: str = "{}") -> Connection:
        root = write(tmp_path / "repo", {"kustodian.yaml": settings, "ca.pem": ""})
        return connection.find(Repository.open(root))

    return run


@pytest.fixture
def logged_in(tmp_path: Path) -> Path:
    return configure(tmp_path / "home/.config/argocd")


def configure(folder: Path, text: str = CONFIG) -> Path:
    write(folder, {"config": text})
    (folder / "config").chmod(0o600)
    return folder / "config"


def token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


Find = Callable[..., Connection]


def test_where_nobody_names_a_server_the_ways_to_do_it_are_said(find: Find) -> None:
    with pytest.raises(UsageError) as raised:
        find()
    assert raised.value.message == "nobody says where Argo CD is"
    for way in ("ARGOCD_SERVER and ARGOCD_AUTH_TOKEN", "argocd login", "argocd.server", "cluster up"):
        assert way in raised.value.hint


def test_the_environment_names_both(find: Find, monkeypatch: pytest.MonkeyPatch, logged_in: Path) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "ci.example.com:443")
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", f" {SECRET}\n")
    found = find("argocd: {server: cd.example.com, ca: ca.pem, skipTlsVerify: true}")
    assert found == Connection("https://ci.example.com", SECRET, None, True, "the environment")


def test_in_the_environment_the_file_of_the_cli_is_not_even_read(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGOCD_CONFIG_DIR", "/dev/null")
    monkeypatch.setenv("ARGOCD_SERVER", "ci.example.com")
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", SECRET)
    assert find().server == "https://ci.example.com"


def test_the_repository_names_the_server_and_the_cli_holds_its_token(find: Find, logged_in: Path) -> None:
    found = find("argocd: {server: 'other.example.com:8443', ca: ca.pem}")
    assert (found.server, found.token) == ("https://other.example.com:8443", f"{SECRET}-other")
    assert found.origin == "kustodian.yaml"
    assert found.ca is not None
    assert found.ca.name == "ca.pem"
    assert not found.verify  # its login was --insecure


def test_the_repository_names_the_server_and_the_environment_its_token(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", SECRET)
    found = find("argocd: {server: cd.example.com}")
    assert found == Connection("https://cd.example.com", SECRET, None, True, "kustodian.yaml")


def test_no_verification_is_for_the_named_server_only(
    find: Find, monkeypatch: pytest.MonkeyPatch, logged_in: Path
) -> None:
    settings = "argocd: {server: cd.example.com, skipTlsVerify: true}"
    assert not find(settings).verify
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("ARGOCD_SERVER", "cd.example.com")
    assert not find(settings).verify
    monkeypatch.setenv("ARGOCD_SERVER", "evil.example.com")
    assert find(settings).verify


def test_a_token_is_offered_only_to_its_server(find: Find, logged_in: Path) -> None:
    with pytest.raises(UsageError) as raised:
        find("argocd: {server: evil.example.com}")
    assert raised.value.message == "no token for Argo CD at https://evil.example.com, which kustodian.yaml names"
    assert (
        raised.value.hint == "log in with `argocd login evil.example.com --sso`, or set ARGOCD_AUTH_TOKEN"
    )  # and not the token of another
    assert SECRET not in str(raised.value)


def test_the_cli_names_both(find: Find, logged_in: Path) -> None:
    found = find()
    assert found == Connection("https://cd.example.com", f"{SECRET}-main", None, True, "argocd's configuration file")


def test_the_current_context_counts(find: Find, logged_in: Path) -> None:
    configure(logged_in.parent, CONFIG.replace("current-context: main", "current-context: other"))
    found = find()
    assert (found.server, found.verify) == ("https://other.example.com:8443/argo", False)


def test_a_bare_name_in_the_environment_is_spoken_to_as_the_cli_does(
    find: Find, monkeypatch: pytest.MonkeyPatch, logged_in: Path
) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "localhost:8080")
    found = find()
    assert (found.server, found.token, found.origin) == (
        "http://localhost:8080",
        f"{SECRET}-forwarded",
        "the environment",
    )
    monkeypatch.setenv("ARGOCD_SERVER", "https://localhost:8080")
    assert find().server == "https://localhost:8080"


def test_a_repository_that_wants_tls_is_not_talked_out_of_it(find: Find, logged_in: Path) -> None:
    assert find("argocd: {server: 'localhost:8080'}").server == "https://localhost:8080"


def test_the_certificate_of_the_environment_counts_before_the_repositorys(
    find: Find, monkeypatch: pytest.MonkeyPatch, logged_in: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.pem"
    mine.write_text("")
    monkeypatch.setenv("ARGOCD_CA", str(mine))
    assert find("argocd: {server: cd.example.com, ca: ca.pem}").ca == mine
    mine.unlink()
    with pytest.raises(UsageError, match="ARGOCD_CA: there is no file"):
        find()


def test_a_certificate_that_is_not_there_is_named(find: Find, logged_in: Path) -> None:
    with pytest.raises(UsageError, match=r"kustodian.yaml: `argocd`: `ca`: there is no file .*/none.pem"):
        find("argocd: {server: cd.example.com, ca: none.pem}")


def test_an_address_that_is_none_is_refused_by_the_variables_name(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "ftp://cd.example.com")
    with pytest.raises(UsageError, match="ARGOCD_SERVER: 'ftp://cd\\.example\\.com' is not a server's address"):
        find()


# The trial cluster


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> state.State:
    up = state.State(
        folder=tmp_path,
        supervisor=1,
        kubeconfig=tmp_path / "kubeconfig",
        server="https://127.0.0.1:4443",
        ca=tmp_path / "ca.pem",
        repository_url="file:///r.git",
        branch="main",
        token=SECRET,
    )
    monkeypatch.setattr(state, "read", lambda _root: up)
    return up


def test_a_trial_cluster_that_is_up_counts_before_the_repositorys_server_and_has_its_own_token(
    find: Find, trial: state.State, monkeypatch: pytest.MonkeyPatch, logged_in: Path
) -> None:
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", "of-another-server")
    found = find("argocd: {server: cd.example.com}")
    assert found == Connection("https://127.0.0.1:4443", SECRET, trial.ca, True, "trial cluster")
    assert "cluster up" in found.login


def test_a_server_in_the_environment_counts_before_a_trial_cluster(
    find: Find, trial: state.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "ci.example.com")
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", "t")
    assert find().server == "https://ci.example.com"


# Tokens


def test_a_token_that_argo_cd_let_expire_is_told_before_anything_is_asked(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "cd.example.com")
    expired = token(iss="argocd", exp=1_700_000_000)
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", expired)
    with pytest.raises(TokenRefused) as raised:
        find()
    assert raised.value.message == "the token for https://cd.example.com expired at 2023-11-14 22:13:20 UTC"
    assert "argocd login cd.example.com" in raised.value.hint
    assert expired not in str(raised.value)


@pytest.mark.parametrize(
    "good",
    [
        token(iss="argocd", exp=4_000_000_000),  # in 2096
        token(iss="argocd"),
        token(iss="https://sso.example.com", exp=1),  # the server may renew it
        token(iss="argocd", exp="soon"),
        token(iss="argocd", exp=float("nan")),
        token(iss="argocd", exp=1e300),
        "opaque",
        "a.b.c",
        "a.W10.c",
        "..",
    ],
)
def test_of_any_other_token_the_server_decides(find: Find, monkeypatch: pytest.MonkeyPatch, good: str) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "cd.example.com")
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", good)
    assert find().token == good


def test_what_can_be_no_token_is_refused_and_not_shown(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGOCD_SERVER", "cd.example.com")
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", f"{SECRET}\nX-Header: b")
    with pytest.raises(UsageError) as raised:
        find()
    assert raised.value.message == "the token for https://cd.example.com has characters that no token has"


def test_no_token_is_in_a_printed_connection(find: Find, logged_in: Path) -> None:
    assert SECRET not in repr(find())


# The CLI's file


def test_the_file_lies_where_the_cli_has_it(find: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def where(name: str) -> str:
        return CONFIG.replace("cd.example.com", f"{name}.example.com")

    configure(tmp_path / "home/.config/argocd", where("config"))
    assert find().server == "https://config.example.com"
    configure(tmp_path / "xdg/argocd", where("xdg"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert find().server == "https://xdg.example.com"
    configure(tmp_path / "home/.argocd", where("legacy"))
    assert find().server == "https://legacy.example.com"
    configure(tmp_path / "own", where("own"))
    monkeypatch.setenv("ARGOCD_CONFIG_DIR", str(tmp_path / "own"))
    assert find().server == "https://own.example.com"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"users: [{{auth-token: {SECRET}", "not YAML"),
        (f"- {SECRET}", "must be a mapping"),
        ("current-context: nowhere", "there is no context 'nowhere', its `current-context`"),
        (
            CONFIG.replace("current-context: main", "current-context: core"),
            "its current context speaks to Kubernetes (`--core`), not to a server",
        ),
        (CONFIG.replace("cd.example.com", "'a b'"), "'https://a b' is not a server's address"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_and_not_quoted(
    find: Find, tmp_path: Path, text: str, message: str
) -> None:
    path = configure(tmp_path / "home/.config/argocd", text)
    with pytest.raises(UsageError) as raised:
        find()
    assert raised.value.message == f"{path}: {message}"
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{}", "contexts: 1", "contexts: [1, {name: 2}]\nservers: {a: b}", "users: null"])
def test_a_file_without_a_login_is_no_login(find: Find, tmp_path: Path, text: str) -> None:
    configure(tmp_path / "home/.config/argocd", text)
    with pytest.raises(UsageError, match="nobody says where Argo CD is"):
        find()


def test_a_file_that_others_may_read_is_refused_as_the_cli_does(find: Find, logged_in: Path) -> None:
    logged_in.chmod(0o644)
    with pytest.raises(UsageError) as raised:
        find()
    assert (raised.value.message, raised.value.hint) == (
        f"{logged_in}: others may read it",
        f"chmod 600 {logged_in}",
    )


def test_a_file_that_can_not_be_read_is_named(find: Find, tmp_path: Path) -> None:
    folder = tmp_path / "home/.config/argocd/config"
    folder.mkdir(parents=True, mode=0o700)
    with pytest.raises(UsageError, match="can't read it: Is a directory"):
        find()
