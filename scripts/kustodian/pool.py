"""Runs one function over many things at once, ending everything at Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from kustodian import process
from kustodian.errors import Interrupted

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers() -> int:
    """One per processor that this process may use: what is waited for are programs that compute."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
    """`(position, function(item))` for each item, in the order in which they finish.

    Threads, because the work is done by programs. An exception of `function` passes through and ends what is running,
    for good (`process.stop_all`); so does KeyboardInterrupt, as `Interrupted`.
    """
    pool = ThreadPoolExecutor(max_workers=workers())
    try:
        if len(items) == 1:
            yield 0, function(items[0])
            return
        positions = {pool.submit(function, item): position for position, item in enumerate(items)}
        for future in as_completed(positions):
            position = positions.pop(future)
            yield position, future.result()
    except KeyboardInterrupt:
        process.stop_all()
        raise Interrupted("interrupted") from None
    except Exception:
        process.stop_all()  # or the pool would wait for what the others have running
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
