"""What many tests need. Properties are tried with the same examples in every run; `make soak` takes new ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from fabric_fl.pytest_plugin import sigterm_interrupts

if TYPE_CHECKING:
    from organisations import Consortium

    from fabric_fl.aggregation import AggregationWorker

settings.register_profile("test", derandomize=not os.environ.get("SOAK"))
settings.load_profile("test")


@pytest.fixture(scope="session", autouse=True)
def _what_tests_started_is_ended_after_sigterm_too() -> Iterator[None]:
    with sigterm_interrupts():
        yield


@pytest.fixture(scope="module")
def worker() -> Iterator[AggregationWorker]:
    """The process that sums, one for all tests of a module."""
    from fabric_fl.aggregation import AggregationWorker

    with AggregationWorker() as started:
        yield started


@pytest.fixture
def consortium(tmp_path: Path, worker: AggregationWorker) -> Consortium:
    """Three organisations whose ledger is in memory."""
    from organisations import Consortium

    return Consortium(tmp_path / "consortium", worker=worker)
