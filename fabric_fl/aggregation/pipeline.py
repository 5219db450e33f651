"""Steps through the same blocks one after the other, on as many cores as there are.

Each thread takes a block through all steps, so what one step read stays in that core's cache for the next. An ordered
step does its blocks in order and one at a time, so it may keep a running hash or a file position: a thread waits with
its block until the one before has left the step. The result does not depend on who did what.

References:
    Cytron 1986, Doacross: Beyond Vectorization for Multiprocessors.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fabric_fl.aggregation.errors import AggregationError

THREADS = "FABRIC_FL_THREADS"
"""Of the environment: how many cores an organisation's sums may use where several share a machine."""


@dataclass(frozen=True)
class Step:
    """Something to be done for every block, after the steps before it.

    Attributes:
        work: Does it to a block, by number. It releases the interpreter's lock while it computes, or nothing is gained.
        ordered: Whether blocks come in order and one at a time; otherwise nobody waits here for anybody.
    """

    work: Callable[[int], None]
    ordered: bool = True


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


def run(steps: Sequence[Step], count: int, threads: int) -> None:
    """Take `count` blocks through every step, in this thread and up to `threads` - 1 others.

    No more than `threads` blocks are under way at the same time, and their numbers differ modulo `threads`. The others
    inherit this thread's floating-point environment, as POSIX has it, so what holds here holds there.

    Raises:
        Exception: The first that a step raised; the others stop before their next step.
    """
    threads = min(threads, count)
    if threads <= 1:
        for number in range(count):
            for step in steps:
                step.work(number)
    else:
        _Run(steps, count).work(threads)


class _Run:
    """What the threads share. Whoever waits here lets its core fall asleep, which costs as much as a small block.

    Nothing here refers to itself unless a step raised: blocks are free as soon as a run has ended, and the next run
    finds them in the cache.
    """

    def __init__(self, steps: Sequence[Step], count: int) -> None:
        # they end in order too: a block that overtook another would let a third begin in that one's place
        self._steps = (*steps, Step(lambda number: None))
        self._numbers = iter(range(count))
        self._done = [0] * len(self._steps)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._helpers = 0
        self._error: BaseException | None = None

    def work(self, threads: int) -> None:
        self._helpers = threads - 1
        for _ in range(threads - 1):
            # threading.Thread.start would wait until the other core is awake: meanwhile we do the first block
            _thread.start_new_thread(self._help, ())
        self._blocks()
        with self._lock:
            while self._helpers:
                self._wait()
        if self._error is not None:
            raise self._error

    def _help(self) -> None:
        self._blocks()
        with self._lock:
            self._helpers -= 1
            self._tell()

    def _blocks(self) -> None:
        """Take blocks through all steps until there are none left."""
        try:
            for number in self._numbers:
                for index, step in enumerate(self._steps):
                    if step.ordered:
                        self._enter(index, number)
                    if self._error is not None:
                        return
                    step.work(number)
                    if step.ordered:
                        self._leave(index)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that called raises it
            with self._lock:
                self._error = self._error or error
                self._tell()

    def _enter(self, index: int, number: int) -> None:
        """Wait until the block before has left the step, or there was an error."""
        with self._lock:
            while self._done[index] < number and self._error is None:
                self._wait()

    def _leave(self, index: int) -> None:
        with self._lock:
            self._done[index] += 1
            self._tell()

    def _wait(self) -> None:
        self._waiting += 1
        self._changed.wait()
        self._waiting -= 1

    def _tell(self) -> None:
        if self._waiting:
            self._changed.notify_all()
