"""Properties are tried with the same examples in every run; `make soak` takes new ones and says which."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from fabric_fl.pytest_plugin import sigterm_interrupts

settings.register_profile("test", derandomize=not os.environ.get("SOAK"))
settings.load_profile("test")


@pytest.fixture(scope="session", autouse=True)
def _what_tests_started_is_ended_after_sigterm_too() -> Iterator[None]:
    with sigterm_interrupts():
        yield
