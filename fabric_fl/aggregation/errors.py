"""What goes wrong between a blob and the next model.

FabricFLError
├── BlobError            bytes that are not what they should be; its code is one of `REFUSALS` or FL-BLOB-…
├── NotFiniteError       a training result that holds NaN or an infinity
├── AggregationError     a round that cannot be summed here and now
└── WorkerError          the process that sums did not answer
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fabric_fl.errors import FabricFLError
from fl_chaincode.specification import DISTANT, TOO_LONG

SIZE = "FL-BLOB-SIZE"
HEADER = "FL-BLOB-HEADER"
BOUND = "FL-BLOB-BOUND"

REFUSALS = (SIZE, HEADER, BOUND, TOO_LONG, DISTANT)
"""The codes an attestation's `refused` can hold. They are part of the result, so every validator must find the same."""


class BlobError(FabricFLError):
    """Bytes that are not the canonical encoding of what they should be."""

    code = "FL-BLOB-INVALID"
    remedy = "Fetch the blob again; if it stays so, its author has to publish it anew."


class NotFiniteError(FabricFLError):
    """A number that is NaN or infinite where the protocol has none."""

    code = "FL-UPDATE-NOT-FINITE"
    remedy = "Lower the learning rate, or look for NaN and outliers in the training data."


class AggregationError(FabricFLError):
    """A round that cannot be summed here and now.

    Attributes:
        participants: Whose update is concerned.
        refused: The code for each update whose content is invalid.
    """

    code = "FL-AGGREGATE-FAILED"
    remedy = "The round can be aborted and run again; what was committed is untouched."

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        remedy: str | None = None,
        participants: tuple[str, ...] = (),
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.participants = participants
        self.refused = dict(refused)


class WorkerError(FabricFLError):
    """The aggregation worker ended, twice, or could not be started."""

    code = "FL-WORKER-FAILED"
    remedy = "Look for the reason on the process's standard error (often memory); then start again, nothing is lost."
