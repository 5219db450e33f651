"""How often tests do what they do: a little in `make test`, at length in `make soak`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

_T = TypeVar("_T")

SOAKING = os.environ.get("SOAK") == "1"


def times(usually: int, soaking: int) -> int:
    """Returns one count or the other."""
    return soaking if SOAKING else usually


def side_by_side(count: int, work: Callable[[int, threading.Event], _T]) -> list[_T]:
    """Runs the same work several times at once, each with its number and an event that tells it to stop.

    Raises:
        BaseException: What the first of them failed with, or what interrupted the waiting; the others stop then.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(work, number, stop) for number in range(count)]
        try:
            return [each.result() for each in running]
        except BaseException:
            stop.set()
            raise


def fuzz(examples: int, factor: int = 50, **others: Any) -> settings:
    """Returns the settings of a property that is tried on so many examples, and when soaking on many times as many."""
    return settings(
        max_examples=times(examples, factor * examples),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        **others,
    )
