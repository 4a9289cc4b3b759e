"""Writing files so that nothing is ever half written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from kustodian.errors import OutputError

# There is no way to read the umask without setting it, and it is process-wide: read it before any thread runs.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def write_atomically(path: Path, content: bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Write `content` to `path`, all of it or none of it.

    The content goes to a temporary file beside `path` (and, if `durable`, to the disk) and only then under its name.
    The temporary file's name ends like that of `path`, so that what makes git ignore the one covers the other.
    `mode` are the permission bits; without it an existing file keeps its own, and a new one gets what the umask
    leaves of 0666. A symbolic link is followed: the file that it names is replaced, not the link.
    Raises `OutputError`.
    """
    path = Path(os.path.realpath(path))
    temporary: str | None = None
    try:
        if mode is None:
            mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_UMASK
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".partial-", suffix=f"-{path.name}", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        # mkdir says of a parent that is a file only that it exists.
        reason = f"{path.parent} is no folder" if isinstance(error, FileExistsError) else error.strerror or error
        raise OutputError(
            f"can't write {path}: {reason}",
            hint="nothing was written; make the folder writable, free some space, or choose another --output",
        ) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
