"""Conflicts: through whole blocks, and against an oracle that keeps the state in a dictionary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from devnet_ledgers import CHAINCODE, LedgerOnTrial, endorsed
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.fabric.ledger import mvcc
from fabric_fl.fabric.ledger.database import Database
from fabric_fl.fabric.ledger.rangequery import RangeQueryResults
from fabric_fl.fabric.ledger.rwset import Height, NsRWSet, RWSetBuilder, TxRWSet
from fabric_fl.fabric.ledger.statedb import PUBLIC, StateDB, Update, UpdateBatch

VALID, CONFLICT, PHANTOM = 0, 11, 12


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def _increment(trial: LedgerOnTrial, key: str = "counter") -> common_pb2.Envelope:
    with trial.simulate() as simulator:
        value = int(simulator.get_state(CHAINCODE, key) or b"0")
        simulator.put_state(CHAINCODE, key, str(value + 1).encode())
        return endorsed(simulator.results())


def _blind_write(trial: LedgerOnTrial, key: str, value: bytes) -> common_pb2.Envelope:
    with trial.simulate() as simulator:
        simulator.put_state(CHAINCODE, key, value)
        return endorsed(simulator.results())


def _count(trial: LedgerOnTrial, start: str = "", end: str = "", batches: int = 100) -> common_pb2.Envelope:
    """Returns a transaction that counts a range's keys, reading that many batches at most, and writes the number."""
    with trial.simulate() as simulator:
        iterator = simulator.get_state_by_range(CHAINCODE, start, end)
        counted = 0
        for _ in range(batches):
            response = iterator.respond("1")
            counted += len(response.results)
            if not response.has_more:
                break
        simulator.put_state(CHAINCODE, "~count", str(counted).encode())
        return endorsed(simulator.results())


def test_of_three_stale_increments_the_first_is_valid_in_one_block(trial: LedgerOnTrial) -> None:
    assert trial.commit(*[_increment(trial) for _ in range(3)]) == [VALID, CONFLICT, CONFLICT]


def test_of_three_stale_increments_the_first_is_valid_in_three_blocks(trial: LedgerOnTrial) -> None:
    stale = [_increment(trial) for _ in range(3)]
    assert [trial.commit(each) for each in stale] == [[VALID], [CONFLICT], [CONFLICT]]
    with trial.simulate() as simulator:
        assert simulator.get_state(CHAINCODE, "counter") == b"1"


def test_a_conflict_is_no_conflict_for_who_comes_after(trial: LedgerOnTrial) -> None:
    trial.put({"a": b"0", "b": b"0"})
    stale, fresh = _increment(trial, "a"), _increment(trial, "b")
    trial.put({"a": b"5"})
    assert trial.commit(stale, fresh) == [CONFLICT, VALID]


def test_blind_writes_never_conflict_and_the_last_one_stays(trial: LedgerOnTrial) -> None:
    writes = [_blind_write(trial, "k", value) for value in (b"1", b"2", b"3")]
    assert trial.commit(*writes) == [VALID, VALID, VALID]
    with trial.ledger.snapshot() as snapshot:
        assert snapshot.get(CHAINCODE, "k") == (b"3", Height(2, 2))


def test_a_key_that_was_deleted_conflicts_with_who_saw_it_and_with_who_did_not(trial: LedgerOnTrial) -> None:
    absent = _increment(trial, "k")
    trial.put({"k": b"1"})
    present = _increment(trial, "k")
    trial.put({"k": b""})
    assert trial.commit(present) == [CONFLICT]
    assert trial.commit(absent) == [VALID]


def test_a_key_deleted_earlier_in_the_block_is_a_conflict(trial: LedgerOnTrial) -> None:
    trial.put({"k": b"1"})
    assert trial.commit(_blind_write(trial, "k", b""), _increment(trial, "k")) == [VALID, CONFLICT]


