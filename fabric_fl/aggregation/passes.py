"""One reading of a round's updates, with whatever is to be done with their blocks meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Self

import numpy as np

from fabric_fl.aggregation import pipeline, ring
from fabric_fl.aggregation.adder import Adder
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.pipeline import Stage
from fabric_fl.aggregation.ring import Int32, Int64
from fabric_fl.aggregation.rounds import RoundInputs, UpdateInput
from fabric_fl.aggregation.rules import Rule
from fabric_fl.aggregation.server import server_step
from fabric_fl.aggregation.streams import StartStream, UpdateStream

BLOCK = 1 << 16
"""Elements. A block of one update or of the sum stays within a core's cache, and calls cost little beside the work."""

SHARED_BLOCK = 1 << 17
"""Elements of a block on several cores: handing over costs more than what a block leaves of a core's cache."""

SHARES = 4
"""Blocks that a small round is divided into, so that no core is idle for long while another does the last."""

LEAST_BLOCK = 1 << 11
"""Elements, below which calling costs more than computing."""

BUFFER = 5 << 17
"""Elements of all updates that are held at once, `WINDOW` times: blocks get smaller where there are many updates."""

WINDOW = 2
"""How many blocks are in work at the same time on several cores."""


class Pass:
    """A round's updates and what they start from, opened together and read block by block.

    Attributes:
        layout: The model's.
        blocks: Offset and length of each block, in elements.
        threads: How many work at it.
        window: How many blocks are in work at the same time.
        num_examples: Of each update, in the order in which they were given.
        usable: Whether all updates are valid up to the block that was last checked; once it is not so it stays so.
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
        self.usable = True
        self.threads = pipeline.cores() if self.layout.size > BLOCK else 1
        self.window = WINDOW if self.threads > 1 else 1
        length = min(self._longest(), max(LEAST_BLOCK, BUFFER // len(updates)))
        starts = range(0, max(self.layout.size, 1), length)
        self.blocks = [(start, min(length, self.layout.size - start)) for start in starts]
        longest = self.blocks[0][1]
        self._q = np.empty((self.window, len(updates), longest), np.int32)
        self._totals = np.empty((self.window, longest), np.int64)
        self._largest = [0] * self.window
        self._adder = Adder(len(updates))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _longest(self) -> int:
        if self.threads == 1:
            return BLOCK
        return min(SHARED_BLOCK, max(BLOCK, -(-self.layout.size // SHARES)))

    def q(self, number: int) -> Int32:
        """A block of every update, `[updates, elements]`; for a stage that comes after `readers`."""
        return self._q[number % self.window, :, : self.blocks[number][1]]

    def total(self, number: int) -> Int64:
        """A block of the sum, for a stage that comes after one that does `add_up`."""
        return self._totals[number % self.window, : self.blocks[number][1]]

    def add_up(self, rule: Rule, number: int) -> None:
        """Sum a block of the updates as the rule says."""
        total, q = self.total(number), self.q(number)
        if rule.trim is not None:
            total[:] = rule.trim.total(q)
        else:
            self._adder.add(q, rule.weights(self.num_examples), total, self._largest[number % self.window])

    def readers(self) -> list[Stage]:
        """The stages that read the updates and check them."""
        return [self._reader(index, stream) for index, stream in enumerate(self._streams)]

    def _reader(self, index: int, stream: UpdateStream) -> Stage:
        views = [q[index].view(np.uint8).data for q in self._q]
        size = 4 * self.blocks[0][1]

        def read(number: int) -> None:
            view, length = views[number % self.window], 4 * self.blocks[number][1]
            stream.read(view if length == size else view[:length])

        return Stage(read)

    def using(self, readers: Sequence[Stage], work: Callable[[int], None]) -> Stage:
        """The stage that checks what was read; then, as long as all of it is valid, it does its work."""

        def check_and_work(number: int) -> None:
            self._check(number)
            if self.usable:
                work(number)

        return Stage(check_and_work, readers)

    def _check(self, number: int) -> None:
        q = self.q(number)
        self._largest[number % self.window] = largest = ring.largest(q)
        if largest > self._bound:
            for stream, values in zip(self._streams, q, strict=True):
                stream.check(values)
        self.usable = self.usable and all(stream.usable for stream in self._streams)

    def run(self, readers: Sequence[Stage], stages: Sequence[Stage]) -> dict[str, str]:
        """Read everything; afterwards everything that was read is what the ledger names.

        Returns:
            The code for each update whose content is invalid.

        Raises:
            AggregationError: FL-AGGREGATE-UNAVAILABLE, or what a stage raised.
        """
        parts = len(self.blocks)
        base = [] if self.start.trusted else [Stage(lambda number: self.start.verify(number, parts))]
        try:
            pipeline.run([*readers, *base, *stages], parts, self.threads, self.window)
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

    @property
    def updates(self) -> list[UpdateInput]:
        """The updates, as they can be read again without being hashed again."""
        return [stream.verified() for stream in self._streams]
