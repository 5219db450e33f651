"""Federated learning whose global model is a ledger fact.

Importing this package imports neither TensorFlow nor gRPC: names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fabric_fl.errors import FabricFLError
    from fabric_fl.participant import CommittedModel, Participant

__all__ = ["CommittedModel", "FabricFLError", "Participant"]
__version__ = "0.1.0"

_HOME = {
    "CommittedModel": "fabric_fl.participant",
    "FabricFLError": "fabric_fl.errors",
    "Participant": "fabric_fl.participant",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
