"""One reading of a round's updates, with whatever is to be done with their blocks meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np

from fabric_fl.aggregation import pipeline, ring
from fabric_fl.aggregation.adder import Adder
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.pipeline import Step
from fabric_fl.aggregation.ring import Int32, Int64
from fabric_fl.aggregation.rounds import RoundInputs, UpdateInput
from fabric_fl.aggregation.rules import Rule
from fabric_fl.aggregation.server import server_step
from fabric_fl.aggregation.streams import StartStream, UpdateStream

BLOCK = 1 << 17
"""Elements. Longer blocks leave the cache before they are summed, shorter ones cost more calls, and each call of one
thread may have to wait for the other's: measured for 2 to 20 updates.
"""

SMALL_BLOCK = 1 << 16
"""Elements of a block where there are only a few, so that threads need not wait long for each other at both ends."""

FEW = 4
"""With fewer blocks of the full length than these, small ones are taken."""

MOST_THREADS = 8
"""Each holds blocks of its own, and more would wait for the step that hashes what is written."""

LEAST_BLOCK = 1 << 11
"""Elements, below which calling costs more than computing."""

BUFFER = 5 << 17
"""Elements of all updates that a thread holds at once: blocks get smaller where there are many updates."""


class Pass:
    """A round's updates and what they start from, opened together and read block by block.

    Attributes:
        layout: The model's.
        blocks: Offset and length of each block, in elements.
        threads: How many work at it; so many blocks are in work at the same time, each in a `place` of its own.
        num_examples: Of each update, in the order in which they were given.
    """

    def __init__(self, inputs: RoundInputs, updates: Sequence[UpdateInput]) -> None:
        self.num_examples = tuple(update.num_examples for update in updates)
        self._bound = inputs.bound
        admissible = (count for count in self.num_examples if 1 <= count <= inputs.max_examples)
        ring.check_capacity(sum(admissible), inputs.bound)  # an update of any other count is refused
        self.step = server_step(inputs.server)
        with ExitStack() as stack:
            self.start = stack.enter_context(closing(StartStream(inputs)))
            self.layout = self.start.layout
            if self.start.slots and self.start.slots != tuple(sorted(self.step.slots)):
                slots = f"{', '.join(self.start.slots)}, the task's server step needs {', '.join(self.step.slots)}"
                raise AggregationError(f"the state holds {slots}", code="FL-AGGREGATE-STEP")
            # One thread opens all: several would spend more on waiting for each other than on the files.
            self._streams = [
                stack.enter_context(closing(UpdateStream(update, inputs, self.layout))) for update in updates
            ]
            self._open = stack.pop_all()
        # whether all updates are valid up to the block that was last checked; once it is not so it stays so
        self._usable = True
        size = self.layout.size
        self.threads = min(pipeline.cores(), MOST_THREADS) if size > SMALL_BLOCK else 1
        most = SMALL_BLOCK if size < FEW * BLOCK else BLOCK
        self.blocks = _blocks(size, min(most, max(LEAST_BLOCK, BUFFER // len(updates))), self.threads)
        longest = self.blocks[0][1]
        self._q = np.empty((self.threads, len(updates), longest), np.int32)
        self._totals = np.empty((self.threads, longest), np.int64)
        self._largest = [0] * self.threads
        self._adders = [Adder(len(updates)) for _ in range(self.threads)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def place(self, number: int) -> int:
        """Where a block's data is kept, one of `threads`: the pipeline never has two blocks of one place under way."""
        return number % self.threads

    def q(self, number: int) -> Int32:
        """A block of every update, `[updates, elements]`."""
        return self._q[self.place(number), :, : self.blocks[number][1]]

    def total(self, number: int) -> Int64:
        """A block of the sum, once `add_up` has written it."""
        return self._totals[self.place(number), : self.blocks[number][1]]

    def add_up(self, rule: Rule, number: int) -> None:
        """Sum a block of the updates as the rule says."""
        total, q = self.total(number), self.q(number)
        if rule.trim is not None:
            total[:] = rule.trim.total(q)
        else:
            place = self.place(number)
            self._adders[place].add(q, rule.weights(self.num_examples), total, self._largest[place])

    def run(self, *steps: Step) -> dict[str, str]:
        """Read and check everything; take each block through these steps, as long as all that was read is valid.

        Afterwards everything that was read is what the ledger names.

        Returns:
            The code for each update whose content is invalid.

        Raises:
            AggregationError: FL-AGGREGATE-UNAVAILABLE, or what a step raised.
        """
        reading = [self._reader(index, stream) for index, stream in enumerate(self._streams)]
        if not self.start.trusted:
            reading.append(Step(lambda number: self.start.verify(number, len(self.blocks))))
        checking = Step(self._check, ordered=False)
        try:
            pipeline.run([*reading, checking, *map(self._guarded, steps)], len(self.blocks), self.threads)
        except AggregationError:
            self.start.require_verified()  # a base of other bytes explains whatever went wrong
            raise
        self.start.require_verified()
        for stream in self._streams:
            stream.finish()
        missing = tuple(stream.update.participant for stream in self._streams if stream.missing)
        if missing:
            raise AggregationError(
                f"the updates of {', '.join(missing)} are missing here, or are not the bytes that were revealed",
                code="FL-AGGREGATE-UNAVAILABLE",
                remedy="Fetch them again, from the author's store or from another validator's.",
                participants=missing,
            )
        return {stream.update.participant: stream.refused for stream in self._streams if stream.refused is not None}

    def _reader(self, index: int, stream: UpdateStream) -> Step:
        views = [q[index].view(np.uint8).data for q in self._q]
        size = len(views[0])

        def read(number: int) -> None:
            view, length = views[self.place(number)], 4 * self.blocks[number][1]
            stream.read(view if length == size else view[:length])

        return Step(read)

    def _check(self, number: int) -> None:
        q = self.q(number)
        self._largest[self.place(number)] = largest = ring.largest(q)
        if largest > self._bound:
            for stream, values in zip(self._streams, q, strict=True):
                stream.check(values)
        if not all(stream.usable for stream in self._streams):
            self._usable = False

    def _guarded(self, step: Step) -> Step:
        def work(number: int) -> None:
            if self._usable:
                step.work(number)

        return replace(step, work=work)

    @property
    def updates(self) -> list[UpdateInput]:
        """The updates, as they can be read again without being hashed again."""
        return [stream.verified() for stream in self._streams]


def _blocks(size: int, most: int, threads: int) -> list[tuple[int, int]]:
    """Offset and length of each block, at most so long: as many for each thread, and all of one length."""
    count = threads * max(1, -(-size // (most * threads)))
    length = max(1, -(-size // count))
    return [(start, min(length, size - start)) for start in range(0, max(1, size), length)]
