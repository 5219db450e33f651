"""TensorFlow Federated alone, in memory: what a round of ours is divided by.

    python -m bench.reference

A process of its own, told what to do by a JSON line each on standard input.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.workload import EXAMPLES, LOSS, ORGANISATIONS, SIZES, TRAINING, Size, examples, keras_model
from fabric_fl.aggregation import write
from fabric_fl.learning import describe_keras_model
from fabric_fl.learning.tff_model import make_optimizer, model_fn
from fabric_fl.learning.tff_runtime import libraries


class Reference:
    """Rounds of `build_weighted_fed_avg`, model by model."""

    def __init__(self) -> None:
        self._processes: dict[str, Any] = {}
        self._states: dict[str, Any] = {}

    def describe(self, size: Size, path: Path) -> dict[str, Any]:
        """Writes the initial weights and returns the `model` part of a task."""
        description = describe_keras_model(keras_model(size), LOSS)
        return description.to_spec(write(description.initial, path))

    def rounds(self, size: Size, count: int) -> list[float]:
        """Returns how many seconds each of `count` rounds took, the first two of a size left out."""
        libs = libraries()
        warm_up = 0
        if size.label not in self._processes:
            warm_up = 2
            spec = (libs.tf.TensorSpec((None, 64), libs.tf.float32), libs.tf.TensorSpec((None,), libs.tf.int32))
            architecture = keras_model(size).to_json()
            process = libs.tff.learning.algorithms.build_weighted_fed_avg(
                model_fn(architecture, LOSS, spec),
                client_optimizer_fn=make_optimizer(TRAINING["optimizer"], TRAINING["learning_rate"]),
            )
            self._processes[size.label], self._states[size.label] = process, process.initialize()
        process, state = self._processes[size.label], self._states[size.label]
        data = [self._dataset(index) for index in range(ORGANISATIONS)]
        seconds = []
        for _ in range(warm_up + count):
            began = time.perf_counter()
            state = process.next(state, data).state
            seconds.append(time.perf_counter() - began)
        self._states[size.label] = state
        return seconds[warm_up:]

    def _dataset(self, index: int) -> Any:
        dataset = libraries().tf.data.Dataset.from_tensor_slices(examples(index, EXAMPLES))
        return dataset.shuffle(EXAMPLES, seed=index).repeat(TRAINING["epochs"]).batch(TRAINING["batch_size"])


def main() -> None:
    reference, sizes = Reference(), {size.label: size for size in SIZES}
    libraries()
    for line in sys.stdin:
        asked = json.loads(line)
        size = sizes[asked["size"]]
        if "path" in asked:
            answer: Any = reference.describe(size, Path(asked["path"]))
        else:
            answer = reference.rounds(size, asked["rounds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
