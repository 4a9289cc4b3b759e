"""The program `kustodian`: the Invoke tasks for any repository (`kustodian --repo DIR build --all`)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from invoke import Argument, Exit, Program
from invoke.exceptions import ParseError

from kustodian import __version__
from kustodian.errors import PROGRAM, ExitCode
from kustodian.tasks import collection


class Kustodian(Program):
    """Invoke's program with `--repo`, and with exit code 2 for a command line that it can't read."""

    def core_args(self) -> list[Argument]:
        repo = Argument(names=("repo",), help="Root of the repository (default: found around the working folder).")
        return [*super().core_args(), repo]

    def parse_core(self, argv: list[str] | None) -> None:
        with _usage():
            super().parse_core(argv)

    def parse_collection(self) -> None:
        super().parse_collection()
        if repo := self.args.repo.value:
            self.collection.configure({"kustodian": {"repo": repo}})

    def parse_tasks(self) -> None:
        with _usage():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        with _usage():
            super().parse_cleanup()


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        raise Exit(f"error: {error}", code=int(ExitCode.ERROR)) from None


def main() -> None:
    """Entry point of the console script."""
    os.environ[PROGRAM] = "kustodian"
    try:
        Kustodian(name="kustodian", binary="kustodian", namespace=collection(), version=__version__).run()
    except KeyboardInterrupt:  # before a task has begun
        sys.exit(int(ExitCode.ERROR))


if __name__ == "__main__":
    main()
