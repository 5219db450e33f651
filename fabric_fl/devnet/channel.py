"""What all of devnet's services share of the one channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count

from fabric_protos.common import common_pb2

from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.deployment import Definitions
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.orderer import Orderer
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.lifecycle_tx import (
    LIFECYCLE_ENDORSEMENT_POLICY,
    NAMESPACE,
)
from fabric_fl.fabric.channel.policies import InvalidPolicy, Policy, RejectPolicy
from fabric_fl.fabric.ledger.kvledger import KVLedger


@dataclass(frozen=True)
class Channel:
    """A channel: its configuration, ledger, committer and orderer.

    Attributes:
        config: What block 0 says.
        ledger: The ledger that all the organisations of this process share.
        definitions: The chaincodes that are defined on it.
        committer: Validates and writes blocks.
        orderer: Cuts them.
        orderer_address: ``host:port``, for error details.
        orderer_msp_id: Its organisation.
        faults: Faults on request.
    """

    config: ChannelConfig
    ledger: KVLedger
    definitions: Definitions
    committer: Committer
    orderer: Orderer
    orderer_address: str
    orderer_msp_id: str
    faults: Faults

    @property
    def id(self) -> str:
        return self.config.channel_id

    def height(self, msp_id: str) -> int:
        """Returns how many blocks an organisation's peer has: all of them, unless it was asked to lag."""
        lagging = self.faults.lagging_height(msp_id) if self.faults.active else None
        return self.ledger.height if lagging is None else lagging

    async def wait_for_height(self, height: int, msp_id: str) -> None:
        """Returns when an organisation's peer has that many blocks."""
        await self.committer.wait_for_height(height)
        if self.faults.active:
            await self.faults.wait_for_block(msp_id, height)

    async def blocks(self, start: int, msp_id: str) -> AsyncIterator[common_pb2.Block]:
        """Yields the blocks from ``start`` on as a peer commits them, for ever."""
        for number in count(start):
            await self.wait_for_height(number + 1, msp_id)
            block = self.ledger.block(number)
            assert block is not None  # below the ledger's height
            yield block

    def endorsement_policies(self, chaincodes: Sequence[str]) -> list[Policy]:
        """Returns the endorsement policies of chaincodes; one that is not defined rejects everything."""
        return [self._endorsement_policy(name) for name in chaincodes]

    def _endorsement_policy(self, chaincode: str) -> Policy:
        if chaincode == NAMESPACE:
            return self.config.policy(LIFECYCLE_ENDORSEMENT_POLICY)
        definition = self.definitions.current(chaincode)
        try:
            return self.config.endorsement_policy(definition.validation_parameter) if definition else RejectPolicy()
        except InvalidPolicy:
            return RejectPolicy()