@pytest.mark.parametrize("keys", [10, 250], ids=["raw reads", "Merkle summary"])
class TestPhantoms:
    @pytest.fixture
    def filled(self, trial: LedgerOnTrial, keys: int) -> LedgerOnTrial:
        trial.put({f"k{i:03d}": b"v" for i in range(0, 2 * keys, 2)})
        return trial

    def test_an_unchanged_range_is_valid(self, filled: LedgerOnTrial) -> None:
        count = _count(filled)
        filled.put({"elsewhere": b"v"}, namespace=CHAINCODE)  # before k000, so inside the open range
        assert filled.commit(count) == [PHANTOM]
        assert filled.commit(_count(filled)) == [VALID]

    def test_an_inserted_key_is_a_phantom(self, filled: LedgerOnTrial, keys: int) -> None:
        count = _count(filled, "k", "l")
        filled.put({f"k{keys - 1:03d}": b"v"})
        assert filled.commit(count) == [PHANTOM]

    def test_a_key_inserted_in_the_same_block_is_a_phantom(self, filled: LedgerOnTrial, keys: int) -> None:
        count = _count(filled, "k", "l")
        assert filled.commit(_blind_write(filled, f"k{keys - 1:03d}", b"v"), count) == [VALID, PHANTOM]

    def test_a_changed_or_deleted_key_is_a_phantom(self, filled: LedgerOnTrial) -> None:
        for value in (b"changed", b""):
            count = _count(filled, "k", "l")
            assert filled.commit(_blind_write(filled, "k004", value), count) == [VALID, PHANTOM]

    def test_keys_outside_the_range_do_not_matter(self, filled: LedgerOnTrial) -> None:
        count = _count(filled, "k", "l")
        assert filled.commit(_blind_write(filled, "j", b"v"), _blind_write(filled, "l", b"v"), count) == [0, 0, VALID]

    def test_a_key_inserted_and_deleted_again_leaves_the_range_as_it_was(self, filled: LedgerOnTrial) -> None:
        count = _count(filled, "k", "l")
        writes = [_blind_write(filled, "k001", value) for value in (b"v", b"")]
        assert filled.commit(*writes, count) == [VALID, VALID, VALID]


def test_a_range_that_was_given_up_is_protected_up_to_the_last_key_read(trial: LedgerOnTrial) -> None:
    trial.put({f"k{i:03d}": b"v" for i in range(0, 500, 2)})
    # One batch of 100, and the next key, number 100, was read ahead: k200.
    for touched, expected in (("k202", VALID), ("k201", VALID), ("k199", PHANTOM)):
        count = _count(trial, "k", "l", batches=1)
        assert trial.commit(_blind_write(trial, touched, b"new"), count) == [VALID, expected], touched
    for value in (b"new", b""):
        count = _count(trial, "k", "l", batches=1)
        # With k199 there, the key read ahead is k199 + 1 before: k198 is number 99, k199 number 100.
        assert trial.commit(_blind_write(trial, "k199", value), count) == [VALID, PHANTOM]


def test_a_tree_that_no_endorser_builds_is_a_phantom_and_no_crash(trial: LedgerOnTrial) -> None:
    builder = RWSetBuilder()
    query = kv_rwset_pb2.RangeQueryInfo(start_key="", end_key="", itr_exhausted=True)
    query.reads_merkle_hashes.max_degree = 0
    builder.add_range_query(CHAINCODE, query)
    assert trial.commit(endorsed(builder.serialize())) == [PHANTOM]


def test_a_read_conflict_is_reported_before_a_phantom(trial: LedgerOnTrial) -> None:
    trial.put({"a": b"1"})
    with trial.simulate() as simulator:
        simulator.get_state(CHAINCODE, "a")
        simulator.get_state_by_range(CHAINCODE, "", "").respond("1")
        both = endorsed(simulator.results())
    assert trial.commit(_blind_write(trial, "a", b"2"), both) == [VALID, CONFLICT]


def test_collections_conflict_by_their_hashes(trial: LedgerOnTrial) -> None:
    collection = "_implicit_org_Org1MSP"

    def approve(value: bytes) -> common_pb2.Envelope:
        with trial.simulate() as simulator:
            simulator.get_private_data_hash("_lifecycle", collection, "k")
            simulator.put_private_data("_lifecycle", collection, "k", value)
            return endorsed(simulator.results(), chaincode="_lifecycle", version="syscc")

    first, second = approve(b"1"), approve(b"2")
    assert trial.commit(first, second) == [VALID, CONFLICT]
    assert trial.commit(second) == [9]
    assert trial.commit(approve(b"3")) == [VALID]


# The oracle: keys a … h; the state a dictionary, a range a comprehension.

KEYS = [bytes([letter]) for letter in b"abcdefgh"]
_versions = st.builds(Height, st.integers(0, 2), st.integers(0, 1))
_states = st.dictionaries(st.sampled_from(KEYS), _versions)
_updates = st.dictionaries(st.sampled_from(KEYS), st.booleans())
_bounds = st.sampled_from([b"", *KEYS, b"i"])


