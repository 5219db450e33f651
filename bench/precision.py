"""`python -m bench.precision`: what quantisation costs in accuracy, for the choice of f and the bound.

The demo's hospitals train the demo's network for its ten rounds by FedAvg, once summed in float64 and once for each f
and bound; everything else is equal. The table stands in docs/codec.md.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from demo import patients
from fabric_fl.aggregation import ModelBlob, Tensors, quantise
from fabric_fl.learning import NumpyTrainer, TrainingTask, describe_mlp, training_seed

ROUNDS = 10
HIDDEN = 16
FRACTION_BITS = (2, 4, 6, 8, 10, 12, 16, 20, 24, 28)
REACH = (2.0**-8, 2.0**-6, 2.0**-4, 2.0**-2, 1.0, 4.0)
"""Bound / 2^f: the largest change of a weight that an update can state."""


@dataclass(frozen=True)
class Outcome:
    """A model after all rounds, and what is known of its updates."""

    weights: np.ndarray
    loss: float
    accuracy: float
    largest: float
    clipped: float


def run(f: int | None, reach: float = 4.0) -> Outcome:
    """Trains; f None leaves out the quantisation."""
    hospitals, test = patients.load()
    described = describe_mlp([30, HIDDEN, 1], seed=0)
    task = TrainingTask("numpy-mlp", described.architecture, described.loss, "sgd", "0.2", 5, 8, 1000)
    trainers = {name: NumpyTrainer(one.train.pair()) for name, one in hospitals.items()}
    model = described.initial
    state = model.tensors.flat().astype(np.float64)
    largest, clipped, values = 0.0, 0, 0
    for number in range(1, ROUNDS + 1):
        total, examples = np.zeros_like(state), 0
        for name, trainer in trainers.items():
            trained = trainer.train(task, model, training_seed("precision", number, name))
            delta = trained.delta.flat().astype(np.float64)
            largest = max(largest, float(np.abs(delta).max()))
            if f is not None:
                bound = min(int(reach * 2.0**f), 2**31 - 1)
                clipped += int(np.count_nonzero(np.abs(delta) > bound * 2.0**-f))
                delta = quantise(trained.delta, f, bound).flat() * 2.0**-f
            values += delta.size
            total += trained.num_examples * delta
            examples += trained.num_examples
        state = state - total / examples
        model = ModelBlob(_split(model.tensors, state))
    found = NumpyTrainer(test.pair(), test.pair()).evaluate(task, model)
    return Outcome(state, found["loss"], found["accuracy"], largest, clipped / values)


def _split(like: Tensors, flat: np.ndarray[Any, Any]) -> Tensors:
    return like.layout.split(flat.astype(np.float32))


def main() -> None:
    logging.getLogger("fabric_fl.aggregation.ring").setLevel(logging.ERROR)  # clipping is what we count
    exact = run(None)
    print(f"in float64: loss {exact.loss:.6f}, accuracy {100 * exact.accuracy:.2f} %, ", end="")
    print(f"largest change of a weight in a round {exact.largest:.3g}\n")
    print("| f | bound / 2^f | clipped | largest error of a weight | error of the loss | error of the accuracy |")
    print("|--:|--:|--:|--:|--:|--:|")
    for f, reach in [*((f, REACH[-1]) for f in FRACTION_BITS), *((24, reach) for reach in REACH[:-1])]:
        found = run(f, reach)
        difference = float(np.abs(found.weights - exact.weights).max())
        print(
            f"| {f} | {reach:g} | {100 * found.clipped:.2f} % | {difference:.1e} | {found.loss - exact.loss:+.1e} "
            f"| {100 * (found.accuracy - exact.accuracy):+.2f} |"
        )


if __name__ == "__main__":
    main()
