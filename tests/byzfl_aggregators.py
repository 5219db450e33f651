"""The aggregators of byzfl, on numpy: another implementation of the robust rules, by other people.

The package's own __init__ imports its training framework and with it PyTorch, of which its aggregators need no more
than the name of a type when they are given numpy arrays. So they are loaded without the one and with a stand-in for
the other, which is taken away again.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest


def load() -> ModuleType:
    """Returns a module with `Average`, `Median`, `TrMean`, `Krum`, `MultiKrum` and `Clipping`.

    Raises:
        ModuleNotFoundError: byzfl, which belongs to what the tests need, is not installed.
    """
    spec = importlib.util.find_spec("byzfl")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("byzfl is not installed: a comparison that cannot be made is a failure", name="byzfl")
    package = ModuleType("byzfl")
    package.__path__ = list(spec.submodule_search_locations)
    torch = ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]
    torch.linalg = ModuleType("torch.linalg")  # type: ignore[attr-defined]
    known = {"byzfl": package}
    if importlib.util.find_spec("torch") is None:
        known |= {"torch": torch, "torch.linalg": torch.linalg}  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in known.items():
            patch.setitem(sys.modules, name, module)
        return importlib.import_module("byzfl.aggregators")
