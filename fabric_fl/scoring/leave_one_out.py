"""Leave-one-out scores: how much worse the model would be without an update.

score(i) = loss(all without i) - loss(all), on the validator's holdout, in integer millionths. The model without the
only update is the base model. Integers are taken first and subtracted then, so that a score is exact in what was
measured.

References:
    Cook 1977, Detection of Influential Observation in Linear Regression (leaving one out).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_fl.aggregation import AggregationResult, AggregationWorker, BlobFile, ModelBlob, RoundInputs, read_model

CAP = 10**12
"""Millionths. A loss beyond a million, or none at all, counts as a million; differences stay far below 2^53."""


@dataclass(frozen=True)
class Scores:
    """A validator's measurements of a round.

    Attributes:
        scores: Millionths of loss by participant; positive where its update helped.
        metrics: Of the next model, in millionths.
    """

    scores: Mapping[str, int]
    metrics: Mapping[str, int]

    def to_record(self) -> dict[str, Any]:
        """What is committed to and later opened."""
        return {"metrics": dict(self.metrics), "scores": dict(self.scores)}


def millionths(value: float) -> int:
    """Round to integer millionths, halves to even, within ±CAP; what is no number is the worst: CAP."""
    if math.isnan(value):
        return CAP
    return round(min(max(value * 1e6, -CAP), CAP))


def leave_one_out(included: Iterable[str], loss: Callable[[frozenset[str]], float]) -> dict[str, int]:
    """Score each participant by the loss of the model without it.

    Args:
        included: Whose updates were summed.
        loss: The loss of the model that a coalition leads to; of none: the base model's.
    """
    everybody = frozenset(included)
    whole = millionths(loss(everybody))
    return {who: millionths(loss(everybody - {who})) - whole for who in sorted(everybody)}


def score_round(
    inputs: RoundInputs,
    result: AggregationResult,
    worker: AggregationWorker,
    evaluate: Callable[[ModelBlob], Mapping[str, float]],
    directory: Path,
) -> Scores:
    """Score a round that was just aggregated.

    Args:
        inputs: What was summed.
        result: What came out; its model file is still there.
        worker: Makes the models that leave one out.
        evaluate: Metrics of a model on the holdout, `loss` among them.
        directory: Where those models lie for the moment.

    Raises:
        AggregationError: An update's file is gone.
        BlobError: A model's file is not what it was.
    """
    without = worker.leave_one_out_models(inputs, result.included, directory)
    whole = evaluate(_read(result.model))
    everybody = frozenset(result.included)

    def loss(coalition: frozenset[str]) -> float:
        if coalition == everybody:
            return whole["loss"]
        if not coalition:
            return evaluate(_read(inputs.model))["loss"]
        (left_out,) = everybody - coalition
        return evaluate(_read(without[left_out]))["loss"]

    try:
        scores = leave_one_out(result.included, loss)
    finally:
        for file in without.values():
            file.path.unlink(missing_ok=True)
    return Scores(scores, {name: millionths(value) for name, value in sorted(whole.items())})


def _read(file: BlobFile) -> ModelBlob:
    return read_model(file.path, file.digest, file.size)
