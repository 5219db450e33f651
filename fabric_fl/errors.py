"""The SDK's exceptions.

Every error carries a stable `code`, and a `remedy` that says what to do about it; commands print both.

    FabricFLError
    ├── GatewayError                fabric_fl.gateway.errors: a call to the ledger failed
    │   ├── EvaluateError           a query was not answered
    │   ├── EndorseError            not endorsed; nothing was sent to the orderer
    │   ├── SubmitError             perhaps not sent to the orderer
    │   ├── CommitStatusError       sent; whether it was committed is unknown: ask again
    │   ├── CommitError             committed as invalid: decide anew
    │   └── EventsError             a stream of events ended
    ├── NotSignedError              fabric_fl.gateway.errors: no signature was given and nobody can make one
    └── LedgerRefused               fabric_fl.ledger: the contract refused, with its own code
"""

from __future__ import annotations


class FabricFLError(Exception):
    """Base of everything that this SDK raises on purpose.

    Attributes:
        code: Stable identifier. A subclass states its own; an instance may narrow it.
        remedy: One sentence for the person who sees the error.
    """

    code: str = "FL-ERROR"
    remedy: str = "Read the message; the log of the process says more."

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
