"""Robust rules: how updates become one sum when some of the participants may lie.

Each works on the quantised integers, so that every validator gets the same bits. A rule may leave out whole updates,
for which all of them are read once before any is summed; or it trims each element for itself and leaves out nobody.
All but the norm bound disregard the number of examples, which a liar would exaggerate: every update weighs the same.

References:
    Sun et al. 2019, Can You Really Backdoor Federated Learning? (norm bound).
    Yin et al. 2018, Byzantine-Robust Distributed Learning (median, trimmed mean).
    Blanchard et al. 2017, Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent (Krum, Multi-Krum).
    Farhadkhani et al. 2022, Byzantine Machine Learning Made Easy by Resilient Averaging of Momentums: with the n - f
    nearest (itself among them) as an update's neighbours, f < n / 2 is enough; Blanchard et al. take one less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.products import Products
from fabric_fl.aggregation.ring import Int32, Int64
from fabric_fl.aggregation.tensors import Tensors
from fl_chaincode.specification import DISTANT, TOO_LONG

_FEW = 16  # rows


class Selection(Protocol):
    """Leaves out whole updates. They are numbered in the order of their participants' ids."""

    def products(self, count: int) -> Products:
        """What to measure of `count` updates."""

    def left_out(self, products: Products, f: int) -> dict[int, str]:
        """The code that says why, by update."""


@dataclass(frozen=True)
class NormBound:
    """Leaves out each update whose Euclidean norm, in weights, is above `norm`."""

    norm: Fraction

    def products(self, count: int) -> Products:
        return Products(count, pairs=False)

    def left_out(self, products: Products, f: int) -> dict[int, str]:
        limit = (self.norm * 2**f) ** 2
        return {index: TOO_LONG for index, square in enumerate(products.squares()) if square > limit}

    def shorten(self, q: Tensors, f: int) -> Tensors:
        """Scale an own update down to the bound, which its owner does before anybody else sees it."""
        products = Products(1, pairs=False)
        for array in q.arrays():
            products.add(np.asarray(array, np.int32).reshape(1, -1))
        (square,) = products.squares()
        limit = (self.norm * 2**f) ** 2
        if square <= limit:
            return q
        # A little less than the root, and rounded towards zero: no value can come out larger than it should.
        scale = math.sqrt(limit / square) * (1 - 2**-50)
        return Tensors({name: np.trunc(np.multiply(array, scale)).astype(np.int32) for name, array in q.items()})


@dataclass(frozen=True)
class Krum:
    """Keeps the update that is nearest to its neighbours; or, if `multi`, as many as are not lying.

    An update's score is the sum of the squared distances to its n - byzantine - 1 nearest others. Among equal scores
    the lower participant id comes first.
    """

    byzantine: int
    multi: bool

    def products(self, count: int) -> Products:
        return Products(count, pairs=True)

    def left_out(self, products: Products, f: int) -> dict[int, str]:
        distances = products.distances()
        neighbours = len(distances) - self.byzantine - 1
        scores = []
        for index, row in enumerate(distances):
            others = sorted(row[:index] + row[index + 1 :])
            scores.append((sum(others[:neighbours]), index))
        kept = len(distances) - self.byzantine if self.multi else 1
        return {index: DISTANT for _, index in sorted(scores)[kept:]}


@dataclass(frozen=True)
class Trim:
    """For each element, leaves out the `byzantine` smallest and largest values; None leaves the middle one or two."""

    byzantine: int | None

    def each_side(self, count: int) -> int:
        most = (count - 1) // 2
        return most if self.byzantine is None else min(self.byzantine, most)

    def total(self, q: Int32) -> Int64:
        """Sum what is left of `[updates, elements]`; `q` is put in another order."""
        trimmed = self.each_side(len(q))
        _sort(q)
        total: Int64 = np.add.reduce(q[trimmed : len(q) - trimmed], axis=0, dtype=np.int64)
        return total


def _sort(q: Int32) -> None:
    """Sort each column. Exchanging whole rows (odd-even transposition) is ten times as fast where there are few."""
    if len(q) > _FEW:
        q.sort(axis=0)
        return
    larger = np.empty_like(q[0])
    for phase in range(len(q)):
        for row in range(phase % 2, len(q) - 1, 2):
            np.maximum(q[row], q[row + 1], out=larger)
            np.minimum(q[row], q[row + 1], out=q[row])
            q[row + 1] = larger


@dataclass(frozen=True)
class Rule:
    """What a task says about combining updates.

    Attributes:
        selection: What leaves out whole updates, if anything does.
        trim: What replaces the sum of all the others, if anything does.
        weighted: Whether the number of examples counts.
        least: How many updates it needs.
    """

    selection: Selection | None = None
    trim: Trim | None = None
    weighted: bool = True
    least: int = 1

    def weights(self, num_examples: Sequence[int]) -> tuple[int, ...]:
        """By what each update is multiplied in the sum."""
        return tuple(num_examples) if self.weighted else (1,) * len(num_examples)

    def divisor(self, num_examples: Sequence[int]) -> int:
        """By what the sum is divided."""
        if self.trim is not None:
            return len(num_examples) - 2 * self.trim.each_side(len(num_examples))
        return sum(self.weights(num_examples))


def robust_rule(spec: Mapping[str, str | int]) -> Rule:
    """Build the rule that a task names, e.g. `{"rule": "krum", "byzantine": 1}`.

    Raises:
        AggregationError: The rule, or a parameter of it, is unknown here.
    """
    match dict(spec):
        case {"rule": "none"} if len(spec) == 1:
            return Rule()
        case {"rule": "norm-bound", "norm": str(norm)} if len(spec) == 2:
            return Rule(selection=NormBound(Fraction(norm)))
        case {"rule": "median"} if len(spec) == 1:
            return Rule(trim=Trim(None), weighted=False)
        case {"rule": "trimmed-mean", "byzantine": int(byzantine)} if len(spec) == 2:
            return Rule(trim=Trim(byzantine), weighted=False, least=2 * byzantine + 1)
        case {"rule": "krum" | "multi-krum" as name, "byzantine": int(byzantine)} if len(spec) == 2:
            krum = Krum(byzantine, multi=name == "multi-krum")
            return Rule(selection=krum, weighted=False, least=2 * byzantine + 1)
    raise AggregationError(
        f"the rule {dict(spec)} is unknown to this version",
        code="FL-AGGREGATE-RULE",
        remedy="Install the version of fabric-fl that the task was made with.",
    )
