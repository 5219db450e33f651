"""A real Fabric peer joins devnet's channel, validates every block for itself and stores the same bytes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import grpc
import pytest
from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, define, endorsed, event, organizations
from fabric_peer import PEER, running_peer
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2_grpc
from fabric_protos.peer import policy_pb2

from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.deliver import orderer_deliver
from fabric_fl.devnet.deployment import Definitions
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.genesis import genesis_block
from fabric_fl.devnet.identity import Organization
from fabric_fl.devnet.orderer import AtomicBroadcastService, Orderer
from fabric_fl.devnet.transport import SERVER_OPTIONS
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition, implicit_collection
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.rwset import RWSetBuilder

ORG1, ORG2, ORG3, ORDERER = organizations()

pytestmark = [
    pytest.mark.fabric,
    pytest.mark.skipif(PEER is None, reason="Fabric's peer is not on PATH or in FABRIC_BIN"),
]


def _write(trial: LedgerOnTrial, key: str, value: bytes, **how: object) -> common_pb2.Envelope:
    with trial.simulate() as simulator:
        simulator.put_state(CHAINCODE, key, value)
        return endorsed(simulator.results(), **how)  # type: ignore[arg-type]


def _increment(trial: LedgerOnTrial) -> common_pb2.Envelope:
    with trial.simulate() as simulator:
        value = int(simulator.get_state(CHAINCODE, "counter") or b"0")
        simulator.put_state(CHAINCODE, "counter", str(value + 1).encode())
        return endorsed(simulator.results(), events=event("Incremented"))


def _scan(trial: LedgerOnTrial, batches: int) -> common_pb2.Envelope:
    with trial.simulate() as simulator:
        iterator = simulator.get_state_by_range(CHAINCODE, "k", "l")
        for _ in range(batches):
            iterator.respond("1")
        return endorsed(simulator.results())


def _approve(
    trial: LedgerOnTrial, organization: Organization, value: bytes, endorser: SigningIdentity | None = None
) -> common_pb2.Envelope:
    collection = implicit_collection(organization.msp_id)
    with trial.simulate() as simulator:
        simulator.get_private_data_hash("_lifecycle", collection, "k")
        for key in ("k", "a", "z"):
            simulator.put_private_data("_lifecycle", collection, key, value)
        return endorsed(
            simulator.results(), chaincode="_lifecycle", version="syscc", endorsers=[endorser or organization.node]
        )


def _fill(trial: LedgerOnTrial) -> list[list[int]]:
    """Commits blocks that hold every validation code that an orderer lets through; returns the codes."""
    codes = [trial.put({f"k{i:03d}": b"v" for i in range(0, 500, 2)})]
    # Conflicts and duplicates, within a block and between blocks.
    stale, counted = _increment(trial), [_increment(trial) for _ in range(3)]
    codes += [trial.commit(*counted, counted[0]), trial.commit(stale, counted[1])]
    # Phantoms in whole ranges and in ranges that were given up, raw and in Merkle trees; deletes.
    for batches, key in ((3, "k001"), (1, "k199"), (1, "k201"), (2, "k498")):
        scan = _scan(trial, batches)
        codes.append(trial.commit(_write(trial, key, b"new"), scan, _scan(trial, batches), _write(trial, key, b"")))
    # Policies: too few, the wrong ones, one twice, bad signatures; every written namespace.
    strict = policy_pb2.ApplicationPolicy(
        signature_policy=policydsl.parse("OutOf(3, 'Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')")
    ).SerializeToString()
    codes.append(trial.commit(define(ChaincodeDefinition("strict", "1", validation_parameter=strict))))
    both = RWSetBuilder()
    both.add_write("strict", "k", b"v")
    both.add_write(CHAINCODE, "k", b"v")
    tampered = endorsed(b"")
    tampered.payload += b"\x18\x01"
    codes.append(
        trial.commit(
            _write(trial, "p", b"1", endorsers=[ORG1.node]),
            _write(trial, "p", b"1", endorsers=[ORG1.client, ORG2.client]),
            _write(trial, "p", b"1", endorsers=[ORG1.node, ORG2.node, ORG3.node]),
            endorsed(both.serialize()),
            endorsed(both.serialize(), endorsers=[ORG1.node, ORG2.node, ORG3.node]),
            tampered,
            endorsed(b""),
            endorsed(b"", version=""),
            # all three endorse: Fabric checks the namespaces in Go's random order, so only one may fail
            endorsed(both.serialize(), chaincode="ghost", endorsers=[ORG1.node, ORG2.node, ORG3.node]),
            endorsed(b"", events=event("Alien", "other")),
            endorsed(b"\xff"),
            define(ChaincodeDefinition("strict", "2")),
            endorsed(b"", channel="elsewhere"),
            common_pb2.Envelope(payload=b"\xff", signature=b"s"),
        )
    )
    # Approvals: hashes in an organisation's own collection, which its peer endorses alone.
    for organization in (ORG2, ORG1):
        first, second = _approve(trial, organization, b"1"), _approve(trial, organization, b"2")
        codes.append(trial.commit(first, second, _approve(trial, organization, b"", endorser=ORG3.node)))
    codes.append(trial.commit(_approve(trial, ORG2, b"")))
    # What deletes a key that is not there; what does nothing.
    codes.append(trial.commit(_write(trial, "absent", b""), endorsed(b"", creator=ORG3.admin)))
    return codes


def _at_random(trial: LedgerOnTrial) -> list[list[int]]:
    """Commits 25 blocks of transactions that read, scan and write few keys, many of them stale by then."""
    dice = random.Random(7)
    keys = [f"r{i}" for i in range(8)]
    waiting: list[common_pb2.Envelope] = []
    codes = []
    for _ in range(25):
        for _ in range(dice.randint(1, 6)):
            with trial.simulate() as simulator:
                for key in dice.sample(keys, dice.randint(0, 2)):
                    simulator.get_state(CHAINCODE, key)
                if dice.random() < 0.4:
                    start, end = sorted(dice.choices(keys, k=2))
                    simulator.get_state_by_range(CHAINCODE, start, end).respond("1")
                if dice.random() < 0.2:
                    simulator.get_state_by_range_with_pagination(CHAINCODE, dice.choice(keys), "s", 2, "").respond("1")
                else:
                    for key in dice.sample(keys, dice.randint(0, 3)):
                        simulator.put_state(CHAINCODE, key, dice.choice([b"", b"v", b"w" * 300]))
                waiting.append(endorsed(simulator.results()))
        dice.shuffle(waiting)
        size = dice.randint(1, len(waiting))
        batch, waiting = waiting[:size], waiting[size:]
        codes.append(trial.commit(*batch))
    assert {code for block in codes for code in block} == {0, 11, 12}
    return codes


def _genesis(port: int) -> common_pb2.Block:
    return genesis_block(
        CHANNEL,
        [ORG1, ORG2, ORG3],
        ORDERER,
        orderer_address=("localhost", port),
        anchor_peers={org.msp_id: ("localhost", 1) for org in (ORG1, ORG2, ORG3)},
    )


@pytest.mark.timeout(120)
def test_a_real_peer_stores_every_block_byte_for_byte(tmp_path: Path) -> None:
    asyncio.run(_compare_with_a_real_peer(tmp_path))


async def _compare_with_a_real_peer(directory: Path) -> None:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    credentials = grpc.ssl_server_credentials([(ORDERER.tls.private_key_pem, ORDERER.tls.certificate_pem)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    ledger = KVLedger.open(None, CHANNEL)
    ledger.commit(_genesis(port), [0])
    config_block = ledger.block(0)
    assert config_block is not None
    trial = LedgerOnTrial(ledger, ChannelConfig.from_block(config_block))
    codes = [trial.commit(define(ChaincodeDefinition(CHAINCODE, "1.0"))), *_fill(trial), *_at_random(trial)]
    assert {code for block in codes for code in block} == {0, 2, 4, 9, 10, 11, 12, 22, 25, 255}

    committer = Committer(ledger, trial.validator)
    orderer = Orderer(trial.config, ledger, committer, ORDERER.node)
    await orderer.start()
    channel = Channel(
        config=trial.config,
        ledger=ledger,
        definitions=Definitions(ledger),
        committer=committer,
        orderer=orderer,
        orderer_address=f"localhost:{port}",
        orderer_msp_id=ORDERER.msp_id,
        faults=Faults(),
    )
    acl = ACL(trial.config, ORDERER.msp_id, SignatureCache(trial.config.msps))
    deliver = orderer_deliver(channel, ORDERER.msp_id, lambda signed: acl.check_policy("/Channel/Readers", signed))
    ab_pb2_grpc.add_AtomicBroadcastServicer_to_server(AtomicBroadcastService(orderer, deliver), server)
    await server.start()

    def compare() -> None:
        with running_peer(ORG1, directory / "peer") as peer:
            genesis = common_pb2.Block.FromString(config_block.SerializeToString())
            genesis.metadata.metadata[2] = b""
            peer.join(genesis.SerializeToString())
            for number in range(ledger.height):
                assert peer.block(CHANNEL, number).SerializeToString() == ledger.block_bytes(number), (
                    f"block {number}: {codes[number - 1]}"
                )

    try:
        await asyncio.to_thread(compare)
    finally:
        await server.stop(0)
        await orderer.stop()
        await committer.close()
        ledger.close()
