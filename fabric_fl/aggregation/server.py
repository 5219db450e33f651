"""Server steps: how the mean update becomes the next model.

A step is a frozen dataclass of two pure functions over blocks of float64, so that a model of any size streams through
it. Both are elementwise and use only addition, subtraction, multiplication, division and square root, each a numpy call
of its own: correctly rounded, in the order that docs/codec.md writes down, the same bytes on every machine.

The adaptive steps are Algorithm 2 of Reddi et al., with names as in `tff.learning.optimizers`. TFF differs in two
places: its Adam and Yogi correct the bias of the first rounds (a factor of the learning rate that depends on the round
alone), which the paper's do not, and its Adagrad adds epsilon under the square root instead of to it.

References:
    McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data (FedAvg).
    Hsu et al. 2019, Measuring the Effects of Non-Identical Data Distribution (FedAvgM).
    Reddi et al. 2021, Adaptive Federated Optimization (FedAdagrad, FedAdam, FedYogi): the update is a gradient, here
    initial minus final, where the paper has final minus initial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np

from fabric_fl.aggregation.codec import state_header
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.ring import Float64
from fabric_fl.aggregation.tensors import Layout

State = Mapping[str, Float64]
"""A block of each slot; `w` is the weights."""


class ServerStep(Protocol):
    """What every server step offers. `slots` names all that it keeps between rounds, `w` among them."""

    slots: ClassVar[tuple[str, ...]]

    def init(self, weights: Float64) -> State:
        """Make the state before the first round from the initial weights."""

    def apply(self, state: State, d: Float64) -> State:
        """Take one step along the mean update `d`; what overflows is for the caller to find."""


@dataclass(frozen=True)
class FedAvg:
    """w <- w - learning_rate * d."""

    learning_rate: float
    slots: ClassVar[tuple[str, ...]] = ("w",)

    def init(self, weights: Float64) -> State:
        return {"w": weights}

    def apply(self, state: State, d: Float64) -> State:
        with np.errstate(all="ignore"):
            step = d if self.learning_rate == 1.0 else self.learning_rate * d
            return {"w": state["w"] - step}


@dataclass(frozen=True)
class FedAvgM:
    """m <- momentum * m + d; w <- w - learning_rate * m."""

    learning_rate: float
    momentum: float
    slots: ClassVar[tuple[str, ...]] = ("m", "w")

    def init(self, weights: Float64) -> State:
        return {"m": np.zeros_like(weights), "w": weights}

    def apply(self, state: State, d: Float64) -> State:
        with np.errstate(all="ignore"):
            m = self.momentum * state["m"]
            m += d
            return {"m": m, "w": state["w"] - self.learning_rate * m}


@dataclass(frozen=True)
class FedAdagrad:
    """v <- v + d^2; w <- w - learning_rate * d / (sqrt(v) + epsilon).

    The paper's experiments too leave out the momentum here. `epsilon` is its tau.
    """

    learning_rate: float
    epsilon: float
    initial_preconditioner_value: float
    slots: ClassVar[tuple[str, ...]] = ("v", "w")

    def init(self, weights: Float64) -> State:
        return {"v": np.full_like(weights, self.initial_preconditioner_value), "w": weights}

    def apply(self, state: State, d: Float64) -> State:
        with np.errstate(all="ignore"):
            v = state["v"] + d * d
            return {"v": v, "w": _descend(state["w"], d, v, self.learning_rate, self.epsilon)}


@dataclass(frozen=True)
class FedAdam:
    """m <- b1 * m + (1 - b1) * d; v <- b2 * v + (1 - b2) * d^2; w <- w - learning_rate * m / (sqrt(v) + epsilon)."""

    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float
    initial_preconditioner_value: float
    slots: ClassVar[tuple[str, ...]] = ("m", "v", "w")

    def init(self, weights: Float64) -> State:
        v = np.full_like(weights, self.initial_preconditioner_value)
        return {"m": np.zeros_like(weights), "v": v, "w": weights}

    def apply(self, state: State, d: Float64) -> State:
        with np.errstate(all="ignore"):
            m = _average(self.beta_1, state["m"], d)
            v = _average(self.beta_2, state["v"], d * d)
            return {"m": m, "v": v, "w": _descend(state["w"], m, v, self.learning_rate, self.epsilon)}


@dataclass(frozen=True)
class FedYogi(FedAdam):
    """As FedAdam, but v <- v - (1 - b2) * d^2 * sign(v - d^2): v moves by d^2 alone, however large it is."""

    def apply(self, state: State, d: Float64) -> State:
        with np.errstate(all="ignore"):
            m = _average(self.beta_1, state["m"], d)
            square = d * d
            sign = np.sign(state["v"] - square)
            square *= 1.0 - self.beta_2
            square *= sign  # exact: 1, 0 or -1
            v = state["v"] - square
            return {"m": m, "v": v, "w": _descend(state["w"], m, v, self.learning_rate, self.epsilon)}


def _average(beta: float, before: Float64, now: Float64) -> Float64:
    found = beta * before
    found += (1.0 - beta) * now
    return found


def _descend(w: Float64, direction: Float64, v: Float64, learning_rate: float, epsilon: float) -> Float64:
    divisor = np.sqrt(v)
    divisor += epsilon
    step = learning_rate * direction
    step /= divisor
    return np.subtract(w, step, out=step)


STEPS: Mapping[str, type[Any]] = MappingProxyType(
    {"fedavg": FedAvg, "fedavgm": FedAvgM, "fedadagrad": FedAdagrad, "fedadam": FedAdam, "fedyogi": FedYogi}
)


def server_step(spec: Mapping[str, str]) -> ServerStep:
    """Build the step that a task names, e.g. `{"step": "fedavg", "learning_rate": "1"}`.

    Raises:
        AggregationError: The step, or a number in it, is unknown here.
    """
    kind = STEPS.get(spec.get("step", ""))
    if kind is None or set(spec) != {"step", *(field.name for field in fields(kind))}:
        raise AggregationError(
            f"the server step {dict(spec)} is unknown to this version",
            code="FL-AGGREGATE-STEP",
            remedy="Install the version of fabric-fl that the task was made with.",
        )
    step: ServerStep = kind(**{name: decimal(text) for name, text in spec.items() if name != "step"})
    return step


def state_size(layout: Layout, spec: Mapping[str, str]) -> int:
    """Bytes of every server state of a task: of this layout, under this server step."""
    return state_header(layout, server_step(spec).slots).file_size


def decimal(text: str) -> float:
    """The float64 nearest to a decimal number.

    Raises:
        AggregationError: It is not finite, or no number at all.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AggregationError(f"{text[:40]!r} is no finite number", code="FL-AGGREGATE-STEP")
    return value
