"""The ledger: hashes recomputed here from Fabric's specification, queries, restarts."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, define, endorsed, genesis, organizations, populate
from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2, transaction_pb2

from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition, implicit_collection
from fabric_fl.fabric.ledger.commithash import update_bytes
from fabric_fl.fabric.ledger.kvledger import InvalidBlock, KVLedger, orderer_view
from fabric_fl.fabric.ledger.rwset import Height, TxRWSet
from fabric_fl.fabric.ledger.simulator import SimulationError
from fabric_fl.fabric.ledger.statedb import Update, UpdateBatch


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def _header_hash(header: common_pb2.BlockHeader) -> bytes:
    number = header.number
    digits = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
    if digits[0] & 0x80:
        digits = b"\0" + digits
    body = _der(0x02, digits) + _der(0x04, header.previous_hash) + _der(0x04, header.data_hash)
    return hashlib.sha256(_der(0x30, body)).digest()


def _varint(number: int) -> bytes:
    out = b""
    while True:
        low, number = number & 0x7F, number >> 7
        if number == 0:
            return out + bytes([low])
        out += bytes([low | 0x80])


def _length_delimited(number: int, content: bytes) -> bytes:
    return _varint(number * 8 + 2) + _varint(len(content)) + content


def _order_preserving(number: int) -> bytes:
    digits = number.to_bytes(8, "big").lstrip(b"\0")
    return bytes([len(digits)]) + digits


def _rwset_of(envelope: bytes) -> TxRWSet:
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(envelope).payload)
    action = transaction_pb2.Transaction.FromString(payload.data).actions[0]
    endorsed_action = transaction_pb2.ChaincodeActionPayload.FromString(action.payload).action
    response = proposal_response_pb2.ProposalResponsePayload.FromString(endorsed_action.proposal_response_payload)
    return TxRWSet.parse(proposal_pb2.ChaincodeAction.FromString(response.extension).results)


def _commit_hash(block: common_pb2.Block, previous: bytes) -> bytes:
    flags = block.metadata.metadata[2]
    last: dict[tuple[str, bytes], tuple[bytes, int]] = {}
    for index, envelope in enumerate(block.data.data):
        if flags[index] == 0:
            for part in _rwset_of(envelope).namespaces:
                for write in part.kv.writes:
                    last[part.namespace, write.key.encode()] = (write.value, index)
    updates, namespace = b"", ""
    for name, key in sorted(last):
        value, index = last[name, key]
        entry = _length_delimited(1, name.encode()) if name != namespace else b""
        entry += _length_delimited(3, key)
        entry += _length_delimited(5, value) if value else bytes([4 * 8, 1])
        entry += _length_delimited(6, _order_preserving(block.header.number) + _order_preserving(index))
        updates += _length_delimited(1, entry)
        namespace = name
    return hashlib.sha256(_varint(len(flags)) + flags + updates + previous).digest()


def test_headers_data_and_commits_are_hashed_as_the_specification_says(trial: LedgerOnTrial) -> None:
    populate(trial)
    previous_header, previous_commit = b"", b""
    for number in range(trial.ledger.height):
        block = trial.ledger.block(number)
        assert block is not None
        assert block.header.number == number
        assert block.header.previous_hash == previous_header
        assert block.header.data_hash == hashlib.sha256(b"".join(block.data.data)).digest()
        stored = common_pb2.Metadata.FromString(block.metadata.metadata[4]).value
        if number == 0:
            assert stored == b""
        else:
            previous_commit = _commit_hash(block, previous_commit)
            assert stored == previous_commit
        previous_header = _header_hash(block.header)
    assert number > 256
    assert trial.ledger.chain_info().currentBlockHash == previous_header


def test_updates_are_encoded_as_fabric_does() -> None:
    # Printed by Fabric 3.1.5's deterministicBytesForPubAndHashUpdates for these updates.
    expected = bytes.fromhex(
        "0a160a036e73311a030063002a01783207030111700201000a0e1a04676f6e6520013204010101020a130a036e73321a026b312a027631"
        "320402012c000a0e1a026b322a0276323204010101010a1c1205636f6c6c411a08686173686b6579322a036876323204010101040a121a"
        "08686173686b65793320013204010101050a1c1205636f6c6c421a08686173686b6579312a036876313204010101030a210a036e733312"
        "05636f6c6c411a08686173686b6579322a03687632320401010104"
    )
    updates = UpdateBatch()
    for namespace, collection, key, value, height in (
        ("ns2", "", b"k2", b"v2", Height(1, 1)),
        ("ns2", "", b"k1", b"v1", Height(300, 0)),
        ("ns1", "", b"gone", None, Height(1, 2)),
        ("ns1", "", b"\x00c\x00", b"x", Height(70000, 256)),
        ("ns2", "collB", b"hashkey1", b"hv1", Height(1, 3)),
        ("ns2", "collA", b"hashkey2", b"hv2", Height(1, 4)),
        ("ns2", "collA", b"hashkey3", None, Height(1, 5)),
        ("ns3", "collA", b"hashkey2", b"hv2", Height(1, 4)),
    ):
        updates.put(namespace, collection, key, Update(value, height))
    assert update_bytes(updates) == expected


def test_a_block_has_five_metadata_entries_of_which_the_orderer_has_one(trial: LedgerOnTrial) -> None:
    trial.put({"a": b"1"})
    block = trial.ledger.block(2)
    assert block is not None
    signatures, last_config, flags, orderer, commit_hash = block.metadata.metadata
    assert (last_config, flags, orderer) == (b"", b"\0", b"")
    assert len(common_pb2.Metadata.FromString(commit_hash).value) == 32
    view = orderer_view(block)
    assert list(view.metadata.metadata) == [signatures, b"", b"", b"", b""]
    assert view.data == block.data
    assert block.metadata.metadata[2] == b"\0"  # the view is a copy


def test_the_orderer_signs_value_signature_header_and_block_header(trial: LedgerOnTrial) -> None:
    trial.put({"a": b"1"})
    block = trial.ledger.block(2)
    assert block is not None
    metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
    assert common_pb2.OrdererBlockMetadata.FromString(metadata.value).last_config.index == 0
    (signature,) = metadata.signatures
    orderer = organizations()[3].node
    assert common_pb2.SignatureHeader.FromString(signature.signature_header).creator == orderer.serialize()
    header = block.header
    number, previous, data = header.number.to_bytes(1, "big"), header.previous_hash, header.data_hash
    der = _der(0x30, _der(0x02, number) + _der(0x04, previous) + _der(0x04, data))
    assert orderer.identity.verify(metadata.value + signature.signature_header + der, signature.signature)


def test_envelopes_are_stored_as_they_came(trial: LedgerOnTrial) -> None:
    envelope = endorsed(b"").SerializeToString()
    with_unknown_field = envelope + b"\xfa\x3f\x03abc"
    trial.commit(with_unknown_field)
    block = trial.ledger.block(2)
    assert block is not None
    assert list(block.data.data) == [with_unknown_field]


def test_blocks_are_found_by_number_hash_and_transaction(trial: LedgerOnTrial) -> None:
    committed = trial.commit_block(endorsed(b""), endorsed(b"", endorsers=[organizations()[0].node]))
    assert [status.code for status in committed.statuses] == [0, 10]
    good, bad = committed.statuses
    ledger = trial.ledger
    assert ledger.block_bytes(2) == committed.data
    assert ledger.block_by_hash(_header_hash(committed.block.header)) == committed.block
    assert ledger.block_by_tx_id(bad.tx_id) == committed.block
    assert ledger.tx_status(bad.tx_id) == bad
    processed = ledger.transaction(bad.tx_id)
    assert processed is not None
    assert processed.validationCode == 10
    assert processed.transactionEnvelope.SerializeToString() == committed.block.data.data[1]
    assert (good.block, good.index, bad.index) == (2, 0, 1)
    for nothing in (
        ledger.block(3), ledger.block_by_hash(b"x"), ledger.block_by_tx_id("x"), ledger.transaction("x"),
        ledger.tx_status("x"),
    ):  # fmt: skip
        assert nothing is None
    config = ledger.last_config_block()
    assert config is not None
    assert config.header.number == 0


def test_of_a_transaction_that_came_twice_the_first_counts(trial: LedgerOnTrial) -> None:
    envelope = endorsed(b"")
    first = trial.commit_block(envelope).statuses[0]
    assert trial.commit_block(envelope).statuses[0].code == 9
    assert trial.ledger.tx_status(first.tx_id) == first


def test_chain_info_names_the_last_two_blocks(trial: LedgerOnTrial) -> None:
    info, tip = trial.ledger.chain_info(), trial.ledger.block(1)
    assert tip is not None
    assert (info.height, info.previousBlockHash) == (2, tip.header.previous_hash)
    assert info.currentBlockHash == _header_hash(tip.header) == trial.ledger.tip_hash


@pytest.mark.parametrize("spoil", ["number", "previous_hash", "data_hash", "codes"])
def test_a_block_that_does_not_continue_the_chain_is_refused(trial: LedgerOnTrial, spoil: str) -> None:
    block, codes = trial.block([endorsed(b"")]), [0]
    if spoil == "number":
        block.header.number += 1
    elif spoil == "codes":
        codes = []
    else:
        setattr(block.header, spoil, b"\0" * 32)
    with pytest.raises(InvalidBlock):
        trial.ledger.commit(block, codes)
    assert trial.ledger.height == 2
    assert trial.commit(endorsed(b"")) == [0]


def test_a_restart_finds_everything_and_goes_on(tmp_path: Path) -> None:
    trial = LedgerOnTrial.open(tmp_path)
    populate(trial)
    before = (trial.ledger.chain_info(), trial.ledger.state_hash())
    trial.close()
    again = LedgerOnTrial.open(tmp_path)
    assert (again.ledger.chain_info(), again.ledger.state_hash()) == before
    assert again.put({"a": b"after"}) == [0]
    last = again.ledger.block(again.ledger.height - 1)
    previous = again.ledger.block(again.ledger.height - 2)
    assert last is not None
    assert previous is not None
    stored = common_pb2.Metadata.FromString(previous.metadata.metadata[4]).value
    assert common_pb2.Metadata.FromString(last.metadata.metadata[4]).value == _commit_hash(last, stored)
    again.close()


def test_rebuilding_from_blocks_gives_the_same_state_history_and_index(tmp_path: Path) -> None:
    trial = LedgerOnTrial.open(tmp_path)
    populate(trial)
    database = tmp_path / "ledger.sqlite3"

    def tables() -> list[list[tuple[object, ...]]]:
        with sqlite3.connect(database) as connection:
            rows = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("history", "transactions")]
        connection.close()
        return rows

    before, state = tables(), trial.ledger.state_hash()
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM state")
        connection.execute("DELETE FROM history WHERE block > 100")
        connection.execute("UPDATE transactions SET code = 0")
    connection.close()
    assert trial.ledger.state_hash() != state
    trial.ledger.rebuild_state()
    assert trial.ledger.state_hash() == state
    assert tables() == before
    trial.close()


def test_a_full_disk_changes_nothing_and_the_block_can_be_written_later(tmp_path: Path) -> None:
    trial = LedgerOnTrial.open(tmp_path)
    with trial.simulate() as simulator:
        simulator.put_state(CHAINCODE, "a", b"x" * 100_000)
        block = trial.block([endorsed(simulator.results())])
    writer = trial.ledger._database.writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages + 10}")  # 40 kB more, and SQLite's disk is full
    for _ in range(2):
        with pytest.raises(sqlite3.Error, match="disk is full"):
            trial.ledger.commit(block, [0])
        assert trial.ledger.height == 2
        assert trial.ledger.block(2) is None
        with trial.simulate() as simulator:
            assert simulator.get_state(CHAINCODE, "a") is None
    writer.execute(f"PRAGMA max_page_count={2**30}")
    assert [status.code for status in trial.ledger.commit(block, [0]).statuses] == [0]
    trial.ledger.verify_chain()
    trial.close()


class TestPrivateWrites:
    """Only an organisation's approvals are private on devnet."""

    COLLECTION = implicit_collection("Org1MSP")

    def _approve(self, trial: LedgerOnTrial, offered: bytes | None = None) -> list[int]:
        with trial.simulate() as simulator:
            simulator.put_private_data("_lifecycle", self.COLLECTION, "k", b"secret")
            envelope = endorsed(simulator.results(), chaincode="_lifecycle", version="syscc")
            private = simulator.private_results()
        header = common_pb2.Payload.FromString(envelope.payload).header.channel_header
        tx_id = common_pb2.ChannelHeader.FromString(header).tx_id
        assert private is not None
        trial.ledger.put_transient(tx_id, private if offered is None else offered)
        return trial.commit(envelope)

    def test_the_value_arrives_with_its_transaction_and_is_not_in_the_block(self, trial: LedgerOnTrial) -> None:
        assert self._approve(trial) == [0]
        with trial.simulate() as simulator:
            assert simulator.get_private_data("_lifecycle", self.COLLECTION, "k") == b"secret"
            digest = simulator.get_private_data_hash("_lifecycle", self.COLLECTION, "k")
        assert digest == hashlib.sha256(b"secret").digest()
        data = trial.ledger.block_bytes(2)
        assert data is not None
        assert b"secret" not in data
        assert digest in data

    def test_a_value_that_is_not_the_transaction_s_is_not_taken(self, trial: LedgerOnTrial) -> None:
        with trial.simulate() as simulator:
            simulator.put_private_data("_lifecycle", self.COLLECTION, "k", b"other")
            other = simulator.private_results()
        assert self._approve(trial, other) == [0]
        with trial.simulate() as simulator, pytest.raises(SimulationError, match="not available"):
            simulator.get_private_data("_lifecycle", self.COLLECTION, "k")

    def test_a_rebuild_keeps_what_no_block_holds(self, trial: LedgerOnTrial) -> None:
        self._approve(trial)
        trial.ledger.rebuild_state()
        with trial.simulate() as simulator:
            assert simulator.get_private_data("_lifecycle", self.COLLECTION, "k") == b"secret"


