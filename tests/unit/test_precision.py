"""What docs/codec.md says that quantisation costs, measured again."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import precision

PAGE = Path(__file__).parents[2] / "docs" / "codec.md"
ROW = re.compile(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) % \| (\S+) \| (\S+) \| (\S+) \|$", re.MULTILINE)
ROWS = {(int(f), float(reach)): tuple(map(float, rest)) for f, reach, *rest in ROW.findall(PAGE.read_text())}
ONE_PATIENT = 100 / 114
"""Points of accuracy on the test set, which another processor's rounding may move."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("fabric_fl.aggregation.ring")
    before, logger.level = logger.level, logging.ERROR  # clipping is what is measured
    yield
    logger.setLevel(before)


@pytest.fixture(scope="module")
def exact() -> precision.Outcome:
    return precision.run(None)


def test_the_page_has_every_choice_that_the_benchmark_measures() -> None:
    fractions = [(f, precision.REACH[-1]) for f in precision.FRACTION_BITS]
    assert list(ROWS) == [*fractions, *((24, reach) for reach in precision.REACH[:-1])]


@pytest.mark.parametrize("choice", [(4, 4.0), (12, 4.0), (24, 4.0), (24, 0.0625), (24, 1.0)], ids=str)
def test_a_choice_of_f_and_bound_costs_what_the_page_says(choice: tuple[int, float], exact: precision.Outcome) -> None:
    clipped, error, loss, accuracy = ROWS[choice]
    found = precision.run(*choice)
    assert float(np.abs(found.weights - exact.weights).max()) == pytest.approx(error, rel=0.5)
    assert 100 * found.clipped == pytest.approx(clipped, rel=0.1, abs=0.01)
    assert abs(found.loss - exact.loss) <= 2 * abs(loss) + 1e-8
    assert 100 * (found.accuracy - exact.accuracy) == pytest.approx(accuracy, abs=ONE_PATIENT + 0.01)


def test_what_the_page_advises_clips_nothing_and_costs_no_accuracy(exact: precision.Outcome) -> None:
    advised = precision.run(24, 64.0)
    assert advised.clipped == 0
    assert advised.accuracy == exact.accuracy
    assert "**f = 24 and bound = 2^30**" in PAGE.read_text()
    assert float(f"{exact.largest:.2f}") == pytest.approx(1.57, rel=0.05)
