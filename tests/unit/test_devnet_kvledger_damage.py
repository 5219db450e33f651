"""A ledger that was damaged while nobody looked is found out when it is opened, or rebuilt."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
from devnet_ledgers import CHANNEL, LedgerOnTrial

from fabric_fl.fabric.ledger.kvledger import KVLedger, LedgerCorrupt


def _damage(directory: Path, statement: str, *arguments: object) -> None:
    with sqlite3.connect(directory / "ledger.sqlite3") as connection:
        connection.execute("UPDATE meta SET value = 0 WHERE name = 'closed'")  # as after a crash
        connection.execute(statement, arguments)
    connection.close()


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    trial = LedgerOnTrial.open(tmp_path)
    for i in range(3):
        trial.put({"a": str(i).encode()})
    trial.close()
    return tmp_path


def test_a_crashed_ledger_that_is_whole_opens(closed: Path) -> None:
    _damage(closed, "UPDATE meta SET value = 0 WHERE name = 'closed'")
    ledger = KVLedger.open(closed, CHANNEL)
    assert ledger.height == 5
    ledger.close()


def test_a_changed_transaction_is_found_when_opening_after_a_crash(closed: Path) -> None:
    ledger = KVLedger.open(closed, CHANNEL)
    block = ledger.block(2)
    ledger.close()
    assert block is not None
    envelope = bytearray(block.data.data[0])
    envelope[-1] ^= 1
    block.data.data[0] = bytes(envelope)
    _damage(closed, "UPDATE blocks SET data = ? WHERE number = 2", block.SerializeToString())
    with pytest.raises(LedgerCorrupt, match="block 2: its transactions"):
        KVLedger.open(closed, CHANNEL)


def test_a_changed_header_is_found(closed: Path) -> None:
    ledger = KVLedger.open(closed, CHANNEL)
    block = ledger.block(4)
    ledger.close()
    assert block is not None
    block.data.data[0] = b"another"
    block.header.data_hash = hashlib.sha256(b"another").digest()
    _damage(closed, "UPDATE blocks SET data = ? WHERE number = 4", block.SerializeToString())
    with pytest.raises(LedgerCorrupt, match="block 4: its header has been changed"):
        KVLedger.open(closed, CHANNEL)


def test_a_missing_block_is_found(closed: Path) -> None:
    _damage(closed, "DELETE FROM blocks WHERE number = 2")
    with pytest.raises(LedgerCorrupt, match="block 2 is missing"):
        KVLedger.open(closed, CHANNEL)


def test_changed_flags_do_not_survive_a_rebuild(closed: Path) -> None:
    ledger = KVLedger.open(closed, CHANNEL)
    block = ledger.block(3)
    assert block is not None
    block.metadata.metadata[2] = b"\x0a"
    _damage(closed, "UPDATE blocks SET data = ? WHERE number = 3", block.SerializeToString())
    state = ledger.state_hash()
    with pytest.raises(LedgerCorrupt, match="block 3: its updates do not give its commit hash"):
        ledger.rebuild_state()
    assert ledger.state_hash() == state
    ledger.close()


def test_another_channel_s_ledger_is_refused(closed: Path) -> None:
    with pytest.raises(LedgerCorrupt, match="channel 'fl', not of 'other'"):
        KVLedger.open(closed, "other")
