"""Ends what is left of a trial cluster when its supervisor has ended, however it ended: `python -m … GROUP FOLDER`.

It waits for the end of its standard input, whose other end only the supervisor holds; so the same few lines clean up
after `cluster down`, after Ctrl-C and after `kill -9`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    group, folder = int(sys.argv[1]), Path(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    for _try in range(50):  # a program that is just dying may still write
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
