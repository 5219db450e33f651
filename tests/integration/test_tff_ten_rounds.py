"""Rounds through the exact aggregation beside TFF's own process, for every server step; ten of them when soaking."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from organisations import ORGANISATIONS
from soaking import times
from tff_rounds import STEPS, Committed, F, datasets, flat, run_rounds, slot, task_of
from tff_tasks import data

from fabric_fl.aggregation import FedAdagrad, FedAdam, FedAvgM, server_step
from fabric_fl.learning import build_keras_model
from fabric_fl.learning.export import learning_process, learning_process_state, to_keras
from fl_chaincode.records import Task

pytestmark = [
    pytest.mark.tff,
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),  # within Keras
]

ROUNDS = times(2, 10)
TEST = data(2000, 99)
NUDGE = 2.0**-10  # far above what float32 rounds, far below what the model learns


@cache
def process_of(step: str) -> Any:
    """TFF's process, which full and partial participation share: it is the same, over other clients."""
    return learning_process(task_of(step, 3)[0])


def tolerance(task: Task, one: Committed) -> np.ndarray:
    """How far TFF's float32 round may be from the exact one, weight by weight, from equal weights and state.

    Means differ by half a quantisation step and some rounding of float32; that, times how steeply the server step
    answers to the mean there, and the rounding of the step itself.
    """
    step = server_step(task.server.to_json())
    weights, moved = (
        flat(one.after.tensors.arrays()),
        flat(one.after.tensors.arrays()) - flat(one.before.tensors.arrays()),
    )
    ulp = np.spacing(np.abs(weights).astype(np.float32)).astype(np.float64)
    if isinstance(step, FedAvgM):
        before = slot(one.state_before, "m") if one.state_before else 0.0
        mean, slope = slot(one.state, "m") - step.momentum * before, step.learning_rate
    elif isinstance(step, FedAdam):  # FedYogi, too
        before = slot(one.state_before, "m") if one.state_before else 0.0
        m, root = slot(one.state, "m"), np.sqrt(slot(one.state, "v"))
        mean, divisor = (m - step.beta_1 * before) / (1 - step.beta_1), root + step.epsilon
        curved = np.abs(m) * (1 - step.beta_2) * np.abs(mean) / (root * divisor**2)
        slope = step.learning_rate * ((1 - step.beta_1) / divisor + curved)
    elif isinstance(step, FedAdagrad):
        before = slot(one.state_before, "v") if one.state_before else step.initial_preconditioner_value
        root = np.sqrt(slot(one.state, "v"))
        mean, slope = np.sqrt(slot(one.state, "v") - before), step.learning_rate / root
        moved = moved * (1 + 2.0**24 * step.epsilon / root)  # TFF's epsilon stands elsewhere
    else:
        mean, slope = moved / step.learning_rate, step.learning_rate
    differing = 2.0**-F + 4 * np.spacing(np.abs(mean).astype(np.float32)).astype(np.float64)
    return slope * differing + 4 * ulp + 16 * 2.0**-24 * np.abs(moved)


def accuracy(task: Task, weights: Sequence[np.ndarray]) -> float:
    model = build_keras_model(task.model.architecture)
    model.set_weights(list(weights))
    return float(((model(TEST[0]).numpy()[:, 0] > 0.5) == TEST[1]).mean())


CASES = [(step, k) for step in STEPS for k in (2, 3)]


