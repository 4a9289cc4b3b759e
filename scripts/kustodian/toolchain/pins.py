"""The external programs and their versions: the only place that names either.

`checksum` is the Go checksum database's hash of the module's source. It covers the module's own `go.sum`, and with it
every dependency; a build that reports another one is refused (see `build.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GO_VERSION = "1.27.3"
"""The Go toolchain that builds the programs; the extra `kustodian[go]` brings the same one as a wheel."""


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    """As the Go module is tagged, with the leading `v`."""
    module: str
    package: str
    checksum: str
    version_arguments: tuple[str, ...]
    """What makes the program print its version."""
    packages: int
    """About how many Go packages one build compiles: the length of the progress bar, nothing else."""
    purpose: str
    wrapper: str = ""
    """The folder in `modules/` that it is built in, for a module that can't be installed by its version."""
    flags: tuple[str, ...] = ()
    """For `go install`: what the program's own release build sets."""
    replaced: tuple[tuple[str, str, str], ...] = ()
    """Texts of its source that are replaced for the build: the file, the text, and what stands there instead."""
    beside: tuple[str, ...] = ()
    """Files of its module that it needs at hand (glob patterns): they are kept in the same folder."""


_AGE_MODULE = "filippo.io/age"
_AGE_VERSION = "v1.3.2"
_AGE_CHECKSUM = "h1:r6RSZLFSMm6rzKepZ7ZAYkKCu14f3/Me8c7uKYh7C8c="

PINS: Mapping[str, Pin] = {
    pin.name: pin
    for pin in (
        # The version that the pinned Argo CD ships, so that what is checked here is what is applied there.
        Pin(
            name="kustomize",
            version="v5.8.1",
            module="sigs.k8s.io/kustomize/kustomize/v5",
            package="sigs.k8s.io/kustomize/kustomize/v5",
            checksum="h1:Pgsg5psubpVEy7Nf6S89PARg5VmmWUC1l9dC6Dl4PG0=",
            version_arguments=("version",),
            packages=387,
            purpose="renders overlays",
        ),
        Pin(
            name="kubeconform",
            version="v0.8.0",
            module="github.com/yannh/kubeconform",
            package="github.com/yannh/kubeconform/cmd/kubeconform",
            checksum="h1:loDYd3a3spjIFrauqW67CDKF55Oo9R6uvC8AvpVd4ug=",
            version_arguments=("-v",),
            packages=239,
            purpose="holds resources to their schemas",
        ),
        Pin(
            name="sops",
            version="v3.13.3",
            module="github.com/getsops/sops/v3",
            package="github.com/getsops/sops/v3/cmd/sops",
            checksum="h1:saYczbT88kD1saNChe1cAbFQe5mrRhTIfEw3TaEcmK0=",
            version_arguments=("--version", "--disable-version-check"),
            packages=1042,
            purpose="encrypts, edits and decrypts",
        ),
        Pin(
            name="age",
            version=_AGE_VERSION,
            module=_AGE_MODULE,
            package="filippo.io/age/cmd/age",
            checksum=_AGE_CHECKSUM,
            version_arguments=("--version",),
            packages=199,
            purpose="encrypts files for a recipient",
        ),
        Pin(
            name="age-keygen",
            version=_AGE_VERSION,
            module=_AGE_MODULE,
            package="filippo.io/age/cmd/age-keygen",
            checksum=_AGE_CHECKSUM,
            version_arguments=("--version",),
            packages=144,
            purpose="makes a recipient and its private key",
        ),
    )
}

_KUBERNETES_VERSION = "v1.36.3"
_KUBERNETES_CHECKSUM = "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o="


def _kubernetes(name: str, packages: int, purpose: str) -> Pin:
    return Pin(
        name=name,
        version=_KUBERNETES_VERSION,
        module="k8s.io/kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        checksum=_KUBERNETES_CHECKSUM,
        version_arguments=("--version",),
        packages=packages,
        purpose=purpose,
        wrapper="kubernetes",
        flags=(f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={_KUBERNETES_VERSION}",),
    )


CLUSTER_PINS: Mapping[str, Pin] = {
    pin.name: pin
    for pin in (
        Pin(
            name="etcd",
            version="v3.6.0",
            module="go.etcd.io/etcd/server/v3",
            package="go.etcd.io/etcd/server/v3",
            checksum="h1:YcYxiJzmFCpjzzd7d/XmQE09p60248OzaaOaySRJyt0=",
            version_arguments=("--version",),
            packages=500,
            purpose="keeps the API server's objects",
            wrapper="etcd",
            flags=("-ldflags=-s -w",),
        ),
        _kubernetes("kube-apiserver", 1700, "the API server"),
        _kubernetes("kube-controller-manager", 600, "makes Deployments, Jobs and the like move"),
        _kubernetes("kube-scheduler", 100, "gives pods their nodes"),
        Pin(
            name="kwok",
            version="v0.7.0",
            module="sigs.k8s.io/kwok",
            package="sigs.k8s.io/kwok/cmd/kwok",
            checksum="h1:+eGsNOIPapjsSzeZlOEcwbpyEVa2Vqlcafa0qIjaKV4=",
            version_arguments=("--version",),
            packages=1100,
            purpose="plays the nodes",
            flags=("-ldflags=-s -w",),
        ),
        Pin(
            name="argocd",
            version="v3.6.1",
            module="github.com/argoproj/argo-cd/v3",
            package="github.com/argoproj/argo-cd/v3/cmd",
            checksum="h1:OmhqeKiR3C//awbFrhQqFdtRI+Qiv17j8vqm3UkMj/g=",
            version_arguments=("version", "--client", "--short"),
            packages=2300,
            purpose="syncs what git says: all parts of Argo CD in one program",
            wrapper="argocd",
            flags=("-ldflags=-s -w -X github.com/argoproj/argo-cd/v3/common.version=3.6.1",),
            # The one listener that no option keeps to this machine.
            replaced=(("controller/appcontroller.go", '"0.0.0.0:%d", metricsPort', '"127.0.0.1:%d", metricsPort'),),
            beside=("manifests/crds/*-crd.yaml", "hack/git-verify-wrapper.sh"),
        ),
    )
}
"""The programs of the trial cluster, which are built when one is first wanted."""
