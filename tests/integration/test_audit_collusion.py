"""Transactions that enough endorsers and the orderer make together: valid for every peer, and found by who audits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from devnet_tasks import FOLDERS, ORGANISATIONS, Tasks, three_organisations
from fabric_protos.common import common_pb2
from forged_transactions import Transaction, insider, node, rehashed

from fabric_fl.audit import Verification, archive, export, verify
from fabric_fl.audit.chain import Chain
from fabric_fl.audit.derived import SnapshotState, derived_ledger
from fabric_fl.audit.execution import unexplained
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.rwset import Height, RWSetBuilder, TxRWSet
from fabric_fl.fabric.protoutil import TRANSACTIONS_FILTER, unpack_envelope, unpack_transaction
from fl_chaincode import canonical, dispatch
from fl_chaincode.caller import Caller
from fl_chaincode.records import Entry, Round


@dataclasses.dataclass(frozen=True)
class Payment:
    """An export in which Org1MSP pays its only entry of 100 to Org2MSP.

    Attributes:
        block: Number of the block with the payment, which is its only transaction.
    """

    path: Path
    blocks: list[bytes]
    block: int
    tasks: Tasks

    @property
    def envelope(self) -> bytes:
        (data,) = common_pb2.Block.FromString(self.blocks[self.block]).data.data
        return bytes(data)

    def with_another(self, target: Path, envelope: bytes) -> Path:
        """Writes the export with a second transaction in the payment's block, all hashed and signed anew."""
        orderer = node(self.tasks, "orderer", "OrdererMSP")
        blocks = rehashed(self.blocks, self.block, lambda data: [*data, envelope], orderer)
        read = archive.read(self.path)
        files = {name: read.content(name) for name in read.members if not name.startswith("blocks/")}
        archive.write(target, read.about, {f"blocks/{n:08d}.block": data for n, data in enumerate(blocks)} | files)
        return target

    def signed(self, transaction: Transaction) -> bytes:
        """Returns it as Org1MSP sends it and the peers of Org1MSP and Org2MSP, a majority, endorse it."""
        endorsers = [node(self.tasks, FOLDERS[msp_id], msp_id) for msp_id in ORGANISATIONS[:2]]
        return transaction.put_together(insider(self.tasks, "Org1MSP"), endorsers)

    def second_payment(self) -> Transaction:
        """Returns a payment of the same entry to Org3MSP, without anything read or written."""
        transaction = Transaction.of(self.envelope)
        function, order = transaction.args
        asked = json.loads(order) | {"request_id": "pay-b", "to": "Org3MSP"}
        transaction.call(function, canonical.encode(asked))
        return transaction

    def executed(self, transaction: Transaction) -> tuple[dict[str, Height | None], dict[str, bytes | None]]:
        """Returns what the call reads, and writes, in the state before the payment."""
        with closing(KVLedger.open(None, "fl")) as ledger:
            for data in self.blocks[: self.block]:
                block = common_pb2.Block.FromString(data)
                ledger.commit(block, list(block.metadata.metadata[TRANSACTIONS_FILTER]) or [0])
            with ledger.snapshot() as snapshot:
                state = SnapshotState(snapshot, "fl")
                function, *arguments = (argument.decode() for argument in transaction.args)
                dispatch(state, Caller.from_creator(transaction.creator), function, arguments)
                found = {key: snapshot.get("fl", key) for key in state.reads}
        return {key: None if one is None else one.version for key, one in found.items()}, state.writes


@pytest.fixture(scope="module")
def payment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payment]:
    with three_organisations() as tasks:
        tasks.create("task-1")
        for msp_id in ORGANISATIONS[:2]:
            tasks.ledgers[msp_id].issue("i1", "Org1MSP", 100)
        (entry,) = tasks.ledgers["Org1MSP"].entries("Org1MSP")
        tasks.ledgers["Org1MSP"].transfer("pay-a", [entry.id], "Org2MSP", 100)
        path = tmp_path_factory.mktemp("payment") / "task-1.tar"
        with tasks.network.gateway("org1") as gateway:
            export(gateway.network("fl"), "fl", "task-1", path)
        read = archive.read(path)
        blocks = [read.content(name) for name in read.names("blocks")]
        yield Payment(path, blocks, len(blocks) - 1, tasks)


