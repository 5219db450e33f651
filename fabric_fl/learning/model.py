"""A model as data: architecture as JSON text and weights as tensors. Never code, no pickle, nothing to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fabric_fl.aggregation import ModelBlob


class HasDigest(Protocol):
    """A written blob: `BlobFile` and `StoredBlob` are such."""

    @property
    def digest(self) -> str: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class ModelDescription:
    """All that a task says about its model, with the initial weights.

    Attributes:
        kind: Whose architecture it is.
        architecture: That kind's own JSON text.
    """

    kind: str
    architecture: str
    loss: str
    initial: ModelBlob

    def to_spec(self, blob: HasDigest) -> dict[str, Any]:
        """The `model` part of a task, given where the initial weights were put."""
        return {
            "kind": self.kind,
            "architecture": self.architecture,
            "loss": self.loss,
            "initial": blob.digest,
            "size": blob.size,
        }