@settings(max_examples=150, deadline=None)
@given(seen=_states, state=_states, updates=_updates, start=_bounds, end=_bounds, degree=st.sampled_from([2, 3, 50]),
       taken=st.one_of(st.none(), st.integers(1, 8)))  # fmt: skip
def test_ranges_are_judged_as_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory,
    seen: dict[bytes, Height],
    state: dict[bytes, Height],
    updates: dict[bytes, bool],
    start: bytes,
    end: bytes,
    degree: int,
    taken: int | None,
) -> None:
    now = Height(9, 9)
    inside = sorted(key for key in seen if start <= key and (not end or key < end))
    exhausted = taken is None or taken > len(inside)
    read = inside if exhausted else inside[:taken]
    query = kv_rwset_pb2.RangeQueryInfo(
        start_key=start, end_key=end if exhausted else read[-1], itr_exhausted=exhausted
    )
    results = RangeQueryResults(degree)
    for key in read:
        results.add(key.decode(), seen[key])
    raw, summary = results.done()
    if summary is not None:
        query.reads_merkle_hashes.CopyFrom(summary)
    elif raw:
        query.raw_reads.kv_reads.extend(raw)

    after = {**state, **{key: now for key, put in updates.items() if put}}
    for key, put in updates.items():
        if not put:
            after.pop(key, None)
    current = {
        key: version
        for key, version in after.items()
        if start <= key and (((not end) or key < end) if exhausted else key <= read[-1])
    }
    expected = current == {key: seen[key] for key in read}

    database = _database(tmp_path_factory)
    with database.transaction() as connection:
        connection.execute("DELETE FROM state")
        StateDB(connection).apply(_batch({key: Update(b"v", version) for key, version in state.items()}))
    batch = _batch({key: Update(b"v" if put else None, now) for key, put in updates.items()})
    assert mvcc.validate_range_queries("cc", [query], StateDB(database.writer), batch) == expected


@settings(max_examples=100, deadline=None)
@given(read=st.sampled_from(KEYS), seen=st.one_of(st.none(), _versions), state=_states, updates=_updates)
def test_reads_are_judged_as_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory,
    read: bytes,
    seen: Height | None,
    state: dict[bytes, Height],
    updates: dict[bytes, bool],
) -> None:
    database = _database(tmp_path_factory)
    with database.transaction() as connection:
        connection.execute("DELETE FROM state")
        StateDB(connection).apply(_batch({key: Update(b"v", version) for key, version in state.items()}))
    batch = _batch({key: Update(b"v" if put else None, Height(9, 9)) for key, put in updates.items()})
    kv_read = kv_rwset_pb2.KVRead(key=read, version=seen.to_proto() if seen is not None else None)
    expected = read not in updates and state.get(read) == seen
    assert mvcc.validate_reads("cc", [kv_read], StateDB(database.writer), batch) == expected


_databases: list[Database] = []


@pytest.fixture(scope="module", autouse=True)
def _close_databases() -> Iterator[None]:
    yield
    while _databases:
        _databases.pop().close()


def _database(factory: pytest.TempPathFactory) -> Database:
    if not _databases:
        _databases.append(Database(Path(factory.mktemp("mvcc"))))
    return _databases[0]


def _batch(updates: dict[bytes, Update]) -> UpdateBatch:
    batch = UpdateBatch()
    for key, update in updates.items():
        batch.put("cc", PUBLIC, key, update)
    return batch


def test_checking_a_transaction_takes_a_twentieth_of_a_millisecond(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.transaction() as connection:
        StateDB(connection).apply(_batch({b"%05d" % i: Update(b"v" * 200, Height(1, i)) for i in range(10_000)}))
    reads = kv_rwset_pb2.KVRWSet()
    for i in (17, 4711, 9999):
        reads.reads.add(key=f"{i:05d}", version=Height(1, i).to_proto())
    rwset, state, updates = TxRWSet((NsRWSet("cc", reads),)), StateDB(database.writer), UpdateBatch()
    durations = []
    for _ in range(200):
        begin = time.perf_counter()
        assert mvcc.validate(rwset, state, updates) == VALID
        durations.append(time.perf_counter() - begin)
    database.close()
    # The median is 0.02 ms; a busy machine gets room, a full scan of the table would not.
    assert sorted(durations)[100] < 0.5e-3
