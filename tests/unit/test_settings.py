from __future__ import annotations

from pathlib import Path

import pytest
from kustodian import settings
from kustodian.errors import RepositoryError, UsageError
from kustodian.settings import Settings

VERSIONS = "choose one of 1.25 … 1.37"
KEYS = (
    "overlays, kubernetesVersion, loadRestrictor, skipKinds, config, demoKeys, ignore, trustRemoteBases, timeout, "
    "argocd, cluster, protected"
)
ARGOCD = "must be a mapping with some of the keys `applications`, `server`, `ca`, `skipTlsVerify`"
CLUSTER = "must be a mapping with some of the keys `encryption`, `auditPolicy`"
ADDRESS = "write HOST, HOST:PORT or https://HOST[:PORT][/PATH]"


def load(folder: Path, text: str | bytes) -> Settings:
    (folder / "kustodian.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings.load(folder)


def test_without_a_file_every_setting_has_its_default(tmp_path: Path) -> None:
    assert settings.load(tmp_path) == Settings(
        overlays=("overlays",),
        kubernetes_version="1.36",
        load_restrictor="rootOnly",
        skip_kinds=frozenset(),
        config_schema="",
        demo_keys=(),
        ignore=(),
        timeout_seconds=120.0,
        argocd_applications="",
        argocd_server="",
        argocd_ca="",
        argocd_skip_tls_verify=False,
        protected=(),
    )
    assert settings.load(tmp_path).declared == frozenset()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}\n"])
def test_an_empty_file_is_no_file(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Settings()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("overlays: clusters", Settings(overlays=("clusters",))),
        ("overlays: clusters/", Settings(overlays=("clusters",))),
        ("overlays: [a/*, 'b c', é]", Settings(overlays=("a/*", "b c", "é"))),
        ('kubernetesVersion: "1.30"', Settings(kubernetes_version="1.30")),
        ("kubernetesVersion: v1.31.2", Settings(kubernetes_version="1.31")),
        ("loadRestrictor: none", Settings(load_restrictor="none")),
        ("loadRestrictor: rootOnly", Settings()),
        ("skipKinds: Foo", Settings(skip_kinds=frozenset({"Foo"}))),
        ("skipKinds: [Foo, a.b/v1/Bar]", Settings(skip_kinds=frozenset({"Foo", "a.b/v1/Bar"}))),
        ("config: {schema: 'schema/{env}.json'}", Settings(config_schema="schema/{env}.json")),
        ("demoKeys: [a.agekey, b.agekey]", Settings(demo_keys=("a.agekey", "b.agekey"))),
        ("ignore: tests/**", Settings(ignore=("tests/**",))),
        ("ignore: []", Settings()),
        ("trustRemoteBases: true", Settings(trust_remote_bases=True)),
        ("timeout: 5", Settings(timeout_seconds=5.0)),
        ("argocd: {applications: argocd/}", Settings(argocd_applications="argocd")),
        ("argocd: {server: cd.example.com}", Settings(argocd_server="https://cd.example.com")),
        (
            "argocd: {server: 'https://cd.example.com:8443/argo/', ca: a/ca.pem, skipTlsVerify: false}",
            Settings(argocd_server="https://cd.example.com:8443/argo", argocd_ca="a/ca.pem"),
        ),
        (
            "argocd: {server: 'http://cd.example.com', skipTlsVerify: true}",
            Settings(argocd_server="http://cd.example.com", argocd_skip_tls_verify=True),
        ),
        ("cluster: {encryption: c/e.yaml}", Settings(cluster_encryption="c/e.yaml")),
        ("cluster: {auditPolicy: c/a.yaml}", Settings(cluster_audit_policy="c/a.yaml")),
        ("protected: production", Settings(protected=("production",))),
        ("protected: [production, staging]", Settings(protected=("production", "staging"))),
        ("timeout: 0.5", Settings(timeout_seconds=0.5)),
        (b"\xef\xbb\xbftimeout: 5\r\noverlays: x\r\n", Settings(timeout_seconds=5.0, overlays=("x",))),
    ],
)
def test_each_key_is_read(tmp_path: Path, text: str | bytes, want: Settings) -> None:
    assert load(tmp_path, text) == want


