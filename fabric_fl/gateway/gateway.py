"""Where everything starts: an identity on a connection to a peer of its organisation."""

from __future__ import annotations

import types
from typing import Self

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2

from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.gateway.block_events import BlockEventsRequest, FilteredBlockEventsRequest
from fabric_fl.gateway.chaincode_events import ChaincodeEventsRequest
from fabric_fl.gateway.client import GatewayClient
from fabric_fl.gateway.commit import Commit
from fabric_fl.gateway.network import Network
from fabric_fl.gateway.proposal import Proposal
from fabric_fl.gateway.signable import Sign, Signer
from fabric_fl.gateway.timeouts import Timeouts
from fabric_fl.gateway.transaction import Transaction


class Gateway:
    """Acts on the ledger in the name of one identity.

    The connection is lent: whoever made it closes it, and several gateways may share it. Any thread may call.

    Args:
        channel: A gRPC connection to a gateway peer of the identity's own organisation.
        identity: With its private key, or without, when `sign` or offline signing takes its place.
        sign: Signs a SHA-256 digest; for keys that this process must not hold.
        timeouts: Seconds for each step.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        identity: SigningIdentity | Identity,
        *,
        sign: Sign | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        if isinstance(identity, SigningIdentity):
            self._signer = Signer(identity.identity, sign or identity.sign_digest)
        else:
            self._signer = Signer(identity, sign)
        self._client = GatewayClient(channel, timeouts or Timeouts())

    @property
    def identity(self) -> Identity:
        return self._signer.identity

    def network(self, channel_name: str) -> Network:
        return Network(self._client, self._signer, channel_name)

    def new_proposal(self, data: bytes) -> Proposal:
        """Return the proposal that another process serialised with `get_bytes()`."""
        return Proposal(self._client, self._signer, gateway_pb2.ProposedTransaction.FromString(data))

    def new_signed_proposal(self, data: bytes, signature: bytes) -> Proposal:
        """Return the proposal together with the signature over its `get_digest()`."""
        return self.new_proposal(data).with_signature(signature)

    def new_transaction(self, data: bytes) -> Transaction:
        """Return the transaction that another process serialised with `get_bytes()`."""
        return Transaction(self._client, self._signer, gateway_pb2.PreparedTransaction.FromString(data))

    def new_signed_transaction(self, data: bytes, signature: bytes) -> Transaction:
        """Return the transaction together with the signature over its `get_digest()`."""
        return self.new_transaction(data).with_signature(signature)

    def new_commit(self, data: bytes) -> Commit:
        """Return the commit that another process serialised with `get_bytes()`."""
        return Commit(self._client, self._signer, gateway_pb2.SignedCommitStatusRequest.FromString(data))

    def new_signed_commit(self, data: bytes, signature: bytes) -> Commit:
        """Return the commit together with the signature over its `get_digest()`."""
        return self.new_commit(data).with_signature(signature)

    def new_signed_chaincode_events_request(self, data: bytes, signature: bytes) -> ChaincodeEventsRequest:
        """Return a request for chaincode events together with the signature over its `get_digest()`."""
        request = gateway_pb2.SignedChaincodeEventsRequest.FromString(data)
        return ChaincodeEventsRequest(self._client, self._signer, request).with_signature(signature)

    def new_signed_block_events_request(self, data: bytes, signature: bytes) -> BlockEventsRequest:
        """Return a request for blocks together with the signature over its `get_digest()`."""
        request = common_pb2.Envelope.FromString(data)
        return BlockEventsRequest(self._client, self._signer, request).with_signature(signature)

    def new_signed_filtered_block_events_request(self, data: bytes, signature: bytes) -> FilteredBlockEventsRequest:
        """Return a request for filtered blocks together with the signature over its `get_digest()`."""
        request = common_pb2.Envelope.FromString(data)
        return FilteredBlockEventsRequest(self._client, self._signer, request).with_signature(signature)

    def close(self) -> None:
        """End the streams of events; the connection stays open for its owner."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Gateway({self._signer.identity.msp_id!r})"