@pytest.mark.soak
@pytest.mark.parametrize(("step", "k"), CASES)
def test_ten_rounds_are_tffs_within_the_tolerance_and_reach_its_accuracy(
    step: str, k: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("count", ROUNDS)
    task, description = task_of(step, k)
    rounds = run_rounds(task, description.initial, tmp_path, ROUNDS)
    process = process_of(step)
    own = learning_process_state(task, process, description.initial, None)
    for one in rounds:
        given = datasets(task, one.number, one.selected)
        state = learning_process_state(task, process, one.before, one.state_before)
        theirs = flat(process.next(state, given).state.global_model_weights.trainable)
        distance = np.abs(flat(one.after.tensors.arrays()) - theirs)
        assert np.all(distance <= tolerance(task, one)), (one.number, distance.max(), tolerance(task, one).min())
        own = process.next(own, given).state
    moved = flat(rounds[-1].after.tensors.arrays()) - flat(description.initial.tensors.arrays())
    assert np.abs(moved).max() > 0.005 * ROUNDS
    ours = accuracy(task, rounds[-1].after.tensors.arrays())
    assert abs(ours - accuracy(task, own.global_model_weights.trainable)) <= 0.005
    assert ours > accuracy(task, description.initial.tensors.arrays())


@pytest.mark.soak
@pytest.mark.parametrize("k", [2, 3])
def test_weights_stay_beside_those_of_a_free_run_of_tffs(
    k: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """TFF runs by itself from the initial weights, and is not set back to ours after each round.

    Let G be TFF's round, w our weights and v its own. A round of ours is w' = G(w) + e with |e| at most `tolerance`,
    weight by weight, as the other test shows; so w' - v' = G(w) - G(v) + e, and with g the factor by which G stretches
    small differences, |w' - v'| <= g |w - v| + |tolerance| in the Euclidean norm. What g is, TFF is asked itself: a
    third run starts `NUDGE` beside the second, and g is how much their distance grows in that round. Local training is
    gradient descent, whose round multiplies a difference by nearly the same matrix each time, so that the distance
    turns to where it grows most; where it shrinks, g counts as 1, because errors in other directions may not.
    """
    record_property("count", ROUNDS)
    task, description = task_of("fedavg", k)
    process = process_of("fedavg")
    own = learning_process_state(task, process, description.initial, None)
    nudged = own._replace(global_model_weights=moved_by(own.global_model_weights, NUDGE))
    bound, apart = 0.0, between(own, nudged)
    for one in run_rounds(task, description.initial, tmp_path, ROUNDS):
        given = datasets(task, one.number, one.selected)
        own, nudged = process.next(own, given).state, process.next(nudged, given).state
        before, apart = apart, between(own, nudged)
        bound = max(1.0, apart / before) * bound + float(np.linalg.norm(tolerance(task, one)))
        distance = flat(one.after.tensors.arrays()) - flat(own.global_model_weights.trainable)
        assert np.linalg.norm(distance) <= bound, (one.number, np.linalg.norm(distance), bound)
    assert 0 < bound < 1e-4  # or it would say nothing: training moves the weights by more than 0.1


def moved_by(weights: Any, size: float) -> Any:
    generator = np.random.default_rng(0)
    signs = [generator.choice([-1, 1], np.shape(array)) for array in weights.trainable]
    trainable = [np.float32(array + size * sign) for array, sign in zip(weights.trainable, signs, strict=True)]
    return type(weights)(trainable, weights.non_trainable)


def between(one: Any, other: Any) -> float:
    first, second = (flat(state.global_model_weights.trainable) for state in (one, other))
    return float(np.linalg.norm(first - second))


RESTORE = """
import json, sys
import tensorflow as tf
print(json.dumps(tf.keras.models.load_model(sys.argv[1])(tf.constant(json.loads(sys.argv[2]))).numpy().tolist()))
"""


def test_a_committed_model_is_exported_to_keras_and_to_a_state_that_tff_goes_on_from(tmp_path: Path) -> None:
    task, description = task_of("fedyogi", 2)
    (last,) = run_rounds(task, description.initial, tmp_path, 1)
    model = to_keras(task, last.after)
    model.save(tmp_path / "model.keras")
    x = TEST[0][:5]
    command = [sys.executable, "-W", "ignore", "-c", RESTORE, str(tmp_path / "model.keras"), json.dumps(x.tolist())]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # without this project
    np.testing.assert_array_equal(np.float32(json.loads(printed)), model(x).numpy())

    process = process_of("fedyogi")
    state = learning_process_state(task, process, last.after, last.state)
    np.testing.assert_array_equal(flat(state.global_model_weights.trainable), flat(last.after.tensors.arrays()))
    accumulated = flat(state.finalizer["accumulator"])
    np.testing.assert_array_equal(accumulated, slot(last.state, "m").astype(np.float32))
    going_on = process.next(state, datasets(task, 2, ORGANISATIONS)).state
    assert np.abs(flat(going_on.global_model_weights.trainable) - flat(last.after.tensors.arrays())).max() > 0
