"""Simulation: what a chaincode sees, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from devnet_ledgers import CHAINCODE, LedgerOnTrial, endorsed, organizations
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_shim_pb2

from fabric_fl.fabric.ledger.rwset import Height, NsRWSet, TxRWSet, version_of
from fabric_fl.fabric.ledger.simulator import ResultsIterator, SimulationError, TxSimulator


@pytest.fixture(scope="module")
def trial() -> Iterator[LedgerOnTrial]:
    """A ledger with 250 keys k000 … k249 of namespace ``asset`` in block 2."""
    trial = LedgerOnTrial.open()
    assert trial.put({f"k{i:03d}": str(i).encode() for i in range(250)}) == [0]
    yield trial
    trial.close()


def _part(simulator: TxSimulator, namespace: str = CHAINCODE) -> NsRWSet:
    (part,) = [each for each in TxRWSet.parse(simulator.results()).namespaces if each.namespace == namespace]
    return part


def _keys(response: chaincode_shim_pb2.QueryResponse) -> list[str]:
    return [kv_query_result_pb2.KV.FromString(each.resultBytes).key for each in response.results]


def _batches(iterator: ResultsIterator) -> Iterator[list[str]]:
    more = True
    while more:
        response = iterator.respond("1")
        more = response.has_more
        yield _keys(response)


def test_a_read_after_an_own_write_returns_the_committed_value(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        simulator.put_state(CHAINCODE, "k001", b"mine")
        simulator.del_state(CHAINCODE, "k002")
        simulator.put_state(CHAINCODE, "new", b"mine")
        assert simulator.get_states(CHAINCODE, ["k001", "k002", "new"]) == [b"1", b"2", None]
        listed = next(_batches(simulator.get_state_by_range(CHAINCODE, "k001", "k003")))
        assert listed == ["k001", "k002"]


def test_reads_are_recorded_once_each_with_their_versions(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        for key in ("k005", "absent", "k003", "k005"):
            simulator.get_state(CHAINCODE, key)
        reads = [(read.key, version_of(read)) for read in _part(simulator).kv.reads]
    assert reads == [("absent", None), ("k003", Height(2, 0)), ("k005", Height(2, 0))]


def test_a_write_reads_nothing_and_the_last_of_a_key_counts(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        for value in (b"1", b"2", b""):
            simulator.put_state(CHAINCODE, "k005", value)
        part = _part(simulator)
    assert not part.kv.reads
    assert [(write.key, write.value, write.is_delete) for write in part.kv.writes] == [("k005", b"", True)]


def test_called_chaincodes_share_the_simulation_each_in_its_namespace(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        simulator.get_state(CHAINCODE, "k001")
        simulator.put_state("zebra", "k001", b"z")
        simulator.put_state("ant", "k001", b"a")
        assert simulator.get_state("ant", "k001") is None
        namespaces = [part.namespace for part in TxRWSet.parse(simulator.results()).namespaces]
    assert namespaces == ["ant", CHAINCODE, "zebra"]


def test_250_results_travel_in_batches_of_100_read_one_ahead(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        batches = list(_batches(simulator.get_state_by_range(CHAINCODE, "", "")))
        (query,) = _part(simulator).kv.range_queries_info
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert [key for batch in batches for key in batch] == [f"k{i:03d}" for i in range(250)]
    assert (query.start_key, query.end_key, query.itr_exhausted) == ("", "", True)
    assert (query.reads_merkle_hashes.max_level, len(query.reads_merkle_hashes.max_level_hashes)) == (1, 5)


def test_a_query_that_is_given_up_protects_what_was_read_ahead_and_no_more(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        iterator = simulator.get_state_by_range(CHAINCODE, "k100", "k240")
        first = iterator.respond("1")
        iterator.close()
        (query,) = _part(simulator).kv.range_queries_info
    assert (len(first.results), first.has_more, first.id) == (100, True, "1")
    # Results 100 to 199 were returned, result 200 was read to know that there is more.
    assert (query.start_key, query.end_key, query.itr_exhausted) == ("k100", "k200", False)


def test_exactly_100_results_are_one_batch_and_exhausted(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        response = simulator.get_state_by_range(CHAINCODE, "k000", "k100").respond("1")
        (query,) = _part(simulator).kv.range_queries_info
    assert (len(response.results), response.has_more) == (100, False)
    assert (query.end_key, query.itr_exhausted) == ("k100", True)


def test_up_to_50_results_are_recorded_raw_and_an_empty_range_has_none(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        simulator.get_state_by_range(CHAINCODE, "k010", "k012").respond("1")
        simulator.get_state_by_range(CHAINCODE, "x", "y").respond("2")
        full, empty = _part(simulator).kv.range_queries_info
    assert [(read.key, version_of(read)) for read in full.raw_reads.kv_reads] == [
        ("k010", Height(2, 0)),
        ("k011", Height(2, 0)),
    ]
    assert empty.WhichOneof("reads_info") is None
    assert empty.itr_exhausted


def test_pages_end_in_a_bookmark_and_the_last_in_none(trial: LedgerOnTrial) -> None:
    bookmark, pages = "", []
    for _ in range(3):
        with trial.simulate() as simulator:
            response = simulator.get_state_by_range_with_pagination(CHAINCODE, "", "", 100, bookmark).respond("1")
        metadata = chaincode_shim_pb2.QueryResponseMetadata.FromString(response.metadata)
        pages.append((_keys(response)[0], len(response.results), metadata.fetched_records_count, metadata.bookmark))
        assert not response.has_more
        bookmark = metadata.bookmark
    assert pages == [("k000", 100, 100, "k100"), ("k100", 100, 100, "k200"), ("k200", 50, 50, "")]


def test_a_page_protects_its_keys_but_not_the_bookmark(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        simulator.get_state_by_range_with_pagination(CHAINCODE, "k010", "", 3, "").respond("1")
        (query,) = _part(simulator).kv.range_queries_info
    assert (query.start_key, query.end_key, query.itr_exhausted) == ("k010", "k012", False)
    assert [read.key for read in query.raw_reads.kv_reads] == ["k010", "k011", "k012"]


def test_a_bookmark_stays_inside_the_range(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        response = simulator.get_state_by_range_with_pagination(CHAINCODE, "k010", "k013", 3, "").respond("1")
    assert chaincode_shim_pb2.QueryResponseMetadata.FromString(response.metadata).bookmark == ""


def test_a_paginated_query_forbids_writing_afterwards_and_the_other_way_round(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        simulator.get_state_by_range_with_pagination(CHAINCODE, "", "", 2, "").respond("1")
        with pytest.raises(SimulationError, match=r"txid \[tx\]: .*already performed a paginated query"):
            simulator.put_state(CHAINCODE, "k", b"v")
    with trial.simulate() as simulator:
        simulator.put_state(CHAINCODE, "k", b"v")
        with pytest.raises(SimulationError, match="only in a read-only transaction"):
            simulator.get_state_by_range_with_pagination(CHAINCODE, "", "", 2, "")


@pytest.fixture
def empty() -> Iterator[LedgerOnTrial]:
    empty = LedgerOnTrial.open()
    yield empty
    empty.close()


def test_history_is_newest_first_with_deletes_and_only_of_what_committed(empty: LedgerOnTrial) -> None:
    for value in (b"1", b"2", b""):
        assert empty.put({"k": value}) == [0]
    with empty.simulate() as simulator:
        simulator.put_state(CHAINCODE, "k", b"refused")
        assert empty.commit(endorsed(simulator.results(), endorsers=[organizations()[0].node])) == [10]
    with empty.simulate() as simulator:
        response = simulator.get_history_for_key(CHAINCODE, "k").respond("1")
        changes = [kv_query_result_pb2.KeyModification.FromString(each.resultBytes) for each in response.results]
        assert simulator.results() == b""
    assert [(change.value, change.is_delete) for change in changes] == [(b"", True), (b"2", False), (b"1", False)]
    assert all(change.timestamp.seconds and empty.ledger.tx_exists(change.tx_id) for change in changes)


def test_a_simulation_keeps_its_snapshot_while_blocks_are_committed(empty: LedgerOnTrial) -> None:
    empty.put({"a": b"1"})
    with empty.simulate() as simulator:
        empty.put({"a": b"2", "b": b"2"})
        assert simulator.get_state(CHAINCODE, "a") == b"1"
        assert next(_batches(simulator.get_state_by_range(CHAINCODE, "", ""))) == ["a"]
        assert simulator.height == 3


def test_a_closed_simulator_is_of_no_use_and_results_are_given_once(trial: LedgerOnTrial) -> None:
    simulator = trial.simulate()
    simulator.get_state(CHAINCODE, "k001")
    simulator.results()
    with pytest.raises(SimulationError, match="only be called once"):
        simulator.results()
    simulator.close()
    with pytest.raises(SimulationError, match="after calling Done"):
        simulator.get_state(CHAINCODE, "k001")


def test_reads_that_only_looked_still_make_a_read_set(trial: LedgerOnTrial) -> None:
    with trial.simulate() as simulator:
        simulator.get_state(CHAINCODE, "k001")
        assert trial.commit(endorsed(simulator.results())) == [0]
