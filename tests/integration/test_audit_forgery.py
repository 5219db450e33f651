"""Exports made by who can compute every hash anew and has some of the keys, and exports that lack something."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devnet_tasks import FOLDERS, ORGANISATIONS, Tasks, three_organisations
from fabric_protos.common import common_pb2
from forged_transactions import Transaction, insider, node, rehashed, replacing
from soaking import times

from fabric_fl.audit import archive, export, verify
from fabric_fl.audit.derived import SnapshotState
from fabric_fl.audit.execution import unexplained
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.rwset import RWSetBuilder, RWSetError, TxRWSet
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.fabric.protoutil import (
    TRANSACTIONS_FILTER,
    MalformedMessage,
    block_header_hash,
    sign_envelope,
    unpack_envelope,
    unpack_transaction,
)

CHANNEL, TASK = "fl", "task-1"
ONES = "1" * 64


@dataclass(frozen=True)
class Exported:
    """An export of a task of two rounds, and where the second was committed.

    Attributes:
        block: Number of the block that commits round 2.
        index: The transaction in it.
        creator: MSP id of who sent it.
    """

    path: Path
    files: Mapping[str, bytes]
    about: Mapping[str, Any]
    block: int
    index: int
    creator: str

    @property
    def place(self) -> str:
        return f"block {self.block}, transaction {self.index}"

    @property
    def blocks(self) -> list[bytes]:
        return [content for name, content in self.files.items() if name.startswith("blocks/")]

    def resealed(self, target: Path, blocks: list[bytes], **about: Any) -> Path:
        """Writes an export of other blocks, manifest and all."""
        rest = {name: content for name, content in self.files.items() if not name.startswith("blocks/")}
        named = {f"blocks/{number:08d}.block": data for number, data in enumerate(blocks)}
        archive.write(target, {**self.about, "height": len(blocks), **about}, named | rest)
        return target


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as running:
        running.create(TASK, rounds=2, k=2, min_updates=1, validators=["Org1MSP", "Org2MSP"])
        running.finish(TASK)
        yield running


@pytest.fixture(scope="module")
def exported(tasks: Tasks, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("export") / "task-1.tar"
    with tasks.network.gateway("org1") as gateway:
        export(gateway.network(CHANNEL), "fl", TASK, path, reader_of(tasks))
    read = archive.read(path)
    files = {name: read.content(name) for name in read.members}
    found = []
    for name in read.names("blocks")[1:]:
        block = common_pb2.Block.FromString(files[name])
        for index, data in enumerate(block.data.data):
            call = unpack_transaction(unpack_envelope(data).payload.data)
            args = [argument.decode(errors="replace") for argument in call.spec.input.args]
            if args[:3] == ["rounds:Commit", TASK, "2"] and block.metadata.metadata[TRANSACTIONS_FILTER][index] == 0:
                found.append((block.header.number, index, creator_of(data)))
    return Exported(path, files, read.about, *found[0])


def reader_of(tasks: Tasks, without: str = "") -> BlobReader:
    """Returns a reader over all stores, each without one blob."""
    stores = {}
    for msp_id in ORGANISATIONS:
        settings = ConnectionProfile.load(tasks.folder(msp_id)).participant
        stores[msp_id] = BlobStore(settings.store)
    return Lacking(without, BlobStore(tasks.folder("Org1MSP") / f"copies{without[:8]}"), stores)


class Lacking(BlobReader):
    """Stores that had to delete a blob."""

    def __init__(self, digest: str, own: BlobStore, others: Mapping[str, BlobStore]) -> None:
        super().__init__(own, others)
        self._lost = digest

    def fetch(self, digest: str, size: int, sources: Any = ()) -> Path:
        return super().fetch("f" * 64 if digest == self._lost else digest, size, sources)


def creator_of(envelope: bytes) -> str:
    identity = unpack_envelope(envelope).signature_header.creator
    return str(identity[2 : 2 + identity[1]].decode())  # the MSP id is the first field of a SerializedIdentity


def test_a_rehashed_export_of_the_same_blocks_is_the_export_itself(exported: Exported) -> None:
    assert rehashed(exported.blocks, -1, list) == exported.blocks


def test_a_record_that_was_changed_in_a_whole_rehashed_export_is_found_where_it_is(
    exported: Exported, tmp_path: Path
) -> None:
    def forge(envelope: bytes) -> bytes:
        transaction = Transaction.of(envelope)
        transaction.set_digest(ONES)
        return transaction.put_together()

    blocks = rehashed(exported.blocks, exported.block, replacing(exported.index, forge))
    found = verify(exported.resealed(tmp_path / "forged.tar", blocks))
    assert archive.read(tmp_path / "forged.tar").findings == ()
    assert (found.findings[0].what, found.findings[0].where) == ("orderer", f"block {exported.block}")
    flags = next(finding for finding in found.findings if finding.what == "flags")
    assert (flags.organisation, flags.where) == (exported.creator, exported.place)
    assert flags.message == "recorded as VALID, and is BAD_CREATOR_SIGNATURE"


CHANGES: dict[str, tuple[Callable[[Transaction], None], bool, str]] = {
    "what was written": (lambda one: one.set_digest(ONES), True, "ENDORSEMENT_POLICY_FAILURE"),
    "what was called": (Transaction.call_another_function, True, "INVALID_ENDORSER_TRANSACTION"),
    "the transaction's id": (lambda one: one.set_tx_id(ONES), True, "BAD_PROPOSAL_TXID"),
    "the creator's certificate": (Transaction.flip_creator, False, "BAD_CREATOR_SIGNATURE"),
    "the creator's signature": (Transaction.flip_signature, False, "BAD_CREATOR_SIGNATURE"),
    "an endorser's certificate": (Transaction.flip_endorser, True, "ENDORSEMENT_POLICY_FAILURE"),
    "an endorser's signature": (Transaction.flip_endorsement, True, "ENDORSEMENT_POLICY_FAILURE"),
}


@pytest.mark.parametrize(("change", "signed", "code"), CHANGES.values(), ids=CHANGES)
def test_nor_can_an_orderer_with_the_transactions_sender_change_it(
    exported: Exported,
    tasks: Tasks,
    tmp_path: Path,
    change: Callable[[Transaction], None],
    signed: bool,
    code: str,
) -> None:
    def forge(envelope: bytes) -> bytes:
        transaction = Transaction.of(envelope)
        change(transaction)
        return transaction.put_together(insider(tasks, exported.creator) if signed else None)

    forged = replacing(exported.index, forge)
    blocks = rehashed(exported.blocks, exported.block, forged, node(tasks, "orderer", "OrdererMSP"))
    found = verify(exported.resealed(tmp_path / "forged.tar", blocks))
    first = found.findings[0]
    assert (first.what, first.where) == ("flags", exported.place)
    assert first.message == f"recorded as VALID, and is {code}"
    assert first.organisation in (exported.creator, None)


@pytest.mark.soak
@pytest.mark.parametrize("signed", [False, True], ids=["with the orderer's key", "with the sender's key as well"])
def test_any_changed_byte_of_a_transaction_is_found_though_everything_was_computed_anew(
    exported: Exported, tasks: Tasks, tmp_path: Path, signed: bool, record_property
) -> None:
    random, orderer, count = np.random.default_rng(2), node(tasks, "orderer", "OrdererMSP"), 0

    def forge(envelope: bytes) -> bytes:
        outer = common_pb2.Envelope.FromString(envelope)
        payload = bytearray(outer.payload)
        payload[int(random.integers(len(payload)))] ^= 1 << int(random.integers(8))
        outer.payload = bytes(payload)
        done = sign_envelope(outer, insider(tasks, exported.creator)) if signed else outer
        return bytes(done.SerializeToString())

    while count < times(8, 300):
        try:
            blocks = rehashed(exported.blocks, exported.block, replacing(exported.index, forge), orderer)
        except (MalformedMessage, RWSetError):
            continue  # no ledger would store that as valid
        found = verify(exported.resealed(tmp_path / "forged.tar", blocks))
        assert (found.findings[0].what, found.findings[0].where) == ("flags", exported.place)
        count += 1
    record_property("count", count)


def test_arguments_that_are_no_text_are_a_finding() -> None:
    with closing(KVLedger.open(None, CHANNEL)) as ledger, ledger.snapshot() as snapshot:
        state = SnapshotState(snapshot, "fl")
        rwset = TxRWSet.parse(written("model/task-1/00000001", b"{}"))
        for args in ([b"\xff"], [], [b"rounds:Commit", b"\xff"]):
            found = unexplained(state, "fl", b"", args, rwset)
            assert found is not None
            assert "the contract refuses" in found


def written(key: str, value: bytes) -> bytes:
    builder = RWSetBuilder()
    builder.add_write("fl", key, value)
    return builder.serialize()


def test_what_all_endorsers_and_the_orderer_sign_together_is_found_by_the_contracts_rules(
    exported: Exported, tasks: Tasks, tmp_path: Path
) -> None:
    def forge(envelope: bytes) -> bytes:
        transaction = Transaction.of(envelope)
        transaction.set_digest(ONES)
        peers = [node(tasks, folder, msp_id) for msp_id, folder in FOLDERS.items()]
        return transaction.put_together(insider(tasks, exported.creator), peers)

    forged = replacing(exported.index, forge)
    blocks = rehashed(exported.blocks, exported.block, forged, node(tasks, "orderer", "OrdererMSP"))
    found = verify(exported.resealed(tmp_path / "forged.tar", blocks))
    first = found.findings[0]
    assert (first.what, first.organisation, first.where) == ("contract", exported.creator, exported.place)
    assert first.message == f"rounds:Commit wrote what the contract does not write there: model/{TASK}/00000002"
    assert [(one.number, one.identical) for one in found.rounds] == [(1, True), (2, False)]


FORGERIES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a transaction left out": lambda data: data[1:],
    "a transaction twice": lambda data: [*data, data[0]],
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_rehashed_block_of_other_transactions_is_named(
    exported: Exported, tmp_path: Path, forge: Callable[[list[bytes]], list[bytes]]
) -> None:
    blocks = rehashed(exported.blocks, exported.block, forge)
    found = verify(exported.resealed(tmp_path / "forged.tar", blocks))
    assert (found.findings[0].what, found.findings[0].where) == ("orderer", f"block {exported.block}")


def test_a_block_that_was_taken_out_of_a_rehashed_export_is_missed(exported: Exported, tmp_path: Path) -> None:
    blocks = exported.blocks
    del blocks[exported.block]
    found = verify(exported.resealed(tmp_path / "short.tar", rehashed(blocks, -1, list)))
    assert (found.findings[0].what, found.findings[0].where) == ("orderer", f"block {exported.block}")


def test_a_last_block_that_is_missing_or_cut_off_is_found(exported: Exported, tmp_path: Path) -> None:
    last = len(exported.blocks) - 1
    found = verify(exported.resealed(tmp_path / "missing.tar", exported.blocks[:-1], height=last + 1))
    assert f"there are {last} blocks and {last + 1} belong there" in {one.message for one in found.findings}

    whole = exported.blocks[-1]
    for kept in (len(whole) - 1, len(whole) // 2, 1, 0):
        blocks = [*exported.blocks[:-1], whole[:kept]]
        found = verify(exported.resealed(tmp_path / "cut.tar", blocks))
        assert (found.findings[-1].what, found.findings[-1].where) == ("chain", f"block {last}"), kept
        assert found.blocks == last


def test_an_export_that_ends_early_holds_and_says_with_which_block_it_ends(exported: Exported, tmp_path: Path) -> None:
    before = exported.blocks[: exported.block]
    found = verify(exported.resealed(tmp_path / "early.tar", before))
    header = common_pb2.Block.FromString(before[-1]).header
    assert found.tip == base64.b64encode(block_header_hash(header)).decode()
    assert found.tip != verify(exported.path).tip
    assert [one.number for one in found.rounds] == [1]


@pytest.mark.parametrize(
    "about",
    [
        {"height": -1},
        {"height": "9"},
        {"task": 1},
        {"task": "none"},
        {"channel": "other"},
        {"more": 1},
        {"schema": 9},
        {"schema": True},
        {"withheld": ["1"]},
        {"missing": [1]},
    ],
    ids=str,
)
def test_a_manifest_that_no_export_has_is_a_finding(exported: Exported, tmp_path: Path, about: dict[str, Any]) -> None:
    found = verify(exported.resealed(tmp_path / "odd.tar", exported.blocks, **about))
    assert not found.holds
    assert found.findings


def test_a_validators_export_names_the_blobs_that_have_expired_and_what_they_leave_open(
    exported: Exported, tasks: Tasks, tmp_path: Path
) -> None:
    ledger = tasks.ledgers["Org1MSP"]
    lost = next(reveal for _, reveal in ledger.updates(TASK, 1) if reveal is not None)
    path = tmp_path / "expired.tar"
    with tasks.network.gateway("org1") as gateway:
        done = export(gateway.network(CHANNEL), "fl", TASK, path, reader_of(tasks, lost.digest))
    assert (done.missing, done.withheld, done.without) == ((lost.digest,), (), "")
    assert archive.read(path).about["missing"] == [lost.digest]

    found = verify(path)
    assert found.findings == ()
    first, second = found.rounds
    assert (first.recomputed, [finding.what for finding in first.findings]) == (None, ["blob"])
    assert lost.digest in first.findings[0].message
    assert second.identical  # from the first model, which the export holds instead
    assert not found.holds
    (line,) = [line for line in run("verify", path, code=1).splitlines() if line.startswith("missing")]
    assert lost.digest[:16] in line


def test_a_blob_that_was_taken_out_of_an_export_is_missed(exported: Exported, tasks: Tasks, tmp_path: Path) -> None:
    lost = next(reveal for _, reveal in tasks.ledgers["Org1MSP"].updates(TASK, 2) if reveal is not None)
    files = {name: content for name, content in exported.files.items() if name != f"blobs/{lost.digest}"}
    archive.write(tmp_path / "lacking.tar", exported.about, files)
    first, second = verify(tmp_path / "lacking.tar").rounds
    assert first.identical
    assert lost.digest in second.findings[0].message


def run(*arguments: object, code: int = 0) -> str:
    command = [Path(sys.executable).parent / "fabric-fl", "audit", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_who_is_no_validator_exports_no_blobs_and_that_export_claims_no_more_than_the_chain(
    exported: Exported, tasks: Tasks, tmp_path: Path
) -> None:
    file, profile = tmp_path / "bare.tar", ("--profile", tasks.folder("Org3MSP"))
    said = run("export", TASK, file, *profile)
    assert f"no blobs (they are for validators, and Org3MSP validates no round of {TASK})" in said
    done = json.loads(run("export", TASK, file, *profile, "--format", "json"))
    assert (done["blobs"], done["missing"]) == (0, [])

    found = json.loads(run("verify", file, "--format", "json"))
    assert (found["holds"], found["recomputed"], found["rounds"]) == (True, False, [])
    assert [one["number"] for one in found["unchecked"]] == [1, 2]
    assert found["about"]["blobs"] is False
    lines = run("verify", file).splitlines()
    assert sum("not recomputed: the file has no blobs" in line for line in lines) == 2
    assert lines[-1].startswith("the chain holds")
    assert "0 of 2 committed rounds were recomputed" in lines[-1]
    for fingerprints in found["roots"].values():
        assert sum(fingerprints[0] in line for line in lines) == 1

    lines = run("verify", exported.path).splitlines()
    assert lines[-1].startswith("holds ")
    assert "2 of 2 committed rounds were recomputed" in lines[-1]


def test_who_strips_the_blobs_off_a_wrong_model_gets_it_called_unchecked(exported: Exported, tmp_path: Path) -> None:
    files = {name: content for name, content in exported.files.items() if not name.startswith("blobs/")}
    archive.write(tmp_path / "stripped.tar", {**exported.about, "blobs": False}, files)
    found = verify(tmp_path / "stripped.tar")
    assert (found.findings, found.rounds, [one.number for one in found.unchecked]) == ((), (), [1, 2])

    archive.write(tmp_path / "halfway.tar", {**exported.about, "blobs": False}, exported.files)
    assert {one.message for one in verify(tmp_path / "halfway.tar").findings} == {"this is no part of an export"}


def test_an_export_of_schema_1_is_verified_as_it_was(exported: Exported, tmp_path: Path) -> None:
    about = {name: value for name, value in exported.about.items() if name != "withheld"} | {"schema": 1}
    archive.write(tmp_path / "old.tar", about, exported.files)
    assert [one.identical for one in verify(tmp_path / "old.tar").rounds] == [True, True]
    archive.write(tmp_path / "mixed.tar", {**exported.about, "schema": 1}, exported.files)
    assert [one.message for one in verify(tmp_path / "mixed.tar").findings] == ["it is no manifest of an export"]


def test_an_export_that_says_it_has_blobs_and_has_none_does_not_hold(exported: Exported, tmp_path: Path) -> None:
    files = {name: content for name, content in exported.files.items() if not name.startswith("blobs/")}
    archive.write(tmp_path / "none.tar", exported.about, files)
    found = verify(tmp_path / "none.tar")
    assert [finding.what for finding in found.findings] == ["task"]
