"""Stages that work through the same blocks one after the other, on as many cores as there are.

A stage does its blocks in order and one at a time, so it may keep a running hash or a file position; different stages
overlap. The result does not depend on how they do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence


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
        self.busy = False
        self.before: list[Stage] = []
        for stage in self.after:
            stage.before.append(self)

    def ready(self, window: int) -> bool:
        """Whether its next block can be done now."""
        done = self.done
        for stage in self.after:
            if stage.done <= done:
                return False
        return all(done - stage.done < window for stage in self.before)


def cores() -> int:
    """How many of them this process may use."""
    return len(os.sched_getaffinity(0))


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
        return
    pipeline = _Pipeline(stages, count, window)
    helpers = [threading.Thread(target=pipeline.help) for _ in range(min(threads, len(stages)) - 1)]
    for helper in helpers:
        helper.start()
    try:
        pipeline.help()
    finally:
        pipeline.stop()
        for helper in helpers:
            helper.join()
    if pipeline.error is not None:
        raise pipeline.error


class _Pipeline:
    def __init__(self, stages: Sequence[Stage], count: int, window: int) -> None:
        self._left = list(stages) if count else []
        self._count = count
        self._window = window
        self._changed = threading.Condition()
        self._waiting = 0
        self._stopped = False
        self.error: BaseException | None = None

    def help(self) -> None:
        """Do blocks until there are none left."""
        stage: Stage | None = None
        while (stage := self._next(stage)) is not None:
            try:
                stage.work(stage.done)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that called run raises it
                self.error = self.error or error
                self.stop()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next(self, finished: Stage | None) -> Stage | None:
        """Note that a stage has done a block, and take the one that is furthest behind."""
        with self._changed:
            if finished is not None:
                finished.busy = False
                finished.done += 1
                if finished.done == self._count:
                    self._left.remove(finished)
                if self._waiting:
                    self._changed.notify_all()
            while self._left and not self._stopped:
                behind: Stage | None = None
                for stage in self._left:
                    if not stage.busy and (behind is None or stage.done < behind.done) and stage.ready(self._window):
                        behind = stage
                if behind is not None:
                    behind.busy = True
                    return behind
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
            return None
