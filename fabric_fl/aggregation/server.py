"""Server steps: how the mean update becomes the next model.

A step is a frozen dataclass of two pure functions over blocks of float64, so that a model of any size streams through
it. Both are elementwise and use only addition, subtraction, multiplication, division and square root, each a numpy call
of its own: correctly rounded, in a fixed order, the same bytes on every machine.

References:
    McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data (FedAvg).
    Reddi et al. 2021, Adaptive Federated Optimization: the update is a gradient, here initial minus final.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

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
        """Take one step along the mean update `d`."""


@dataclass(frozen=True)
class FedAvg:
    """w <- w - learning_rate * d."""

    learning_rate: float
    slots: ClassVar[tuple[str, ...]] = ("w",)

    def init(self, weights: Float64) -> State:
        return {"w": weights}

    def apply(self, state: State, d: Float64) -> State:
        step = np.multiply(np.float64(self.learning_rate), d)
        return {"w": np.subtract(state["w"], step)}


def server_step(spec: Mapping[str, str]) -> ServerStep:
    """Build the step that a task names, e.g. `{"step": "fedavg", "learning_rate": "1"}`.

    Raises:
        AggregationError: The step, or a number in it, is unknown here.
    """
    if spec.get("step") != "fedavg" or set(spec) != {"step", "learning_rate"}:
        raise AggregationError(
            f"the server step {dict(spec)} is unknown to this version",
            code="FL-AGGREGATE-STEP",
            remedy="Install the version of fabric-fl that the task was made with.",
        )
    return FedAvg(decimal(spec["learning_rate"]))


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
