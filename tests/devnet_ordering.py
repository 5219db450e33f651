"""An orderer and a committer over a ledger on trial, and transactions for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from devnet_ledgers import CHAINCODE, LedgerOnTrial, endorsed, organizations
from fabric_protos.common import common_pb2

from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.orderer import WHEN_IDLE, Orderer
from fabric_fl.fabric.channel.channelconfig import BatchSettings
from fabric_fl.fabric.ledger.rwset import RWSetBuilder

ORDERER = organizations()[3]


@asynccontextmanager
async def ordering(trial: LedgerOnTrial, batch: BatchSettings = WHEN_IDLE) -> AsyncIterator[tuple[Orderer, Committer]]:
    committer = Committer(trial.ledger, trial.validator)
    orderer = Orderer(trial.config, trial.ledger, committer, ORDERER.node, batch=batch)
    await orderer.start()
    yield orderer, committer
    await orderer.stop()
    await committer.close()


def write(key: str = "k", value: bytes = b"v") -> common_pb2.Envelope:
    builder = RWSetBuilder()
    builder.add_write(CHAINCODE, key, value)
    return endorsed(builder.serialize())


def tx_id_of(envelope: common_pb2.Envelope) -> str:
    header = common_pb2.Payload.FromString(envelope.payload).header.channel_header
    tx_id: str = common_pb2.ChannelHeader.FromString(header).tx_id
    return tx_id
