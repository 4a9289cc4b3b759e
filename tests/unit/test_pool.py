from __future__ import annotations

import os
import threading

import pytest
from kustodian import pool
from kustodian.errors import RenderError

from .kit import python


def test_every_item_comes_back_with_its_position() -> None:
    assert sorted(pool.each(lambda item: item * 2, [3, 1, 2])) == [(0, 6), (1, 2), (2, 4)]


@pytest.mark.parametrize("items", [[], [7]])
def test_none_or_one_item_needs_no_pool(items: list[int]) -> None:
    thread = threading.current_thread()
    assert list(pool.each(lambda _item: threading.current_thread() is thread, items)) == [(0, True)] * len(items)


def test_equal_items_are_worked_on_each() -> None:
    assert sorted(pool.each(str, [1, 1, 1])) == [(0, "1"), (1, "1"), (2, "1")]


def test_results_come_in_the_order_in_which_they_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "workers", lambda: 2)
    second_is_out = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_out.wait(10)
        return item

    order = []
    for position, _result in pool.each(work, [0, 1]):
        order.append(position)
        second_is_out.set()
    assert order == [1, 0]


def test_no_more_work_at_once_than_there_are_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "workers", lambda: 3)
    now = most = 0
    lock = threading.Lock()

    def work(_item: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1

    list(pool.each(work, range(12)))
    assert 1 < most <= 3


def test_one_worker_for_each_processor_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3, 5}, raising=False)
    assert pool.workers() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert pool.workers() == 1


@pytest.mark.parametrize("items", [[1], [1, 2, 3]])
def test_an_exception_of_one_item_passes_through(items: list[int]) -> None:
    # In a process of its own: ending what runs is for good.
    done = python(
        """
        import sys
        from kustodian import pool
        from kustodian.errors import RenderError

        def work(item):
            if item == 1:
                raise RenderError("broken")

        try:
            list(pool.each(work, range(1, int(sys.argv[1]) + 1)))
        except RenderError as error:
            print(error)
        """,
        str(len(items)),
    )
    assert (done.stdout, done.stderr) == ("broken\n", "")


def test_an_exception_ends_the_programs_of_the_others() -> None:
    done = python(
        """
        import time
        from kustodian import pool, process

        pool.workers = lambda: 2

        def work(item):
            if item == 0:
                process.run(["sleep", "50"], timeout=50)
            time.sleep(0.3)
            raise ZeroDivisionError

        started = time.monotonic()
        try:
            list(pool.each(work, [0, 1, 2, 3]))
        except ZeroDivisionError:
            print(time.monotonic() - started < 10)
        """
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("count", [1, 5])
def test_ctrl_c_ends_everything_as_interrupted(count: int) -> None:
    done = python(
        """
        import os, signal, sys, threading, time
        from kustodian import pool, process
        from kustodian.errors import Interrupted

        def work(item):
            process.run(["sleep", "50"], timeout=50)

        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        try:
            list(pool.each(work, range(int(sys.argv[1]))))
        except Interrupted as error:
            print(error, time.monotonic() - started < 10, len(process._running))
        """,
        str(count),
    )
    assert (done.stdout, done.stderr) == ("interrupted True 0\n", "")


def test_whoever_stops_listening_cancels_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "workers", lambda: 2)
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        threading.Event().wait(0.02)

    results = pool.each(work, range(100))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 100


def test_errors_that_are_results_stop_nothing() -> None:
    def work(item: int) -> RenderError | int:
        return RenderError("broken") if item == 1 else item

    results = dict(pool.each(work, [0, 1, 2]))
    assert results[0] == 0
    assert isinstance(results[1], RenderError)
    assert results[2] == 2
