"""Who was passed over, and whether that was right, where trainers were suspended or their data were not declared."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from organisations import ORGANISATIONS, TASK
from scripted_rounds import Script

from fabric_fl.audit import TaskReplay, replay_task
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.ledger import FLLedger
from fl_chaincode import hashes
from fl_chaincode.records import Round


def audit(script: Script, folder: Path) -> TaskReplay:
    reader = BlobReader(BlobStore(folder / "auditor"), script.consortium.stores)
    return replay_task(script.ledger, reader, TASK, folder / "replay")


def in_order(j: int, base: str) -> list[str]:
    return sorted(ORGANISATIONS, key=lambda one: hashes.selection_rank(TASK, j, base, one))


def first_round(script: Script) -> tuple[Any, Any]:
    """Plays round 1 with two of three selected; returns the result and the attesters."""
    script.update(1)
    selected = script.ledger.round(TASK, 1).selected
    return script.sum(1, (script.initial, None), selected), ORGANISATIONS


@pytest.mark.parametrize("reinstated", [False, True])
def test_of_who_was_suspended_once_the_records_do_not_tell_whether_that_was_then(
    tmp_path: Path, reinstated: bool
) -> None:
    script = Script(tmp_path, k=2)
    result, _ = first_round(script)
    first, second, third = in_order(2, result.model.digest)  # of round 2, which the commit opens
    script.ledgers[first].suspend()
    script.commit(1, result, *(one for one in ORGANISATIONS if one != first))
    if reinstated:
        script.ledgers[first].reinstate()
    assert script.ledger.round(TASK, 2).selected == (second, third)
    found = audit(script, tmp_path)
    assert found.outcome == "identical"
    (running,) = found.uncommitted
    assert (running.status, running.findings) == ("open", ())
    assert [(one.what, one.organisation) for one in running.undecided] == [("undecided", first)]


def test_whose_data_were_declared_for_earlier_rounds_alone_was_not_passed_over(tmp_path: Path) -> None:
    # as the order of round 2 is known only with its base, everybody's declaration ends before it but two
    script = Script(tmp_path, dict.fromkeys(ORGANISATIONS), k=2, purpose="study")
    result, _ = first_round(script)
    gone = in_order(2, result.model.digest)[0]
    again = Script(tmp_path / "again", {one: 1 if one == gone else None for one in ORGANISATIONS}, k=2, purpose="study")
    result, _ = first_round(again)
    again.commit(1, result, *ORGANISATIONS)
    assert in_order(2, result.model.digest)[0] == gone
    assert gone not in again.ledger.round(TASK, 2).selected
    found = audit(again, tmp_path)
    (running,) = found.uncommitted
    assert (running.findings, running.undecided) == ((), ())
    assert found.outcome == "identical"

    class SelectsNevertheless(FLLedger):
        def rounds(self, task: str) -> tuple[Round, ...]:
            selected = tuple(in_order(2, result.model.digest)[:2])
            return tuple(
                dataclasses.replace(one, selected=selected) if one.number == 2 else one for one in super().rounds(task)
            )

    again.ledger = SelectsNevertheless(again.ledger._contract)
    (running,) = audit(again, tmp_path / "lying").uncommitted
    assert [(one.what, one.organisation) for one in running.findings] == [("selection", gone)]


def test_who_revoked_a_declaration_once_may_have_done_so_before(tmp_path: Path) -> None:
    script = Script(tmp_path, dict.fromkeys(ORGANISATIONS), k=2, purpose="study")
    result, _ = first_round(script)
    first = in_order(2, result.model.digest)[0]
    script.ledgers[first].revoke("study", 1)
    script.commit(1, result, *ORGANISATIONS)
    assert first not in script.ledger.round(TASK, 2).selected
    (running,) = audit(script, tmp_path).uncommitted
    assert (running.findings, [one.organisation for one in running.undecided]) == ((), [first])


@pytest.mark.parametrize("blame", [{"missed": ("Org1MSP",)}, {"refused": {"Org1MSP": "FL-BLOB-BOUND"}}])
def test_who_is_blamed_for_nothing_in_an_aborted_round_is_named(tmp_path: Path, blame: dict[str, Any]) -> None:
    """It comes last in the next round's order then, which follows from the blame."""

    class Blames(FLLedger):
        def rounds(self, task: str) -> tuple[Round, ...]:
            first, second = super().rounds(task)
            return dataclasses.replace(first, **blame), dataclasses.replace(second, moved=("Org1MSP",))

    script = Script(tmp_path)
    script.update(1)
    script.abort(1)
    assert audit(script, tmp_path).uncommitted[0].findings == ()
    script.ledger = Blames(script.ledger._contract)
    first, _ = audit(script, tmp_path / "lying").uncommitted
    assert [(one.what, one.organisation) for one in first.findings] == [("missed", "Org1MSP")]


def test_who_failed_indeed_is_blamed_for_it(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.ledgers["Org1MSP"].submit_update(TASK, 1, "1" * 64)
    script.abort(1)
    assert set(script.ledger.round(TASK, 1).missed) == {"Org2MSP", "Org3MSP"}
    script.update(2)
    for one in ORGANISATIONS:
        script.ledgers[one].vote(TASK, 2, "abort", 1, {"Org3MSP": "FL-BLOB-BOUND"} if one != "Org1MSP" else None)
    script.ledger.abort(TASK, 2)
    assert script.ledger.round(TASK, 2).refused == {"Org3MSP": "FL-BLOB-BOUND"}
    found = audit(script, tmp_path)
    assert [one.findings for one in found.uncommitted] == [(), (), ()]


def test_scores_that_q_votes_settled_without_are_not_missed(tmp_path: Path) -> None:
    script = Script(tmp_path, rounds=1, budget=90, scoring={"rule": "leave-one-out", "cap_percent": 200})
    script.update(1)
    result = script.sum(1, (script.initial, None))
    scores = {one: {other: 1 for other in ORGANISATIONS if other != one} for one in ORGANISATIONS}
    nonce = "1" * 64
    for one in ORGANISATIONS:
        commitment = hashes.score_commitment(TASK, 1, one, nonce, scores[one], {"loss": 1})
        script.attest(one, 1, result, score_commitment=commitment)
    script.commit(1, result)
    for who in ORGANISATIONS:
        script.consortium.stores[who].put(result.model.path.read_bytes(), result.model.digest)
        script.consortium.stores[who].put(result.state.path.read_bytes(), result.state.digest)
    for one in ("Org1MSP", "Org2MSP"):
        script.ledgers[one].open_scores(TASK, 1, nonce=nonce, scores=scores[one], metrics={"loss": 1})
        script.ledgers[one].vote(TASK, 1, "settle", 1)
    script.ledger.settle(TASK, 1)
    script.ledgers["Org3MSP"].open_scores(TASK, 1, nonce=nonce, scores=scores["Org3MSP"], metrics={"loss": 1})
    (only,) = audit(script, tmp_path).rounds
    assert (only.outcome, only.undecided) == ("identical", ())

    class WithoutVotes(FLLedger):
        def records(self, kind: Any, where: Any = None, **more: Any) -> Any:
            return iter(()) if kind.PREFIX == "vote" else super().records(kind, where, **more)

    script.ledger = WithoutVotes(script.ledger._contract)
    (only,) = audit(script, tmp_path / "lying").rounds
    counted = "Org3MSP" in script.ledger.model(TASK, 1).attested_by
    assert counted
    assert [(one.what, one.organisation) for one in only.findings] == [("scores", "Org3MSP")]
