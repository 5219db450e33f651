"""Stages that work through the same blocks one after the other, on as many cores as there are.

A stage does its blocks in order and one at a time, so it may keep a running hash or a file position; different stages
overlap. The result does not depend on how they do.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable, Sequence

from fabric_fl.aggregation.errors import AggregationError

THREADS = "FABRIC_FL_THREADS"
"""Of the environment: how many cores an organisation's sums may use where several share a machine."""


class Stage:
    """Something to be done for every block, in order.

    Args:
        work: Called with the block's number; releases the interpreter's lock while it computes, or nothing is gained.
        after: Stages that must have done a block first.
    """

    def __init__(self, work: Callable[[int], None], after: Sequence[Stage] = ()) -> None:
        self.work = work
        self.after = tuple(after)
        self.done = 0
        self.limit = 0
        self.busy = False
        self.before: list[Stage] = []
        for stage in self.after:
            stage.before.append(self)

    def restrict(self, count: int, window: int) -> None:
        """Set how many of `count` blocks can be done, as far as the stages around it are now."""
        limit = count
        for stage in self.after:
            limit = min(limit, stage.done)
        for stage in self.before:
            limit = min(limit, stage.done + window)
        self.limit = limit


def cores() -> int:
    """How many cores this process may use: all that it may run on, or the share that `FABRIC_FL_THREADS` says.

    Raises:
        AggregationError: FL-AGGREGATE-THREADS where that is no number of threads.
    """
    available = len(os.sched_getaffinity(0))
    share = os.environ.get(THREADS, str(available))
    if not (share.isascii() and share.isdigit() and int(share) > 0):
        raise AggregationError(
            f"{THREADS} is {share!r}, not a number of threads",
            code="FL-AGGREGATE-THREADS",
            remedy="Set it to 1 or more; or unset it, and all cores are used.",
        )
    return min(available, int(share))


def run(stages: Sequence[Stage], count: int, threads: int, window: int) -> None:
    """Do `count` blocks in every stage, in this thread and `threads` - 1 others.

    The others inherit this thread's floating-point environment, as POSIX has it, so what holds here holds there.

    Args:
        stages: Each stands behind those that it comes after.
        count: How many blocks there are.
        threads: One is the fastest where there is one core, or little to do.
        window: How many blocks a stage may be ahead of those that wait for it: as many buffers there must be. With one
            thread one is enough.

    Raises:
        Exception: The first that a stage raised; the others stop after the block they are at.
    """
    if threads == 1:
        for number in range(count):
            for stage in stages:
                stage.work(number)
    else:
        _Pipeline(stages, count, window).run(min(threads, len(stages)))


class _Pipeline:
    """What the threads share. Whoever waits here lets its core fall asleep, which costs as much as a small block."""

    def __init__(self, stages: Sequence[Stage], count: int, window: int) -> None:
        self._left = list(stages) if count else []
        self._count = count
        self._window = window
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._helpers = 0
        self._error: BaseException | None = None
        for stage in stages:
            stage.restrict(count, window)

    def run(self, threads: int) -> None:
        for _ in range(threads - 1):
            self._helpers += 1
            # threading.Thread.start would wait until the other core is awake: meanwhile we do the first block
            _thread.start_new_thread(self._help, ())
        self._work()
        with self._lock:
            while self._helpers:
                self._wait()
        if self._error is not None:
            raise self._error

    def _help(self) -> None:
        self._work()
        with self._lock:
            self._helpers -= 1
            self._tell()

    def _work(self) -> None:
        """Do blocks until there are none left."""
        stage: Stage | None = None
        try:
            while (stage := self._next(stage)) is not None:
                stage.work(stage.done)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that called run raises it
            with self._lock:
                self._error = self._error or error
                self._left.clear()
                self._tell()

    def _next(self, finished: Stage | None) -> Stage | None:
        """Note that a stage has done a block, and take the one that is furthest behind."""
        with self._lock:
            if finished is not None:
                self._note(finished)
            while self._left:
                behind: Stage | None = None
                for stage in self._left:
                    if stage.done < stage.limit and not stage.busy and (behind is None or stage.done < behind.done):
                        behind = stage
                if behind is not None:
                    behind.busy = True
                    return behind
                self._wait()
            return None

    def _note(self, finished: Stage) -> None:
        finished.busy = False
        finished.done += 1
        for stage in (*finished.after, *finished.before):
            stage.restrict(self._count, self._window)
        if finished.done == self._count and finished in self._left:
            self._left.remove(finished)
        self._tell()

    def _wait(self) -> None:
        self._waiting += 1
        self._changed.wait()
        self._waiting -= 1

    def _tell(self) -> None:
        if self._waiting:
            self._changed.notify_all()
