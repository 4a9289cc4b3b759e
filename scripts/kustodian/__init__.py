"""kustodian: render, seal, check and deliver a Kustomize GitOps repository."""

__version__ = "0.1.0"
