"""Motions, declarations, elections and cancelling on a network of processes, by organisations that act at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from devnet_tasks import Tasks, three_organisations
from organisations import ORGANISATIONS

from fabric_fl import audit
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.ledger import LedgerRefused

T = TypeVar("T")
ORG1, ORG2, ORG3 = ORGANISATIONS


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as running:
        yield running


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Makes all calls together; returns their answers in order.

    Raises:
        BaseException: what the first of them failed with.
    """
    together = threading.Barrier(len(calls))
    answers: dict[int, T] = {}
    failures: list[BaseException] = []

    def make(index: int, call: Callable[[], T]) -> None:
        together.wait(timeout=30)
        try:
            answers[index] = call()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=make, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if failures:
        raise failures[0]
    return [answers[index] for index in range(len(calls))]


def test_votes_that_meet_in_a_block_carry_a_motion_once(tasks: Tasks) -> None:
    one, two, three = (tasks.ledgers[msp_id] for msp_id in ORGANISATIONS)

    def voted(kind: str) -> None:
        motions = at_once([lambda: one.vote_on_motion(kind, kind, ORG3), lambda: two.vote_on_motion(kind, kind, ORG3)])
        assert any(motion.carried for motion in motions)
        assert (three.motion(kind).votes, three.motion(kind).carried) == ((ORG1, ORG2), True)

    voted("suspend")
    with pytest.raises(LedgerRefused, match="FL-PARTICIPANT-INACTIVE"):
        three.vote_on_motion("mine", "reinstate", ORG3)
    voted("reinstate")
    assert three.participant(ORG3).status == "active"


def test_a_declared_task_is_cancelled_by_its_validators_while_it_runs_and_its_marks_are_found(tasks: Tasks) -> None:
    ledgers = tasks.ledgers
    declared = {"digest": "d" * 64, "num_examples": 1000}
    at_once([lambda ledger=ledgers[one]: ledger.declare("sepsis", 1, **declared) for one in ORGANISATIONS])
    task = tasks.create("governed", rounds=1000, k=3, min_updates=2, purpose="sepsis")
    with tasks.running(task, *ORGANISATIONS):
        deadline = time.monotonic() + 60
        while ledgers[ORG1].status(task).head.j < 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        at_once([lambda ledger=ledgers[one]: ledger.cancel_task(task) for one in (ORG2, ORG3)])
    status = ledgers[ORG1].status(task)
    assert (status.state, status.unsettled) == ("cancelled", ())
    assert status.cancel_wanted_by == (ORG2, ORG3)
    assert 1 <= status.head.j < 1000
    ledgers[ORG2].revoke("sepsis", 1)
    marks = [len(one.revoked) for one in ledgers[ORG1].models(task)]
    assert marks == list(range(status.head.j + 1))  # each model descends from all before it
    with pytest.raises(LedgerRefused, match="FL-DECLARATION-REVOKED"):
        tasks.create("refused", purpose="sepsis")


def test_elections_that_meet_in_a_block_take_effect_with_the_next_round(tasks: Tasks) -> None:
    ledgers = tasks.ledgers
    task = tasks.create("elected", rounds=2, q=2)
    at_once([lambda ledger=ledgers[one]: ledger.elect(task, 0, [ORG1, ORG3], 2) for one in ORGANISATIONS])
    assert len(ledgers[ORG1].electorate(task).votes) == 3
    tasks.finish(task)
    first, second = ledgers[ORG1].rounds(task)
    assert (first.validators, second.validators, second.term) == (ORGANISATIONS, (ORG1, ORG3), 1)
    assert ledgers[ORG1].model(task, 2).attested_by == (ORG1, ORG3)
    assert ledgers[ORG2].todo() == ()


@pytest.mark.parametrize("task", ["governed", "elected"])
def test_what_was_governed_is_recomputed_and_its_export_holds(tasks: Tasks, tmp_path: Path, task: str) -> None:
    """A cancelled task with declarations, and one whose validators were elected in the middle."""
    settings = ConnectionProfile.load(tasks.folder(ORG1)).participant
    others = {msp_id: BlobStore(url) for msp_id, url in settings.stores.items() if msp_id != ORG1}
    reader = BlobReader(BlobStore(settings.store), others)
    assert all(one.identical for one in audit.replay(tasks.ledgers[ORG1], reader, task, tmp_path / "replay"))
    with tasks.network.gateway("org1") as gateway:
        audit.export(gateway.network(tasks.network.channel), "fl", task, tmp_path / "export.tar", reader)
    found = audit.verify(tmp_path / "export.tar")
    assert found.findings == ()
    assert found.holds
    assert len(found.rounds) == tasks.ledgers[ORG1].latest_model(task).j


def test_who_was_voted_out_exports_the_updates_of_the_rounds_that_it_validated(tasks: Tasks, tmp_path: Path) -> None:
    settings = ConnectionProfile.load(tasks.folder(ORG2)).participant
    others = {msp_id: BlobStore(url) for msp_id, url in settings.stores.items() if msp_id != ORG2}
    reader = BlobReader(BlobStore(settings.store), others)
    with tasks.network.gateway("org2") as gateway:
        done = audit.export(
            gateway.network(tasks.network.channel), "fl", "elected", tmp_path / "export.tar", reader, ORG2
        )
    assert (done.withheld, done.without) == ((2,), "")
    found = audit.verify(tmp_path / "export.tar")
    assert found.holds
    assert [one.number for one in found.rounds] == [1]
    assert [one.number for one in found.unchecked] == [2]
