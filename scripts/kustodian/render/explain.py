"""Says why kustomize refused an overlay, in terms of the files at fault.

kustomize nests its messages by folder ("accumulating resources from …: recursed accumulation of path …"). What is
missing or does not parse is found by reading the same files; for the rest its innermost message is kept.
"""

from __future__ import annotations

import re

from kustodian import locate
from kustodian.kustomization import file_of
from kustodian.repository import Overlay, Repository

_HINTS = (
    (r"already registered id", "two files make the same resource: remove one, or turn it into a patch"),
    (r"expected kind (!=|to be different from) 'Component'", "list it under `components:`, not under `resources:`"),
    (r"expected kind 'Component'", "list it under `resources:`, not under `components:`"),
    (r"is not in or below", "keep the file below the Kustomization, or set `loadRestrictor: none` in kustodian.yaml"),
    (r"no matches for Id|failed to find unique target", "the patch's target must name a resource that is rendered"),
    (r"must specify --enable-helm", "Helm charts inside a Kustomization are not rendered; render the chart beside it"),
    (r"git fetch|git clone|could not resolve|dial tcp|context deadline", "the remote base can't be reached"),
    (r"unknown field", "check the spelling of the field in the kustomization"),
)


def explain(repository: Repository, overlay: Overlay, stderr: str, *, command: str = "") -> tuple[str, str]:
    """The message and the hint (which may be empty) for a failed `kustomize build`.

    `command` pastes into a shell; it is the hint where nothing better is known.
    """
    tree = repository.tree
    file = file_of(overlay.directory)
    if file is None:
        return f"{overlay.path} has no kustomization.yaml", "add one, or remove the folder"
    problems = tree.closure(overlay.directory, parse_resources=True).problems
    if problems:
        return f"{overlay.path}: " + "; ".join(problems), ""
    message = _innermost(stderr).replace(f"{repository.root}/", "")
    if duplicate := re.search(r"already registered id: ([A-Za-z]+)\S*?/(\S+?)(?:\.|')", stderr):
        places = locate.declarations(tree.closure(overlay.directory), duplicate[1], duplicate[2])
        message += "; declared in " + " and ".join(f"{tree.name(path)}:{line}" for path, line in places)
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, stderr)), command)
    return f"{overlay.path}: {message}", hint


def _innermost(stderr: str) -> str:
    text = " ".join(line for line in stderr.splitlines() if not line.startswith("#")).removeprefix("Error: ")
    text = re.sub(r"^.*recursed (?:merging|accumulation) (?:from|of) path '[^']*': ", "", text)
    text = re.sub(r"^accumulating (?:resources|components): (?:accumulation err=')?", "", text)
    return text.strip() or "kustomize failed without a message"
