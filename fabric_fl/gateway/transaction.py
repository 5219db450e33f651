"""An endorsed call, before it is sent to be ordered."""

from __future__ import annotations

from fabric_protos.gateway import gateway_pb2

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.client import GatewayClient
from fabric_fl.gateway.commit import SubmittedTransaction, commit_status_request
from fabric_fl.gateway.errors import SubmitError
from fabric_fl.gateway.signable import Signable, Signer


class Transaction(Signable):
    """To be submitted; submitting it twice is harmless, because only the first copy of an id can be valid."""

    def __init__(self, client: GatewayClient, signer: Signer, prepared: gateway_pb2.PreparedTransaction) -> None:
        super().__init__(signer)
        self._client = client
        self._prepared = prepared
        envelope = protoutil.unpack_envelope(prepared.envelope)
        action = protoutil.unpack_transaction(envelope.payload.data)
        self._channel_name = envelope.channel_header.channel_id
        self.result: bytes = action.chaincode_action.response.payload

    @property
    def transaction_id(self) -> str:
        return str(self._prepared.transaction_id)

    def get_bytes(self) -> bytes:
        return bytes(self._prepared.SerializeToString())

    def submit(self, *, timeout: float | None = None) -> SubmittedTransaction:
        """Send the transaction to the orderer, which does not yet say that it will be valid.

        Raises:
            SubmitError: The orderer may or may not have it. The error holds this transaction: submit it again.
        """
        self._sign()
        request = gateway_pb2.SubmitRequest(
            transaction_id=self.transaction_id,
            channel_id=self._channel_name,
            prepared_transaction=self._prepared.envelope,
        )
        try:
            self._client.submit(request, timeout)
        except SubmitError as error:
            error.transaction = self
            raise
        status_request = commit_status_request(self._channel_name, self.transaction_id, self._signer.creator)
        return SubmittedTransaction(self._client, self._signer, status_request, self)

    def _message(self) -> bytes:
        return bytes(self._prepared.envelope.payload)

    def _signature(self) -> bytes:
        return bytes(self._prepared.envelope.signature)

    def _set_signature(self, signature: bytes) -> None:
        self._prepared.envelope.signature = signature

    def __repr__(self) -> str:
        return f"Transaction({self.transaction_id})"
