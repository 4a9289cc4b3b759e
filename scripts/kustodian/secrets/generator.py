"""The secrets generator that kustomize starts: reads a ksops document, prints the resources.

Started by `plugin/viaduct.ai/v1/ksops/ksops` in an isolated interpreter, so it imports little. As a KRM function
(https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md) it gets a
ResourceList on standard input; as a legacy exec plugin a file's path as its argument. kustomize runs it in the folder
of the Kustomization. Exit code 0, or 1 with lines on standard error that start with `MARK` and are safe to show.
"""

from __future__ import annotations

import os
import sys

MARK = "kustodian-secrets: "
"""Starts every line that this program writes to standard error. Nothing else on it is shown for a revealed render."""


def main() -> int:
    sys.path.extend(os.environ["KUSTODIAN_PATH"].split(os.pathsep))
    from kustodian.errors import KustodianError

    try:
        return _generate()
    except KustodianError as error:
        for line in str(error).splitlines():
            print(f"{MARK}{line}", file=sys.stderr)
    except Exception as error:
        # The text of an unforeseen exception may quote a plain value; its type can't.
        print(f"{MARK}unexpected {type(error).__name__} in the secrets generator", file=sys.stderr)
    return 1


def _generate() -> int:
    from pathlib import Path

    import yaml

    from kustodian.secrets import ksops

    legacy = len(sys.argv) > 1
    text = Path(sys.argv[1]).read_bytes() if legacy else sys.stdin.buffer.read()
    given = ksops.load(text)
    # Messages name files as the person at the repository's root knows them.
    root = os.environ["KUSTODIAN_ROOT"]
    document = ksops.seen_from(
        ksops.parse(given if legacy else given.get("functionConfig") or {}), os.path.relpath(Path.cwd(), root)
    )
    os.chdir(root)
    decrypt = None
    if os.environ.get("KUSTODIAN_SECRETS") == "revealed":
        from kustodian.secrets import sops

        program = Path(os.environ["KUSTODIAN_SOPS"])

        def decrypt(path: str) -> bytes:
            return sops.decrypt(program, Path(path), env=os.environ, new_group=False)

    nodes = ksops.generate(document, Path(), decrypt=decrypt)
    if legacy:
        yaml.serialize_all(nodes, stream=sys.stdout, Dumper=yaml.CSafeDumper, allow_unicode=True)
    else:
        _print_resource_list(nodes)
    return 0


def _print_resource_list(nodes: list) -> None:  # type: ignore[type-arg]
    import io

    import yaml

    dumper = yaml.SafeDumper(io.StringIO(), sort_keys=False)
    resource_list = dumper.represent_data(
        {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": []}
    )
    resource_list.value[-1][1].value = nodes
    resource_list.value[-1][1].flow_style = False
    yaml.serialize(resource_list, stream=sys.stdout, Dumper=yaml.CSafeDumper, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(main())
