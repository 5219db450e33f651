"""A channel for tests of devnet's ledger: real keys, real signatures, endorsements of whatever a test wants."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, proposal_response_pb2

from fabric_fl.devnet.genesis import genesis_block
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition, definition_transaction
from fabric_fl.fabric.channel.txvalidator import TxValidator
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.kvledger import CommittedBlock, KVLedger
from fabric_fl.fabric.ledger.simulator import TxSimulator
from fabric_fl.fabric.protoutil import (
    create_chaincode_proposal,
    create_tx,
    endorse,
    new_block,
    proposal_response_payload,
    sign_block,
    sign_envelope,
    unpack_proposal,
)

CHANNEL = "fl"
CHAINCODE = "asset"
KEYS_VARIABLE = "DEVNET_TEST_KEYS"


@functools.cache
def organizations() -> tuple[Organization, ...]:
    """Returns three peer organisations and the orderer's, made once.

    With DEVNET_TEST_KEYS they are kept in that directory, for tests that start a process again.
    """
    return (
        *[_organization(f"org{number}", f"Org{number}MSP") for number in (1, 2, 3)],
        _organization("orderer", "OrdererMSP", "orderer"),
    )


def _organization(name: str, msp_id: str, node_role: str = "peer") -> Organization:
    kept = os.environ.get(KEYS_VARIABLE)
    folder = Path(kept) / name if kept else None
    if folder is not None and (folder / "organization.json").exists():
        return Organization.load(folder)
    organization = Organization.create(name, msp_id, node_role=node_role)
    if folder is not None:
        organization.save(folder)
    return organization


@functools.cache
def genesis() -> bytes:
    org1, org2, org3, orderer = organizations()
    block = genesis_block(
        CHANNEL,
        [org1, org2, org3],
        orderer,
        orderer_address=("localhost", 7050),
        anchor_peers={org.msp_id: ("localhost", 7051) for org in (org1, org2, org3)},
    )
    data: bytes = block.SerializeToString()
    return data


def endorsed(
    results: bytes,
    *,
    creator: SigningIdentity | None = None,
    endorsers: Sequence[SigningIdentity] | None = None,
    chaincode: str = CHAINCODE,
    version: str = "1.0",
    channel: str = CHANNEL,
    events: bytes = b"",
    nonce: bytes | None = None,
) -> common_pb2.Envelope:
    """Returns a signed transaction with the results, endorsed by two organisations unless told otherwise."""
    org1, org2, *_ = organizations()
    creator = creator or org1.client
    proposal, _ = create_chaincode_proposal(channel, chaincode, ["invoke"], creator.serialize(), nonce=nonce)
    response = proposal_response_pb2.Response(status=200)
    payload = proposal_response_payload(
        unpack_proposal(proposal.SerializeToString()).hash,
        response,
        results,
        events,
        chaincode_pb2.ChaincodeID(name=chaincode, version=version),
    )
    responses = [
        proposal_response_pb2.ProposalResponse(
            version=1, response=response, payload=payload, endorsement=endorse(payload, endorser)
        )
        for endorser in ((org1.node, org2.node) if endorsers is None else endorsers)
    ]
    return sign_envelope(create_tx(proposal, responses), creator)


def event(name: str, chaincode: str = CHAINCODE) -> bytes:
    data: bytes = chaincode_event_pb2.ChaincodeEvent(chaincode_id=chaincode, event_name=name).SerializeToString()
    return data


@dataclass
class LedgerOnTrial:
    """A ledger with the chaincode ``asset`` defined, and the orderer that feeds it."""

    ledger: KVLedger
    config: ChannelConfig
    validator: TxValidator = field(init=False)

    def __post_init__(self) -> None:
        self.validator = TxValidator(self.config, self.ledger)

    @classmethod
    def open(cls, directory: Path | None = None, *, policy: bytes | None = None) -> LedgerOnTrial:
        ledger = KVLedger.open(directory, CHANNEL)
        if ledger.height == 0:
            ledger.commit(common_pb2.Block.FromString(genesis()), [0])
        block = ledger.block(0)
        assert block is not None
        trial = cls(ledger, ChannelConfig.from_block(block))
        if ledger.height == 1:
            definition = ChaincodeDefinition(CHAINCODE, "1.0")
            if policy is not None:
                definition = ChaincodeDefinition(CHAINCODE, "1.0", validation_parameter=policy)
            assert trial.commit(define(definition)) == [0]
        return trial

    def block(self, envelopes: Iterable[common_pb2.Envelope | bytes]) -> common_pb2.Block:
        data = [each if isinstance(each, bytes) else each.SerializeToString() for each in envelopes]
        block = new_block(self.ledger.height, self.ledger.tip_hash, data)
        sign_block(block, organizations()[3].node, last_config=0)
        return block

    def commit_block(self, *envelopes: common_pb2.Envelope | bytes) -> CommittedBlock:
        block = self.block(envelopes)
        return self.ledger.commit(block, self.validator.validate(block))

    def commit(self, *envelopes: common_pb2.Envelope | bytes) -> list[int]:
        """Commits a block; returns the validation codes."""
        return [status.code for status in self.commit_block(*envelopes).statuses]

    def simulate(self) -> TxSimulator:
        return self.ledger.new_simulator("tx")

    def put(self, values: dict[str, bytes], namespace: str = CHAINCODE) -> list[int]:
        with self.simulate() as simulator:
            for key, value in values.items():
                simulator.put_state(namespace, key, value)
            return self.commit(endorsed(simulator.results()))

    def close(self) -> None:
        self.ledger.close()


def populate(trial: LedgerOnTrial) -> None:
    """Commits blocks with writes, deletes, conflicts, refusals, duplicates and an empty transaction."""
    trial.put({"a": b"1", "b": b"1", "\x00c\x00": b"x" * 300})
    trial.put({"a": b""})
    with trial.simulate() as simulator:
        simulator.get_state(CHAINCODE, "b")
        simulator.put_state(CHAINCODE, "b", b"2")
        results = simulator.results()
    first, stale = endorsed(results), endorsed(results)
    refused = endorsed(results, endorsers=[organizations()[0].node])
    assert trial.commit(first, stale, refused, first, endorsed(b"")) == [0, 11, 10, 9, 0]
    for i in range(300):  # so that block numbers need two bytes
        trial.put({"a": str(i).encode()})
    trial.put({"a": b"", "z": b"last"})


# What follows is written from the specification, with none of the program's own encoders.


def define(definition: ChaincodeDefinition) -> bytes:
    org1, org2, *_ = organizations()
    return definition_transaction(CHANNEL, definition, org1.admin, [org1.node, org2.node])
