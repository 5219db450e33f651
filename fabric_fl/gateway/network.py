"""A channel: its contracts, and what happens on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fabric_protos.common import ledger_pb2
from fabric_protos.orderer import ab_pb2

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.block_events import (
    BlockEventsRequest,
    FilteredBlockEventsRequest,
    block_events_envelope,
    blocks,
)
from fabric_fl.gateway.chaincode_events import (
    ChaincodeEvent,
    ChaincodeEventsRequest,
    chaincode_events,
    chaincode_events_request,
)
from fabric_fl.gateway.checkpointer import Checkpoint, InMemoryCheckpointer
from fabric_fl.gateway.client import GatewayClient
from fabric_fl.gateway.commit import Commit, commit_status_request
from fabric_fl.gateway.contract import Contract
from fabric_fl.gateway.event_stream import EventStream
from fabric_fl.gateway.signable import Signer


class Network:
    """One channel, as the gateway's peer sees it.

    The methods that stream events take a `start_block`, or a `checkpoint`, which wins where it says something. With
    neither they begin with the next block. They come back by themselves after the connection broke.
    """

    def __init__(self, client: GatewayClient, signer: Signer, name: str) -> None:
        self._client = client
        self._signer = signer
        self.name = name

    def contract(self, chaincode_name: str) -> Contract:
        return Contract(self._client, self._signer, self.name, chaincode_name)

    def commit(self, transaction_id: str) -> Commit:
        """Return the commit of a transaction of which only the id is left."""
        request = commit_status_request(self.name, transaction_id, self._signer.creator)
        return Commit(self._client, self._signer, request)

    def height(self) -> int:
        """Return how many blocks the peer has.

        Raises:
            EvaluateError: The peer did not answer.
        """
        info = self.contract("qscc").evaluate("GetChainInfo", self.name)
        return int(ledger_pb2.BlockchainInfo.FromString(info).height)

    def chaincode_events(
        self, chaincode_name: str, *, start_block: int | None = None, checkpoint: Checkpoint | None = None
    ) -> EventStream[ChaincodeEvent]:
        """Return the chaincode's events from valid transactions, as they are committed."""
        position = self._position(start_block, checkpoint)
        return EventStream(
            self._client,
            lambda: self.new_chaincode_events_request(chaincode_name, checkpoint=position).open(),
            chaincode_events,
            position.checkpoint_chaincode_event,
            resume=True,
        )

    def block_events(self, *, start_block: int | None = None, checkpoint: Checkpoint | None = None) -> EventStream[Any]:
        """Return whole blocks (`common.Block`) as they are committed."""
        return self._blocks(self.new_block_events_request, start_block, checkpoint, lambda block: block.header.number)

    def filtered_block_events(
        self, *, start_block: int | None = None, checkpoint: Checkpoint | None = None
    ) -> EventStream[Any]:
        """Return filtered blocks (`protos.FilteredBlock`) as they are committed."""
        return self._blocks(self.new_filtered_block_events_request, start_block, checkpoint, lambda block: block.number)

    def new_chaincode_events_request(
        self, chaincode_name: str, *, start_block: int | None = None, checkpoint: Checkpoint | None = None
    ) -> ChaincodeEventsRequest:
        """Return the question alone, for those who sign it elsewhere."""
        after = None if checkpoint is None else checkpoint.transaction_id
        request = chaincode_events_request(
            self.name, chaincode_name, self._signer.creator, _seek(start_block, checkpoint), after
        )
        return ChaincodeEventsRequest(self._client, self._signer, request)

    def new_block_events_request(
        self, *, start_block: int | None = None, checkpoint: Checkpoint | None = None
    ) -> BlockEventsRequest:
        """Return the question alone, for those who sign it elsewhere."""
        envelope = block_events_envelope(self.name, self._signer.creator, _seek(start_block, checkpoint))
        return BlockEventsRequest(self._client, self._signer, envelope)

    def new_filtered_block_events_request(
        self, *, start_block: int | None = None, checkpoint: Checkpoint | None = None
    ) -> FilteredBlockEventsRequest:
        """Return the question alone, for those who sign it elsewhere."""
        envelope = block_events_envelope(self.name, self._signer.creator, _seek(start_block, checkpoint))
        return FilteredBlockEventsRequest(self._client, self._signer, envelope)

    def _blocks(
        self,
        request: Callable[..., BlockEventsRequest | FilteredBlockEventsRequest],
        start_block: int | None,
        checkpoint: Checkpoint | None,
        number: Callable[[Any], int],
    ) -> EventStream[Any]:
        position = self._position(start_block, checkpoint)
        return EventStream(
            self._client,
            lambda: request(checkpoint=position).open(),
            blocks,
            lambda block: position.checkpoint_block(number(block)),
            resume=True,
        )

    def _position(self, start_block: int | None, checkpoint: Checkpoint | None) -> InMemoryCheckpointer:
        """Return where to start, as a number: "next" would mean another block after a break than before it."""
        block = start_block if checkpoint is None or checkpoint.block_number is None else checkpoint.block_number
        after = None if checkpoint is None else checkpoint.transaction_id
        return InMemoryCheckpointer(self.height() if block is None else block, after)

    def __repr__(self) -> str:
        return f"Network({self.name!r})"


def _seek(start_block: int | None, checkpoint: Checkpoint | None) -> ab_pb2.SeekPosition:
    block = start_block if checkpoint is None or checkpoint.block_number is None else checkpoint.block_number
    return protoutil.seek_next_commit() if block is None else protoutil.seek_specified(block)
