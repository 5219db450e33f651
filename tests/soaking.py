"""How often tests do what they do: a little in `make test`, at length in `make soak`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

SOAKING = os.environ.get("SOAK") == "1"


def times(usually: int, soaking: int) -> int:
    """Returns one count or the other."""
    return soaking if SOAKING else usually


def fuzz(examples: int, factor: int = 50, **others: Any) -> settings:
    """Returns the settings of a property that is tried on so many examples, and when soaking on many times as many."""
    return settings(
        max_examples=times(examples, factor * examples),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        **others,
    )