def balances(path: Path) -> dict[str, int]:
    """What the blocks give, whether or not they hold."""
    read = archive.read(path)
    with closing(Chain("fl", "fl")) as chain:
        for number, name in enumerate(read.names("blocks")):
            chain.add(number, read.content(name))
        ledger = derived_ledger(chain.ledger, "fl")
        return {msp_id: ledger.balance(msp_id) for msp_id in ORGANISATIONS}


def only_finding(found: Verification, payment: Payment) -> str:
    (finding,) = found.findings
    assert (finding.what, finding.organisation) == ("contract", "Org1MSP")
    assert finding.where == f"block {payment.block}, transaction 1"
    assert not found.holds
    return finding.message


def test_the_payment_is_the_last_block_and_holds(payment: Payment) -> None:
    call = unpack_transaction(unpack_envelope(payment.envelope).payload.data)
    assert call.spec.input.args[0] == b"tokens:Transfer"
    assert verify(payment.path).findings == ()
    assert balances(payment.path) == {"Org1MSP": 0, "Org2MSP": 100, "Org3MSP": 0}


def test_an_entry_that_is_spent_twice_in_one_block_is_found(payment: Payment, tmp_path: Path) -> None:
    transaction = payment.second_payment()
    reads, writes = payment.executed(transaction)
    results = RWSetBuilder()
    for key, value in writes.items():
        results.add_write("fl", key, value or b"")
    transaction.set_results(results.serialize())
    path = payment.with_another(tmp_path / "twice.tar", payment.signed(transaction))

    assert balances(path) == {"Org1MSP": 0, "Org2MSP": 100, "Org3MSP": 100}  # of 100 that were issued
    message = only_finding(verify(path), payment)
    assert message.startswith("tokens:Transfer was signed without what the contract reads for it: ")
    assert set(message.partition(": ")[2].split(", ")) == set(reads)


def test_nor_does_it_help_to_record_all_reads_but_that_of_the_entry(payment: Payment, tmp_path: Path) -> None:
    transaction = payment.second_payment()
    reads, writes = payment.executed(transaction)
    (spent,) = [key for key in reads if key.startswith(f"{Entry.PREFIX}/Org1MSP/")]
    results = RWSetBuilder()
    for key in reads.keys() - {spent}:
        results.add_read("fl", key, reads[key])
    for key, value in writes.items():
        results.add_write("fl", key, value or b"")
    transaction.set_results(results.serialize())
    path = payment.with_another(tmp_path / "twice.tar", payment.signed(transaction))
    message = only_finding(verify(path), payment)
    assert message == f"tokens:Transfer was signed without what the contract reads for it: {spent}"


def test_with_all_its_reads_the_second_payment_is_a_conflict_for_every_peer(payment: Payment, tmp_path: Path) -> None:
    transaction = payment.second_payment()
    reads, writes = payment.executed(transaction)
    results = RWSetBuilder()
    for key, version in reads.items():
        results.add_read("fl", key, version)
    for key, value in writes.items():
        results.add_write("fl", key, value or b"")
    transaction.set_results(results.serialize())
    path = payment.with_another(tmp_path / "conflict.tar", payment.signed(transaction))
    assert verify(path).findings == ()
    assert balances(path)["Org3MSP"] == 0


def test_what_a_call_of_another_chaincode_writes_among_the_contracts_records_is_found(
    payment: Payment, tmp_path: Path
) -> None:
    mint = Entry(id="1" * 64, owner="Org3MSP", amount=10**6, cause="nothing")
    transaction = payment.second_payment()
    transaction.call(*transaction.args, chaincode="_lifecycle")
    results = RWSetBuilder()
    results.add_write("fl", mint.key, mint.encode())
    transaction.set_results(results.serialize())
    path = payment.with_another(tmp_path / "minted.tar", payment.signed(transaction))
    assert balances(path)["Org3MSP"] == 10**6
    message = only_finding(verify(path), payment)
    assert message == f"_lifecycle was called, and wrote what the contract alone writes: {mint.key}"


