"""What a trial cluster is made of: its programs, with their arguments, ports and files. Starts nothing.

The flags are those of the programs' own references: https://etcd.io/docs/v3.6/op-guide/configuration/,
https://kubernetes.io/docs/reference/command-line-tools-reference/, https://kwok.sigs.k8s.io/docs/user/configuration/,
https://argo-cd.readthedocs.io/en/stable/operator-manual/server-commands/. Everything listens on 127.0.0.1.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kustodian.cluster.certificates import Certificates, Pair

ARGOCD_NAMESPACE = "argocd"
ACCOUNT = "kustodian"
"""The account at Argo CD whose token the tasks use."""

_PORTS = (
    *("etcd", "etcd-peer", "apiserver", "controller-manager", "scheduler", "kwok", "redis"),
    *("repo-server", "repo-server-metrics", "controller-metrics", "server", "server-metrics"),
    *("applicationset-metrics", "applicationset-probe", "applicationset-webhook"),
)


@dataclass(frozen=True)
class Program:
    """A server of the cluster. `health` is the address that answers 200 once it works; empty for none."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    health: str = ""


@dataclass(frozen=True)
class Plan:
    folder: Path
    programs: Mapping[str, Path]
    """The pinned programs by name, `redis-server` among them."""
    certificates: Certificates
    ports: Mapping[str, int]
    kubeconfig: Path
    encryption: Path
    """The API server's encryption configuration."""
    audit_policy: Path
    rendering: Mapping[str, str]
    """The variables with which Argo CD renders: those that make kustomize start our generator, and the keys."""
    redis_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def api(self) -> str:
        return f"https://127.0.0.1:{self.ports['apiserver']}"

    @property
    def argocd(self) -> str:
        return f"https://127.0.0.1:{self.ports['server']}"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    def store(self) -> Program:
        """etcd; without fsync, since nothing here outlives the machine."""
        return Program(
            "etcd",
            (
                *(str(self.programs["etcd"]), "--name=trial", f"--data-dir={self.folder / 'etcd'}"),
                f"--listen-client-urls={self._address('etcd')}",
                f"--advertise-client-urls={self._address('etcd')}",
                f"--listen-peer-urls={self._address('etcd-peer', 'http')}",
                f"--initial-advertise-peer-urls={self._address('etcd-peer', 'http')}",
                f"--initial-cluster=trial={self._address('etcd-peer', 'http')}",
                *("--client-cert-auth", f"--trusted-ca-file={self.certificates.authority}"),
                *_pair("--cert-file", "--key-file", self.certificates.server),
                *("--unsafe-no-fsync", "--log-level=warn"),
            ),
            health=f"{self._address('etcd')}/health",
        )

    def api_server(self) -> Program:
        return Program(
            "kube-apiserver",
            (
                str(self.programs["kube-apiserver"]),
                *(f"--etcd-servers={self._address('etcd')}", f"--etcd-cafile={self.certificates.authority}"),
                *_pair("--etcd-certfile", "--etcd-keyfile", self.certificates.admin),
                *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"),
                f"--secure-port={self.ports['apiserver']}",
                *_pair("--tls-cert-file", "--tls-private-key-file", self.certificates.server),
                f"--client-ca-file={self.certificates.authority}",
                "--authorization-mode=Node,RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self.certificates.tokens.key}",
                f"--service-account-signing-key-file={self.certificates.tokens.key}",
                *(f"--encryption-provider-config={self.encryption}", f"--audit-policy-file={self.audit_policy}"),
                *(f"--audit-log-path={self.audit_log}", "--audit-log-maxsize=0"),
                f"--requestheader-client-ca-file={self.certificates.authority}",
                "--requestheader-allowed-names=aggregator",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                *_pair("--proxy-client-cert-file", "--proxy-client-key-file", self.certificates.proxy),
                # Whether a pod may be privileged is for policies to say, not for a flag.
                *("--allow-privileged=true", "--profiling=false", "--v=0"),
            ),
            health=f"{self.api}/readyz",
        )

    def controllers(self) -> tuple[Program, ...]:
        """What makes objects move: controllers, the scheduler, and kwok in the kubelets' place."""
        kubeconfigs = (
            *(f"--kubeconfig={self.kubeconfig}", f"--authentication-kubeconfig={self.kubeconfig}"),
            f"--authorization-kubeconfig={self.kubeconfig}",
        )
        local = ("--bind-address=127.0.0.1", *_pair("--tls-cert-file", "--tls-private-key-file", self._server))
        return (
            Program(
                "kube-controller-manager",
                (
                    *(str(self.programs["kube-controller-manager"]), *kubeconfigs, *local),
                    *(f"--secure-port={self.ports['controller-manager']}", "--leader-elect=false"),
                    f"--service-account-private-key-file={self.certificates.tokens.key}",
                    f"--root-ca-file={self.certificates.authority}",
                    "--use-service-account-credentials",
                    # Nobody sends a kubelet's heartbeats.
                    "--controllers=*,-node-lifecycle-controller",
                    "--horizontal-pod-autoscaler-sync-period=3s",
                ),
                health=f"{self._address('controller-manager')}/healthz",
            ),
            Program(
                "kube-scheduler",
                (
                    *(str(self.programs["kube-scheduler"]), *kubeconfigs, *local),
                    *(f"--secure-port={self.ports['scheduler']}", "--leader-elect=false"),
                ),
                health=f"{self._address('scheduler')}/healthz",
            ),
            Program(
                "kwok",
                (
                    *(str(self.programs["kwok"]), f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true"),
                    *(f"--config={self.folder / 'kwok.yaml'}", "--node-lease-duration-seconds=0"),
                    *(f"--server-address=127.0.0.1:{self.ports['kwok']}", f"--node-port={self.ports['kwok']}"),
                    *("--node-ip=127.0.0.1", "--cidr=10.244.0.0/16"),
                    *_pair("--tls-cert-file", "--tls-private-key-file", self._server),
                ),
                env=self._home,
                health=f"{self._address('kwok')}/healthz",
            ),
        )

    def delivery(self) -> tuple[Program, ...]:
        """Redis and Argo CD, all but the ApplicationSet controller: that one needs a key that the server writes."""
        redis = ("--redis", f"127.0.0.1:{self.ports['redis']}")
        repo_server = ("--repo-server", f"127.0.0.1:{self.ports['repo-server']}", "--repo-server-plaintext")
        return (
            Program("redis", (str(self.programs["redis-server"]), str(self.redis_configuration))),
            Program(
                "argocd-repo-server",
                (
                    *(
                        str(self.programs["argocd"]),
                        *redis,
                        "--address=127.0.0.1",
                        "--disable-tls",
                        "--client-ca-path=",
                    ),
                    *(f"--port={self.ports['repo-server']}", f"--metrics-port={self.ports['repo-server-metrics']}"),
                    # Its revision cache would hide a new commit for three minutes from all but a refresh.
                    *("--metrics-address=127.0.0.1", "--revision-cache-expiration=5s", "--loglevel=warn"),
                ),
                # Ours first: the folders with kustomize and the generator lead its PATH.
                env={**self._argocd_environment("argocd-repo-server"), **self.rendering, **self._rendering_home},
                health=f"http://127.0.0.1:{self.ports['repo-server-metrics']}/healthz?full=true",
            ),
            Program(
                "argocd-application-controller",
                (
                    *(str(self.programs["argocd"]), *redis, *repo_server, "--loglevel=warn"),
                    *(f"--metrics-port={self.ports['controller-metrics']}", "--persist-resource-health"),
                    # Looks at git all the time, as if it were told by a webhook.
                    *("--app-resync=3", "--app-resync-jitter=0"),
                ),
                # Between waves it would rest for two seconds, for controllers slower than those of one machine.
                env={**self._argocd_environment("argocd-application-controller"), "ARGOCD_SYNC_WAVE_DELAY": "0"},
                health=f"http://127.0.0.1:{self.ports['controller-metrics']}/healthz",
            ),
            Program(
                "argocd-server",
                (
                    *(str(self.programs["argocd"]), *redis, *repo_server, "--address=127.0.0.1"),
                    *(f"--port={self.ports['server']}", f"--metrics-port={self.ports['server-metrics']}"),
                    *("--metrics-address=127.0.0.1", "--loglevel=warn", "--disable-swagger-ui=true"),
                ),
                env=self._argocd_environment("argocd-server"),
                health=f"{self.argocd}/healthz",
            ),
        )

    def application_sets(self) -> Program:
        return Program(
            "argocd-applicationset-controller",
            (
                *(str(self.programs["argocd"]), f"--metrics-addr=127.0.0.1:{self.ports['applicationset-metrics']}"),
                f"--probe-addr=127.0.0.1:{self.ports['applicationset-probe']}",
                f"--webhook-addr=127.0.0.1:{self.ports['applicationset-webhook']}",
                *("--argocd-repo-server", f"127.0.0.1:{self.ports['repo-server']}", "--repo-server-plaintext"),
                *(f"--namespace={ARGOCD_NAMESPACE}", "--loglevel=warn"),
            ),
            env=self._argocd_environment("argocd-applicationset-controller"),
            health=f"http://127.0.0.1:{self.ports['applicationset-metrics']}/metrics",  # its probe answers nothing
        )

    @property
    def redis_configuration(self) -> Path:
        return self.folder / "redis.conf"

    @property
    def home(self) -> Path:
        """The home folder of the programs that want one."""
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def tools(self) -> Path:
        """A folder on the repo-server's PATH, with kustomize and what Argo CD wants to find beside it."""
        return self.folder / "tools"

    @property
    def _server(self) -> Pair:
        return self.certificates.server

    @property
    def _home(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "HOME": str(self.home), "TMPDIR": str(self.temporary)}

    @property
    def _rendering_home(self) -> dict[str, str]:
        path = os.pathsep.join((str(self.tools), self.rendering.get("PATH", "")))
        return {**self._home, "PATH": path, "GIT_CONFIG_NOSYSTEM": "1"}

    def _argocd_environment(self, part: str) -> dict[str, str]:
        data = self.folder / "argocd"
        return {
            **self._home,
            "ARGOCD_BINARY_NAME": part,
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "KUBECONFIG": str(self.kubeconfig),
            "REDIS_PASSWORD": self.redis_password,
            "ARGOCD_TLS_DATA_PATH": str(data / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(data / "ssh"),
            "ARGOCD_GPG_DATA_PATH": str(data / "gpg"),
            "ARGOCD_GNUPGHOME": str(data / "gnupg"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(data / "plugins"),
            "ARGOCD_GPG_ENABLED": "false",
            "HOSTNAME": f"{part}-0",
        }

    def _address(self, port: str, scheme: str = "https") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[port]}"


def free_ports() -> dict[str, int]:
    """A free port for each server. Another program may take one before the server does; then it fails to start."""
    with ExitStack() as stack:
        found = {}
        for name in _PORTS:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found[name] = listener.getsockname()[1]
    return found


def _pair(certificate: str, key: str, pair: Pair) -> tuple[str, str]:
    return f"{certificate}={pair.certificate}", f"{key}={pair.key}"
