"""A call of the contract, before any peer has executed it."""

from __future__ import annotations

from fabric_protos.gateway import gateway_pb2

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.client import GatewayClient
from fabric_fl.gateway.signable import Signable, Signer
from fabric_fl.gateway.transaction import Transaction


class Proposal(Signable):
    """To be evaluated as a query, or endorsed into a transaction."""

    def __init__(self, client: GatewayClient, signer: Signer, proposed: gateway_pb2.ProposedTransaction) -> None:
        super().__init__(signer)
        self._client = client
        self._proposed = proposed
        self._channel_name = protoutil.unpack_proposal(proposed.proposal.proposal_bytes).channel_id

    @property
    def transaction_id(self) -> str:
        return str(self._proposed.transaction_id)

    def get_bytes(self) -> bytes:
        return bytes(self._proposed.SerializeToString())

    def evaluate(self, *, timeout: float | None = None) -> bytes:
        """Have one peer execute the call and return its answer; the ledger stays as it is.

        Raises:
            EvaluateError: No answer, or the contract refused.
        """
        self._sign()
        request = gateway_pb2.EvaluateRequest(
            transaction_id=self.transaction_id,
            channel_id=self._channel_name,
            proposed_transaction=self._proposed.proposal,
            target_organizations=self._proposed.endorsing_organizations,
        )
        return bytes(self._client.evaluate(request, timeout).result.payload)

    def endorse(self, *, timeout: float | None = None) -> Transaction:
        """Have as many organisations execute and sign the call as its endorsement policy asks for.

        Raises:
            EndorseError: Not enough of them did, or their results differ, or the contract refused.
        """
        self._sign()
        request = gateway_pb2.EndorseRequest(
            transaction_id=self.transaction_id,
            channel_id=self._channel_name,
            proposed_transaction=self._proposed.proposal,
            endorsing_organizations=self._proposed.endorsing_organizations,
        )
        response = self._client.endorse(request, timeout)
        prepared = gateway_pb2.PreparedTransaction(
            transaction_id=self.transaction_id, envelope=response.prepared_transaction
        )
        return Transaction(self._client, self._signer, prepared)

    def _message(self) -> bytes:
        return bytes(self._proposed.proposal.proposal_bytes)

    def _signature(self) -> bytes:
        return bytes(self._proposed.proposal.signature)

    def _set_signature(self, signature: bytes) -> None:
        self._proposed.proposal.signature = signature

    def __repr__(self) -> str:
        return f"Proposal({self.transaction_id})"
