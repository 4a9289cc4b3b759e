"""Measures kustodian against the plain programs and prints a table; see docs/benchmarks.md.

    uv run python benchmarks/run.py             # all of them
    uv run python benchmarks/run.py one many    # some
    uv run python benchmarks/run.py --list

Nothing passes or fails here: the exit code is 0 whatever the figures are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from cases import CASES
from machine import describe
from measure import Row
from table import render


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(CASES)} (default: all)")
    parser.add_argument("--list", action="store_true", help="say what each of them measures")
    parser.add_argument("--work", type=Path, help="folder for what is generated (default: a temporary one)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if options.list:
        for name, case in CASES.items():
            print(f"{name:10} {(case.__doc__ or '').splitlines()[0]}")
        return
    print(describe(), end="\n\n", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kustodian-benchmarks-", dir=options.work) as work:
        for name in options.names or CASES:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            folder = Path(work) / name
            folder.mkdir()
            try:
                found = CASES[name].rows(folder)
            except RuntimeError as error:
                print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)
                continue
            rows += found
            print(render(found), end="\n\n", file=sys.stderr, flush=True)
    print(render(rows))


if __name__ == "__main__":
    main()
