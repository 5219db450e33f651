"""What can go wrong at each step of a transaction, as the caller has to tell it apart.

GatewayError
├── EvaluateError        a query was not answered
├── EndorseError         not endorsed; nothing was sent to the orderer
├── SubmitError          perhaps not sent to the orderer: submit the same transaction again
├── CommitStatusError    sent; whether it was committed is unknown: ask again with the same id
├── CommitError          committed as invalid: decide anew
└── EventsError          a stream of events ended
NotSignedError           no signature was given and the gateway has nobody to ask for one
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from fabric_fl.errors import FabricFLError

if TYPE_CHECKING:
    from fabric_fl.gateway.commit import Commit, Status
    from fabric_fl.gateway.transaction import Transaction


# What peers and orderers say of a certificate, all of them alike, and of a signature that is not its own.
_ABOUT_THE_CALLER = {
    "client identity expired": (
        "FL-IDENTITY-EXPIRED",
        "Enrol the identity again (`fabric-fl enroll`), put the new MSP folder in the old one's place and start again: "
        "nothing is lost.",
    ),
    "access denied: channel [": (
        "FL-IDENTITY-REFUSED",
        "Use a client certificate that the organisation's own CA issued, under the organisation's own MSP id, and "
        "that is not revoked.",
    ),
}


@dataclass(frozen=True)
class ErrorDetail:
    """What one peer or orderer said."""

    address: str
    msp_id: str
    message: str

    def __str__(self) -> str:
        return f"{self.msp_id} at {self.address}: {self.message}"


class GatewayError(FabricFLError):
    """A call to the gateway failed.

    Attributes:
        transaction_id: The transaction that the call was about; empty for a stream of events.
        grpc_code: The gRPC status, where the failure came as one.
        details: What each peer or orderer said that the gateway asked.
    """

    code = "FL-GATEWAY"
    remedy = "See what each peer said; `fabric-fl network status` tells which of them answer."

    def __init__(
        self,
        message: str,
        *,
        transaction_id: str = "",
        grpc_code: grpc.StatusCode | None = None,
        details: tuple[ErrorDetail, ...] = (),
    ) -> None:
        said = "".join(f"; {detail}" for detail in details)
        about = f" (transaction {transaction_id})" if transaction_id else ""
        super().__init__(f"{message}{said}{about}")
        self.transaction_id = transaction_id
        self.grpc_code = grpc_code
        self.details = details
        for text, (code, remedy) in _ABOUT_THE_CALLER.items():
            if text in self.message:
                self.code, self.remedy = code, remedy

    @property
    def refuses_caller(self) -> bool:
        """Whether the caller's certificate was refused: another attempt with it would fail in the same way."""
        return self.code.startswith("FL-IDENTITY-")


class EvaluateError(GatewayError):
    """A query was not answered."""

    code = "FL-GATEWAY-EVALUATE"


class EndorseError(GatewayError):
    """The proposal was not endorsed; nothing was sent to the orderer."""

    code = "FL-GATEWAY-ENDORSE"


class SubmitError(GatewayError):
    """The transaction may or may not have reached the orderer.

    Attributes:
        transaction: To be submitted again as it is: of two copies with one id, only the first can be valid.
    """

    code = "FL-GATEWAY-SUBMIT"
    remedy = "Submit the same transaction again, never a new one; then ask for its commit status."
    transaction: Transaction | None = None


class CommitStatusError(GatewayError):
    """The transaction was sent; whether it was committed is unknown.

    Attributes:
        commit: To be asked again, under the same transaction id.
    """

    code = "FL-GATEWAY-COMMIT-STATUS"
    remedy = "Ask for the commit status again with the same transaction id; do not submit anew."
    commit: Commit | None = None


class CommitError(GatewayError):
    """The transaction is in the ledger and was found invalid: it changed nothing.

    Attributes:
        status: Validation code, its name, and the block that holds the transaction.
    """

    code = "FL-GATEWAY-COMMIT"
    remedy = "It changed nothing: read the ledger again and decide anew."

    def __init__(self, status: Status) -> None:
        super().__init__(
            f"invalidated in block {status.block_number}: {status.name} ({status.code})",
            transaction_id=status.transaction_id,
        )
        self.status = status


class EventsError(GatewayError):
    """A stream of events ended and cannot be resumed."""

    code = "FL-GATEWAY-EVENTS"
    remedy = "Open the stream again from the last checkpoint."


class NotSignedError(FabricFLError):
    """A step was to be sent without a signature, and the gateway was given nothing to sign with."""

    code = "FL-GATEWAY-NOT-SIGNED"
    remedy = "Give the gateway a signing identity or a `sign` function, or sign get_digest() yourself."
