"""The tasks over encrypted files: encrypt, decrypt, edit."""

from __future__ import annotations

import sys

from invoke import Context

from kustodian.errors import ExitCode
from kustodian.tasks.shared import command, path_of, repository_of, task, tool


@task(help={"file": "The file to encrypt, by the rules of .sops.yaml."})
@command
def encrypt(c: Context, file: str) -> ExitCode:
    """Encrypt a file in place by the repository's rules; an encrypted one is left as it is."""
    from kustodian.console import say
    from kustodian.secrets import sops

    repository = repository_of(c)
    changed = sops.encrypt(
        tool("sops"), path_of(file), root=repository.root, env=sops.environment(repository.demo_keys)
    )
    say(f"{file}: encrypted" if changed else f"{file}: is encrypted already; nothing was changed")
    return ExitCode.CLEAN


@task(help={"file": "The encrypted file."})
@command
def decrypt(c: Context, file: str) -> ExitCode:
    """Print the plain content of an encrypted file to standard output; never to a file."""
    from kustodian.secrets import sops

    plain = sops.decrypt(tool("sops"), path_of(file), env=sops.environment(repository_of(c).demo_keys))
    sys.stdout.buffer.write(plain)
    return ExitCode.CLEAN


@task(help={"file": "The encrypted file."})
@command
def edit(c: Context, file: str) -> ExitCode:
    """Open an encrypted file in $EDITOR and encrypt it again in place; unchanged values keep their ciphertext."""
    from kustodian.console import say
    from kustodian.secrets import sops

    changed = sops.edit(tool("sops"), path_of(file), env=sops.environment(repository_of(c).demo_keys))
    say(f"{file}: encrypted again" if changed else f"{file}: nothing was changed")
    return ExitCode.CLEAN
