"""A real Fabric peer joins after a task has run on devnet, validates every block again and stores the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from devnet_tasks import Tasks, three_organisations
from fabric_peer import PEER, running_peer
from fabric_protos.common import common_pb2

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.protoutil import TRANSACTIONS_FILTER
from fabric_fl.gateway import Contract

pytestmark = [
    pytest.mark.fabric,
    pytest.mark.skipif(PEER is None, reason="Fabric's peer is not on PATH or in FABRIC_BIN"),
]


def test_a_real_peer_that_joins_after_a_task_stores_every_block_byte_for_byte(tmp_path: Path) -> None:
    with three_organisations() as tasks:
        tasks.finish(tasks.create("joined", rounds=3))
        network = tasks.network
        with network.gateway("org1") as gateway:
            codes = _refused(gateway.network("fl").contract("fl"))
        assert codes == ["VALID", "MVCC_READ_CONFLICT", "ENDORSEMENT_POLICY_FAILURE", "VALID"]
        blocks = _blocks(tasks)
        flags = Counter(code for block in blocks for code in block.metadata.metadata[TRANSACTIONS_FILTER])
        assert {0, 9, 10, 11} <= set(flags)

        assert network.config.state is not None
        organization = Organization.load(network.config.state / "organizations" / "org1")
        with running_peer(organization, tmp_path / "peer") as peer:
            genesis = common_pb2.Block.FromString(blocks[0].SerializeToString())
            genesis.metadata.metadata[TRANSACTIONS_FILTER] = b""
            peer.join(genesis.SerializeToString())
            for block in blocks:
                assert peer.block("fl", block.header.number).SerializeToString() == block.SerializeToString()


def _refused(contract: Contract) -> list[str]:
    """Submits what is refused: a stale read, too few endorsements; and a transaction twice."""
    described = [json.dumps({"name": "Org1MSP", "description": text}) for text in ("first", "second", "third")]
    first, second = (contract.new_proposal("participants:Register", each).endorse() for each in described[:2])
    alone = contract.new_proposal("participants:Register", described[2], endorsing_organizations=["Org1MSP"]).endorse()
    codes = [transaction.submit().status().name for transaction in (first, second, alone)]
    again = first.submit().status()  # tells of the first time
    contract.submit("participants:Register", described[2])  # in a later block than the duplicate
    return [*codes, again.name]


def _blocks(tasks: Tasks) -> list[common_pb2.Block]:
    with tasks.network.gateway("org2") as gateway:
        channel = gateway.network("fl")
        height = channel.height()
        with channel.block_events(start_block=0) as events:
            return [next(iter(events)) for _ in range(height)]
