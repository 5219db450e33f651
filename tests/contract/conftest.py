"""The contract's properties are what `make soak` scales."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis.internal.detection import is_hypothesis_test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.soak)
