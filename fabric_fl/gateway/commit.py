"""What became of a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import transaction_pb2

from fabric_fl.gateway.client import GatewayClient
from fabric_fl.gateway.errors import CommitStatusError
from fabric_fl.gateway.signable import Signable, Signer

if TYPE_CHECKING:
    from fabric_fl.gateway.transaction import Transaction


@dataclass(frozen=True)
class Status:
    """A transaction's place and fate in the ledger.

    Attributes:
        code: Fabric's TxValidationCode; 0 is valid.
        block_number: The block that holds it, valid or not.
    """

    transaction_id: str
    code: int
    block_number: int

    @property
    def successful(self) -> bool:
        return bool(self.code == transaction_pb2.VALID)

    @property
    def name(self) -> str:
        """Fabric's name of the code, such as MVCC_READ_CONFLICT."""
        value = transaction_pb2.TxValidationCode.DESCRIPTOR.values_by_number.get(self.code)
        return str(self.code) if value is None else str(value.name)


class Commit(Signable):
    """A transaction that was sent, to be asked about as often as needed."""

    def __init__(self, client: GatewayClient, signer: Signer, request: gateway_pb2.SignedCommitStatusRequest) -> None:
        super().__init__(signer)
        self._client = client
        self._request = request
        self.transaction_id: str = gateway_pb2.CommitStatusRequest.FromString(request.request).transaction_id

    def get_bytes(self) -> bytes:
        return bytes(self._request.SerializeToString())

    def status(self, *, timeout: float | None = None) -> Status:
        """Wait until the transaction is in the ledger and return what became of it, good or bad.

        Args:
            timeout: Seconds; the gateway's own setting if None.

        Raises:
            CommitStatusError: It is unknown. The error holds this commit: ask again.
        """
        self._sign()
        try:
            response = self._client.commit_status(self._request, self.transaction_id, timeout)
        except CommitStatusError as error:
            error.commit = self
            raise
        return Status(self.transaction_id, response.result, response.block_number)

    def _message(self) -> bytes:
        return bytes(self._request.request)

    def _signature(self) -> bytes:
        return bytes(self._request.signature)

    def _set_signature(self, signature: bytes) -> None:
        self._request.signature = signature

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transaction_id})"


class SubmittedTransaction(Commit):
    """A commit together with the transaction that was sent, and the result that it has if it turns out valid."""

    def __init__(
        self,
        client: GatewayClient,
        signer: Signer,
        request: gateway_pb2.SignedCommitStatusRequest,
        transaction: Transaction,
    ) -> None:
        super().__init__(client, signer, request)
        self.transaction = transaction

    @property
    def result(self) -> bytes:
        return self.transaction.result


def commit_status_request(
    channel_name: str, transaction_id: str, creator: bytes
) -> gateway_pb2.SignedCommitStatusRequest:
    """Return the unsigned question what became of a transaction."""
    request = gateway_pb2.CommitStatusRequest(channel_id=channel_name, transaction_id=transaction_id, identity=creator)
    return gateway_pb2.SignedCommitStatusRequest(request=request.SerializeToString())