def test_block_one_defines_a_chaincode_in_fabric_s_keys(trial: LedgerOnTrial) -> None:
    with trial.ledger.snapshot() as snapshot:
        found = dict(snapshot.range("_lifecycle", "", ""))
    assert {key: value.version for key, value in found.items()} == dict.fromkeys(
        [
            f"namespaces/fields/{CHAINCODE}/Collections",
            f"namespaces/fields/{CHAINCODE}/EndorsementInfo",
            f"namespaces/fields/{CHAINCODE}/Sequence",
            f"namespaces/fields/{CHAINCODE}/ValidationInfo",
            f"namespaces/metadata/{CHAINCODE}",
        ],
        Height(1, 0),
    )
    # StateData{Int64: 1}; StateMetadata{"ChaincodeDefinition", the four fields}; an empty, but present, Bytes.
    assert found[f"namespaces/fields/{CHAINCODE}/Sequence"].value == b"\x08\x01"
    assert found[f"namespaces/fields/{CHAINCODE}/Collections"].value == b"\x12\x00"
    assert found[f"namespaces/metadata/{CHAINCODE}"].value == (
        b"\x0a\x13ChaincodeDefinition\x12\x08Sequence\x12\x0fEndorsementInfo\x12\x0eValidationInfo\x12\x0bCollections"
    )
    info = b"\x0a\x031.0\x1a\x04escc"
    assert found[f"namespaces/fields/{CHAINCODE}/EndorsementInfo"].value == b"\x12" + bytes([len(info)]) + info


def test_the_channel_begins_with_the_genesis_block_as_it_is(trial: LedgerOnTrial) -> None:
    original, stored = common_pb2.Block.FromString(genesis()), trial.ledger.block(0)
    assert stored is not None
    assert stored.header == original.header
    assert stored.data == original.data
    assert list(stored.metadata.metadata) == [*original.metadata.metadata[:2], b"\0", b"", b""]


def test_two_ledgers_given_the_same_blocks_are_the_same(trial: LedgerOnTrial) -> None:
    populate(trial)
    trial.commit(define(ChaincodeDefinition("second", "1")))
    copy = LedgerOnTrial(KVLedger.open(None, CHANNEL), trial.config)
    copy.ledger.commit(common_pb2.Block.FromString(genesis()), [0])
    for number in range(1, trial.ledger.height):
        block = trial.ledger.block(number)
        assert block is not None
        received = orderer_view(block)
        copy.ledger.commit(received, copy.validator.validate(received))
        assert copy.ledger.block_bytes(number) == trial.ledger.block_bytes(number)
    assert copy.ledger.state_hash() == trial.ledger.state_hash()
    copy.close()