def test_what_the_file_sets_is_known(tmp_path: Path) -> None:
    assert load(tmp_path, "overlays: overlays\ntimeout: 120").declared == {"overlays", "timeout_seconds"}
    assert load(tmp_path, "argocd: {applications: a, server: b}").declared == {"argocd_applications", "argocd_server"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("overlay: x", "unknown key `overlay`", "did you mean `overlays`?"),
        ("kubernetes-version: x", "unknown key `kubernetes-version`", "did you mean `kubernetesVersion`?"),
        ("zzz: 1", "unknown key `zzz`", f"known keys: {KEYS}"),
        ("7: 1", "unknown key `7`", f"known keys: {KEYS}"),
        ("null: 1", "unknown key `None`", f"known keys: {KEYS}"),
        ("[overlays]", "must be a mapping of settings", ""),
        ("overlays", "must be a mapping of settings", ""),
        ("overlays: 1", "`overlays`: must be a string or a list of strings", ""),
        ("overlays: ['']", "`overlays`: must be a string or a list of strings", ""),
        ("overlays: [a, 1]", "`overlays`: must be a string or a list of strings", ""),
        ("overlays: {a: b}", "`overlays`: must be a string or a list of strings", ""),
        ("overlays: /etc", "`overlays`: '/etc' must be a path inside the repository", ""),
        ("overlays: a/../../b", "`overlays`: 'a/../../b' must be a path inside the repository", ""),
        ("demoKeys: ../key", "`demoKeys`: '../key' must be a path inside the repository", ""),
        ("kubernetesVersion: 1.30", '`kubernetesVersion`: must be in quotes, for example "1.36"', ""),
        (
            'kubernetesVersion: "1.24"',
            "`kubernetesVersion`: no schemas for Kubernetes 1.24",
            VERSIONS,
        ),
        (
            "kubernetesVersion: latest",
            "`kubernetesVersion`: no schemas for Kubernetes latest",
            VERSIONS,
        ),
        ("loadRestrictor: None", "`loadRestrictor`: must be `rootOnly` or `none`", ""),
        ("loadRestrictor: null", "`loadRestrictor`: must be `rootOnly` or `none`", ""),
        ("loadRestrictor: [none]", "`loadRestrictor`: must be `rootOnly` or `none`", ""),
        ("skipKinds: [1]", "`skipKinds`: must be a string or a list of strings", ""),
        ("config: schema.json", "`config`: must be a mapping with the one key `schema`", ""),
        ("config: {schema: a, more: b}", "`config`: must be a mapping with the one key `schema`", ""),
        ("config: {schema: 1}", "`config`: must be a path", ""),
        ("config: {schema: /a.json}", "`config`: '/a.json' must be a path inside the repository", ""),
        ("ignore: {a: b}", "`ignore`: must be a string or a list of strings", ""),
        ("trustRemoteBases: 1", "`trustRemoteBases`: must be true or false", ""),
        ("timeout: 10000000000", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("timeout: 0", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("timeout: -1", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("timeout: true", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("timeout: 2m", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("timeout: .inf", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("timeout: .nan", "`timeout`: must be a number of seconds above zero, and at most a day", ""),
        ("argocd: cd.example.com", f"`argocd`: {ARGOCD}", ""),
        ("argocd: {}", f"`argocd`: {ARGOCD}", ""),
        ("argocd: {serverr: cd.example.com}", f"`argocd`: {ARGOCD}", ""),
        ("argocd: {1: a}", f"`argocd`: {ARGOCD}", ""),
        ("argocd: {applications: 1}", "`argocd`: `applications` must be a path", ""),
        (
            "argocd: {applications: ../a}",
            "`argocd`: `applications` '../a' must be a path inside the repository",
            "",
        ),
        ("argocd: {server: 1}", "`argocd`: `server` must be a server's address", ""),
        ("argocd: {server: ''}", "`argocd`: '' is not a server's address", ADDRESS),
        ("argocd: {server: 'a b'}", "`argocd`: 'a b' is not a server's address", ADDRESS),
        ("argocd: {server: 'a:b'}", "`argocd`: 'a:b' is not a server's address", ADDRESS),
        ("argocd: {server: 'https://u:p@a'}", "`argocd`: a server's address holds no user, `?` or `#`", ADDRESS),
        (
            "argocd: {server: 'http://a'}",
            "`argocd`: `server` with http:// shows the token to everybody on the way; `skipTlsVerify: true` allows it",
            "",
        ),
        ("argocd: {server: a, skipTlsVerify: 'yes'}", "`argocd`: `skipTlsVerify` must be true or false", ""),
        (
            "argocd: {ca: ca.pem}",
            "`argocd`: `ca` and `skipTlsVerify` are for the `server` named beside them; there is none",
            "",
        ),
        (
            "argocd: {skipTlsVerify: true}",
            "`argocd`: `ca` and `skipTlsVerify` are for the `server` named beside them; there is none",
            "",
        ),
        ("cluster: c.yaml", f"`cluster`: {CLUSTER}", ""),
        ("cluster: {}", f"`cluster`: {CLUSTER}", ""),
        ("cluster: {audit: a.yaml}", f"`cluster`: {CLUSTER}", ""),
        ("cluster: {encryption: 1}", "`cluster`: `encryption` must be a path", ""),
        (
            "cluster: {auditPolicy: /etc/audit.yaml}",
            "`cluster`: `auditPolicy` '/etc/audit.yaml' must be a path inside the repository",
            "",
        ),
        ("protected: true", "`protected`: must be a string or a list of strings", ""),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(RepositoryError) as raised:
        load(tmp_path, text)
    assert raised.value.message == f"kustodian.yaml: {message}"
    assert raised.value.hint == hint


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\ta: 1", "? [a]\n: 1", "timeout: !!bool maybe", "!!timestamp x"])
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(RepositoryError) as raised:
        load(tmp_path, text)
    assert raised.value.message.startswith("kustodian.yaml: not YAML: ")
    assert "\n" not in raised.value.message


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError) as raised:
        load(tmp_path, b"\xff\xfe\xfa")
    assert raised.value.message.startswith("kustodian.yaml: can't read it: 'utf-8' codec can't decode byte 0xff")


def test_a_folder_of_that_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "kustodian.yaml").mkdir()
    with pytest.raises(RepositoryError) as raised:
        settings.load(tmp_path)
    assert raised.value.message.startswith("kustodian.yaml: can't read it: [Errno 21] Is a directory")


@pytest.mark.parametrize("minor", range(25, 38))
def test_each_version_with_schemas_is_known(minor: int) -> None:
    for text in (f"1.{minor}", f"v1.{minor}", f"1.{minor}.7", f" v1.{minor}.7 "):
        assert settings.kubernetes_version(text) == f"1.{minor}"


@pytest.mark.parametrize("text", ["1.24", "1.38", "1", "2.0", "", "1.3", "1.36-rc1", "1.36.1.1", "latest"])
def test_a_version_without_schemas_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings.kubernetes_version(text)
    assert raised.value.message == f"no schemas for Kubernetes {text}"
    assert raised.value.hint == VERSIONS


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("cd.example.com", "https://cd.example.com"),
        ("CD.Example.com:443", "https://cd.example.com"),
        ("cd.example.com:8443", "https://cd.example.com:8443"),
        ("localhost:8080", "https://localhost:8080"),
        ("cd.example.com/argo/", "https://cd.example.com/argo"),
        ("https://cd.example.com:443/", "https://cd.example.com"),
        ("http://cd.example.com:80", "http://cd.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "https://[::1]:8080"),
    ],
)
def test_a_servers_address_may_be_short(text: str, want: str) -> None:
    assert settings.server_url(text) == want


@pytest.mark.parametrize("text", ["", "://", "https://", ":443", "ftp://a", "a:99999", "a\nb", "ä.example.com", "[::1"])
def test_what_is_no_servers_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings.server_url(text)
    assert raised.value.message == f"{text!r} is not a server's address"


@pytest.mark.parametrize("text", ["user@a", "https://user:secret@a", "a?b=c", "a#b"])
def test_a_servers_address_holds_nothing_else(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings.server_url(text)
    assert "secret" not in str(raised.value)


def test_a_password_in_what_is_no_address_is_not_shown() -> None:
    with pytest.raises(UsageError) as raised:
        settings.server_url("ftp://me:s3cret@cd.example.com")
    assert raised.value.message == "'ftp://***@cd.example.com' is not a server's address"
