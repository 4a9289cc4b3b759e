"""What can go wrong, and the exit code of each outcome.

    KustodianError        could not check or could not do it: exit code 2
    ├── UsageError        what was asked for does not exist or contradicts itself
    ├── RepositoryError   a file of the repository is wrong, so that nothing can be said about the rest
    ├── RenderError       kustomize or the secrets generator refused an overlay
    ├── SecretsError      an encrypted file can't be read, written, sealed or decrypted
    ├── OutputError       a result can't be written where it was asked for
    ├── GitError          the git repository, or its remote, is not in a state that allows what was asked for
    │   └── PushRejected  the remote's branch holds commits that the pushed one does not build on
    ├── ToolError         an external program is missing, of the wrong version, can't be built, or failed
    │   └── ToolTimeout   it did not end within its time limit; it and its children were ended
    ├── ServerError       Argo CD's server refuses, or what it answers makes no sense
    │   ├── Unavailable   nobody answers, or only for now not; the same request may succeed a little later
    │   ├── TokenRefused  the token is expired, revoked or of another server; no request will succeed
    │   ├── NotPermitted  it may not do this, or there is no such Application: a server does not tell which
    │   └── NotFound      there is no such Application
    └── Interrupted       Ctrl-C or SIGTERM; everything that was started has been ended

A broken rule is not an error: it is a `Finding` (exit code 1).
"""

from __future__ import annotations

import os
from enum import IntEnum

PROGRAM = "KUSTODIAN_PROGRAM"
"""Names the program by which the tasks were started; `invoke` where it is not set."""


class ExitCode(IntEnum):
    """What every task returns to the shell."""

    CLEAN = 0
    FINDINGS = 1
    ERROR = 2


def task(line: str) -> str:
    """The command that runs a task, by the program that runs now: `invoke encrypt FILE` or `kustodian encrypt FILE`."""
    return f"{os.environ.get(PROGRAM, 'invoke')} {line}"


class KustodianError(Exception):
    """An outcome that stops the work on one thing.

    `message` says what is wrong and in which file; `hint` says what to do next. Neither ever holds a decrypted
    value: whoever raises one is responsible for that.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


def unexpected(where: str, error: Exception) -> KustodianError:
    """For an exception that nobody foresaw. Its text may quote a decrypted value; its type can't."""
    return KustodianError(f"{where}: unexpected {type(error).__name__}; this is a bug of kustodian")


class UsageError(KustodianError):
    pass


class RepositoryError(KustodianError):
    pass


class RenderError(KustodianError):
    pass


class SecretsError(KustodianError):
    pass


class OutputError(KustodianError):
    pass


class GitError(KustodianError):
    pass


class PushRejected(GitError):
    pass


class ToolError(KustodianError):
    pass


class ToolTimeout(ToolError):
    pass


class ServerError(KustodianError):
    pass


class Unavailable(ServerError):
    pass


class TokenRefused(ServerError):
    pass


class NotPermitted(ServerError):
    pass


class NotFound(ServerError):
    pass


class Interrupted(KustodianError):
    pass
