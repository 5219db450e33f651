"""The walk as a state machine of hypothesis, which draws every choice and shrinks what fails to a few calls."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from ledger_walk import Walk
from walk_calls import Block, Calls, Numbers

STEPS = 200  # of one world, so that all it draws stays below the 8 kB that hypothesis allows for


@st.composite
def blocks(draw: st.DrawFn, calls: Calls) -> Block:
    """The next block, whatever the walk has come to.

    Numbers are made of bytes, of which the smallest is the simplest. A call draws always as many, and makes others of
    them where it wants more, so that a step can be shrunk away without a change of what those behind it draw.
    """

    def source(size: int) -> Numbers:
        drawn = draw(sized(size))
        more = (byte * odd % 256 for odd in itertools.count(1, 2) for byte in drawn)
        return lambda low, high: low + next(more) * (high - low + 1) // 256

    return calls.block(source)


@functools.cache
def sized(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


class LedgerMachine(RuleBasedStateMachine):
    """A world in which every step orders a block of calls, and everything is compared and checked after it."""

    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk()
        self.failed = False

    @rule(data=st.data())
    def order(self, data: st.DataObject) -> None:
        self.failed = True
        self.walk.block(data.draw(blocks(self.walk.calls)))
        self.failed = False

    def teardown(self) -> None:
        if not self.failed:  # else what has failed is what is told
            self.walk.books.close()
        self.tally.update(self.walk.count())


def explore(worlds: int, steps: int = STEPS) -> Counter[str]:
    """Walk through so many worlds of so many blocks each; return what came of them.

    Raises:
        AssertionError: for what the ledger does against the model or an invariant, with the few calls that lead to it.
    """
    tally: Counter[str] = Counter()
    machine = type("LedgerMachine", (LedgerMachine,), {"tally": tally})
    chosen = settings(
        max_examples=worlds,
        stateful_step_count=steps,
        phases=(Phase.generate, Phase.shrink),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)
    tally["worlds"] = worlds
    return tally
