"""Whole committed rounds of three organisations, each a process of its own, on devnet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.child import Child
from bench.workload import EXAMPLES, ORGANISATIONS, TRAINING
from fabric_fl import network
from fabric_fl.blobs import BlobStore
from fabric_fl.gateway import connect
from fabric_fl.ledger import FLLedger
from fabric_fl.network import Consortium

QUORUM = ORGANISATIONS // 2 + 1
WARM_UP = 2  # rounds in which TensorFlow compiles and connections open

# Each phase ends when this many organisations have taken the step. All must submit and reveal; a quorum commits.
PHASES = {
    "train": ("trained", ORGANISATIONS),
    "journal": ("journaled", ORGANISATIONS),
    "submit": ("submitted", ORGANISATIONS),
    "reveal": ("revealed", ORGANISATIONS),
    "aggregate": ("aggregated", QUORUM),  # what others published is fetched in the same pass
    "score": ("scored", QUORUM),
    "attest": ("attested", QUORUM),
    "commit": ("committed", 1),
}

Steps = Sequence[tuple[str, int, float]]


@dataclass(frozen=True)
class Timing:
    """Rounds after the warm-up.

    Attributes:
        seconds: Of each round, from one commit to the next.
        phases: Median seconds of each phase; together about the median round.
    """

    seconds: tuple[float, ...]
    phases: Mapping[str, float]


class Organisations:
    """The running network and its three training processes."""

    def __init__(self, ledger: FLLedger, store: BlobStore, children: Sequence[Child]) -> None:
        self.ledger = ledger
        self.store = store
        self._children = children

    def run(self, task: str, model: Mapping[str, Any], blob: Path, rounds: int, *, scoring: bool) -> Timing:
        """Runs a task and returns how long its rounds took.

        Raises:
            RuntimeError: The organisations did not end with the same model.
        """
        self.store.put(blob, model["initial"])
        self.ledger.create_task(specification(task, model, rounds, scoring=scoring))
        for child in self._children:
            child.tell(task=task)
        answers = [child.answer() for child in self._children]
        if {answer["digest"] for answer in answers} != {self.ledger.latest_model(task).digest}:
            raise RuntimeError(f"the organisations ended {task} with different models")
        return timing([answer["steps"] for answer in answers], rounds)


@contextmanager
def organisations(home: Path) -> Iterator[Organisations]:
    """Starts a network and three training processes on it."""
    try:
        running = network.up(Consortium.default(ORGANISATIONS).on_free_ports(), home=home, engine="devnet")
        with ExitStack() as stack:
            children = [
                stack.enter_context(Child("bench.organisation", str(folder), str(index)))
                for index, folder in enumerate(running.profiles())
            ]
            ledgers = []
            for number, folder in enumerate(running.profiles(), start=1):
                gateway = stack.enter_context(connect(folder))
                ledgers.append(FLLedger.on(gateway.network(running.consortium.channel)))
                ledgers[-1].register(f"Organisation {number}")
            for child in children:
                child.answer()
            yield Organisations(ledgers[0], BlobStore(running.profiles()[0] / "blobs"), children)
    finally:
        network.down(home, wipe=True)


def specification(task: str, model: Mapping[str, Any], rounds: int, *, scoring: bool) -> dict[str, Any]:
    members = [f"Org{number}MSP" for number in range(1, ORGANISATIONS + 1)]
    return {
        "schema": 1,
        "id": task,
        "trainers": members,
        "validators": members,
        "q": QUORUM,
        "k": ORGANISATIONS,
        "min_updates": ORGANISATIONS,
        "rounds": rounds,
        "patience_s": 120,
        "model": dict(model),
        "training": TRAINING,
        "server": {"step": "fedavg", "learning_rate": "1"},
        "quantisation": {"f": 24, "bound": 2**30},
        "max_examples": EXAMPLES,
        "aggregation": {"rule": "none"},
        "scoring": {"rule": "leave-one-out" if scoring else "none", "cap_percent": 200},
        "budget": 0,
        "horizon_rounds": rounds,
    }


def timing(organisations: Sequence[Steps], rounds: int) -> Timing:
    """Returns the rounds' lengths from what the organisations noted."""
    ends = {number: _reached(organisations, "committed", 1, number) for number in range(1, rounds + 1)}
    measured = range(WARM_UP + 1, rounds + 1)
    lengths: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for number in measured:
        before = ends[number - 1]
        for phase, (step, count) in PHASES.items():
            reached = _reached(organisations, step, count, number)
            if reached is not None:
                lengths[phase].append(max(0.0, reached - before))
                before = max(before, reached)
    return Timing(
        tuple(ends[number] - ends[number - 1] for number in measured),
        {phase: median(found) for phase, found in lengths.items() if found},
    )


def _reached(organisations: Sequence[Steps], step: str, count: int, number: int) -> float | None:
    """Returns when `count` organisations had taken a step of a round, or None if they never did."""
    moments = []
    for steps in organisations:
        own = [moment for name, of, moment in steps if name == step and of == number]
        moments += own[:1]
    return sorted(moments)[count - 1] if len(moments) >= count else None
