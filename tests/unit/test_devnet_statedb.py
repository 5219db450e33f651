"""World state in SQLite: order, snapshots, and who may have the file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fabric_fl.fabric.ledger.database import Database, LedgerCorrupt, LedgerInUse
from fabric_fl.fabric.ledger.rwset import Height
from fabric_fl.fabric.ledger.statedb import PUBLIC, HistoryDB, Snapshot, StateDB, Update, UpdateBatch


@pytest.fixture(params=["disk", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path):
    database = Database(tmp_path if request.param == "disk" else None)
    yield database
    database.close()


def _write(database: Database, values: dict[bytes, bytes | None], block: int = 1, namespace: str = "cc") -> None:
    batch = UpdateBatch()
    for index, (key, value) in enumerate(values.items()):
        batch.put(namespace, PUBLIC, key, Update(value, Height(block, index)))
    with database.transaction() as connection:
        StateDB(connection).apply(batch)


def test_a_value_comes_back_with_the_version_that_wrote_it(database: Database) -> None:
    _write(database, {b"a": b"1", b"b": b"2"}, block=7)
    with Snapshot(database) as snapshot:
        assert snapshot.get("cc", "b") == (b"2", Height(7, 1))
        assert snapshot.get("cc", "c") is None
        assert snapshot.get("other", "b") is None


def test_a_delete_leaves_nothing(database: Database) -> None:
    _write(database, {b"a": b"1"})
    _write(database, {b"a": None}, block=2)
    with Snapshot(database) as snapshot:
        assert snapshot.get("cc", "a") is None
        assert list(snapshot.range("cc", "", "")) == []


def test_ranges_are_in_byte_order_with_the_start_and_without_the_end(database: Database) -> None:
    keys = ["\x00asset\x00red\x00", "a", "b", "b\x00", "ba", "\uffff", "\U00010000"]
    _write(database, {key.encode(): b"v" for key in reversed(keys)})
    with Snapshot(database) as snapshot:
        assert [key for key, _ in snapshot.range("cc", "", "")] == keys
        assert [key for key, _ in snapshot.range("cc", "b", "\uffff")] == ["b", "b\x00", "ba"]
        assert [key for key, _ in snapshot.range("cc", "b", "b")] == []
        assert [key for key, _ in snapshot.range("cc", "z", "a")] == []


def test_a_range_does_not_leave_its_namespace(database: Database) -> None:
    _write(database, {b"x": b"1"}, namespace="cc")
    _write(database, {b"x": b"2"}, namespace="cc2")
    _write(database, {b"x": b"3"}, namespace="c")
    with Snapshot(database) as snapshot:
        assert [value.value for _, value in snapshot.range("cc", "", "")] == [b"1"]


def test_several_snapshots_keep_what_each_saw_while_blocks_are_written(database: Database) -> None:
    _write(database, {b"k": b"1"})
    first = Snapshot(database)
    _write(database, {b"k": b"2", b"new": b"x"}, block=2)
    second = Snapshot(database)
    _write(database, {b"k": None}, block=3)
    with Snapshot(database) as third:
        seen = [each.get("cc", "k") for each in (first, second, third)]
    assert seen == [(b"1", Height(1, 0)), (b"2", Height(2, 0)), None]
    assert [len(list(each.range("cc", "", ""))) for each in (first, second)] == [1, 2]
    first.close()
    second.close()


def test_a_connection_that_served_an_unfinished_query_serves_a_fresh_snapshot_next(database: Database) -> None:
    _write(database, {b"a": b"1", b"b": b"1"})
    old = Snapshot(database)
    unfinished = old.range("cc", "", "")
    next(unfinished)
    old.close()
    _write(database, {b"a": b"2"}, block=2)
    with Snapshot(database) as fresh:
        assert fresh.get("cc", "a") == (b"2", Height(2, 0))


def test_a_transaction_that_fails_leaves_nothing_behind(database: Database) -> None:
    batch = UpdateBatch()
    batch.put("cc", PUBLIC, b"k", Update(b"v", Height(1, 0)))

    def fail_half_way() -> None:
        with database.transaction() as connection:
            StateDB(connection).apply(batch)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail_half_way()
    with Snapshot(database) as snapshot:
        assert snapshot.get("cc", "k") is None


def test_collections_are_kept_apart_from_public_state(database: Database) -> None:
    batch = UpdateBatch()
    batch.put("cc", "secret", b"\xff" * 32, Update(b"hash", Height(1, 0)))
    with database.transaction() as connection:
        StateDB(connection).apply(batch)
    with Snapshot(database) as snapshot:
        assert list(snapshot.range("cc", "", "")) == []
        assert snapshot.state.get("cc", b"\xff" * 32, "secret") == (b"hash", Height(1, 0))


def test_history_names_every_write_newest_first(database: Database) -> None:
    with database.transaction() as connection:
        history = HistoryDB(connection)
        history.add([("cc", b"k", Height(2, 1)), ("cc", b"k", Height(1, 5)), ("cc", b"other", Height(2, 0))])
        history.add([("cc", b"k", Height(10, 0))])
    with Snapshot(database) as snapshot:
        assert snapshot.history.newest_first("cc", b"k") == [Height(10, 0), Height(2, 1), Height(1, 5)]


def test_equal_states_have_equal_hashes_however_they_came_about(tmp_path: Path) -> None:
    def state_hash(directory: str, *writes: tuple[int, dict[bytes, bytes | None]]) -> bytes:
        database = Database(tmp_path / directory)
        for block, values in writes:
            _write(database, values, block)
        with Snapshot(database) as snapshot:
            digest = snapshot.state.hash()
        database.close()
        return digest

    direct = state_hash("direct", (3, {b"a": b"1"}))
    assert direct == state_hash("detour", (1, {b"b": b"x"}), (2, {b"b": None}), (3, {b"a": b"1"}))
    assert direct != state_hash("version", (4, {b"a": b"1"}))
    assert direct != state_hash("value", (3, {b"a": b"2"}))


def test_a_ledger_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from fabric_fl.fabric.ledger.database import Database; "
        "held = Database(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(LedgerInUse, match="another process"):
            Database(tmp_path)
    finally:
        holder.kill()
        holder.communicate()
    Database(tmp_path).close()


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"something else entirely, and more than a header's worth" * 20)
    with pytest.raises(LedgerCorrupt, match="no ledger"):
        Database(tmp_path)
    assert (tmp_path / "ledger.sqlite3").read_bytes().startswith(b"something else")


def test_an_in_memory_ledger_leaves_no_file(tmp_path: Path) -> None:
    database = Database(None)
    directory = Path(database.writer.execute("PRAGMA database_list").fetchone()[2]).parent
    assert directory.is_dir()
    database.close()
    assert not directory.exists()


def test_the_memory_of_a_killed_process_is_freed_by_the_next_one() -> None:
    abandon = (
        "import os, signal; from fabric_fl.fabric.ledger.database import Database; database = Database(None); "
        "print(database.writer.execute('PRAGMA database_list').fetchone()[2], flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    printed = subprocess.run([sys.executable, "-c", abandon], capture_output=True, text=True, check=False).stdout
    directory = Path(printed.strip()).parent
    assert directory.is_dir()
    long_ago = time.time() - 3600
    os.utime(directory, (long_ago, long_ago))
    Database(None).close()
    assert not directory.exists()