def test_what_a_call_of_the_contract_writes_elsewhere_is_found(payment: Payment, tmp_path: Path) -> None:
    transaction = payment.second_payment()
    transaction.call(b"tokens:TotalSupply")
    results = RWSetBuilder()
    results.add_write("_lifecycle", "namespaces/fields/fl/Sequence", b"\x08\x09")
    transaction.set_results(results.serialize())
    path = payment.with_another(tmp_path / "elsewhere.tar", payment.signed(transaction))
    message = only_finding(verify(path), payment)
    assert message == "the contract was called, and _lifecycle was written, which it never writes"


@pytest.mark.parametrize(
    "call",
    [(b"records:History", b'{"key":"token/supply","size":9}'), (b"tokens:TotalSupply",)],
    ids=lambda call: call[0],
)
def test_a_query_that_was_sent_as_a_transaction_holds_and_may_write_nothing(
    payment: Payment, tmp_path: Path, call: tuple[bytes, ...]
) -> None:
    transaction = payment.second_payment()
    transaction.call(*call)
    transaction.set_results(RWSetBuilder().serialize())
    assert verify(payment.with_another(tmp_path / "asked.tar", payment.signed(transaction))).findings == ()

    results = RWSetBuilder()
    results.add_write("fl", "token/supply", b"{}")
    transaction.set_results(results.serialize())
    path = payment.with_another(tmp_path / "wrote.tar", payment.signed(transaction))
    assert only_finding(verify(path), payment) == f"{call[0].decode()} only reads, and wrote token/supply"


@pytest.mark.parametrize("changes", [{"selected": 5}, {"number": "one"}, {"status": []}], ids=str)
def test_records_of_the_wrong_kind_are_a_finding_and_stop_nobody(
    payment: Payment, tmp_path: Path, changes: dict[str, object]
) -> None:
    key = Round.key_of("task-1", 1)
    with closing(KVLedger.open(None, "fl")) as ledger:
        for data in payment.blocks:
            block = common_pb2.Block.FromString(data)
            ledger.commit(block, list(block.metadata.metadata[TRANSACTIONS_FILTER]) or [0])
        with ledger.snapshot() as snapshot:
            record = json.loads(snapshot.get("fl", key).value)
    transaction = payment.second_payment()
    transaction.call(*transaction.args, chaincode="_lifecycle")
    results = RWSetBuilder()
    results.add_write("fl", key, canonical.encode(record | changes))
    transaction.set_results(results.serialize())
    found = verify(payment.with_another(tmp_path / "odd.tar", payment.signed(transaction)))
    assert found.findings[0].where == f"block {payment.block}, transaction 1"
    assert key in found.findings[0].message
    assert not found.holds


def test_a_call_that_fails_on_records_of_the_wrong_kind_is_a_finding(payment: Payment) -> None:
    class Odd(SnapshotState):
        """A ledger on which every entry holds an amount that is text."""

        def get(self, key: str) -> bytes | None:
            value = super().get(key)
            if value is None or not key.startswith(Entry.PREFIX):
                return value
            return bytes(canonical.encode(json.loads(value) | {"amount": "100"}))

    transaction = Transaction.of(payment.envelope)
    call = unpack_transaction(unpack_envelope(payment.envelope).payload.data)
    rwset = TxRWSet.parse(call.chaincode_action.results)
    with closing(KVLedger.open(None, "fl")) as ledger:
        for data in payment.blocks[: payment.block]:
            block = common_pb2.Block.FromString(data)
            ledger.commit(block, list(block.metadata.metadata[TRANSACTIONS_FILTER]) or [0])
        with ledger.snapshot() as snapshot:
            told = [
                unexplained(state(snapshot, "fl"), "fl", transaction.creator, transaction.args, rwset)
                for state in (SnapshotState, Odd)
            ]
    assert told[0] is None
    assert told[1] is not None
    assert told[1].startswith("the contract cannot execute tokens:Transfer on the records before it: TypeError(")
