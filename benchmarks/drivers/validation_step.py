"""Our validation over renders that are there already: `validate` without rendering. `validation_step.py REPO RENDERS`

It is the library's own `Validator`, with a renderer that reads files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kustodian import toolchain
from kustodian.render import Renderer
from kustodian.repository import Overlay, Repository
from kustodian.validate import Validator


class Rendered(Renderer):
    """Renders were written to the folder that stands in the place of kustomize."""

    def render(self, overlay: Overlay) -> bytes:
        return (self.kustomize / overlay.file_name()).read_bytes()


def main() -> int:
    root, renders, version = sys.argv[1:]
    repository = Repository.open(Path(root))
    kubeconform = toolchain.find("kubeconform").path
    validator = Validator(Rendered(repository, Path(renders)), kubeconform, version, toolchain.cache_folder())
    return validator.validate(repository.overlays, on_done=lambda _checked: None).exit_code


if __name__ == "__main__":
    sys.exit(main())
