"""Runs `kustodian` and leaves the peak memory of this Python process, in bytes, in a file: `own_peak.py FILE ARG …`

`ru_maxrss` would also count the programs that are started; Linux' VmHWM is of this process alone.
"""

from __future__ import annotations

import atexit
import re
import sys
from pathlib import Path

from kustodian.__main__ import main


def _leave(file: Path) -> None:
    status = Path("/proc/self/status").read_text("utf-8")
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert match
    file.write_text(str(int(match[1]) * 1024), "utf-8")


if __name__ == "__main__":
    atexit.register(_leave, Path(sys.argv.pop(1)))
    main()
