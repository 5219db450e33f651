"""A replay of what liars committed, or attested in vain: each is named with its round, and nothing stops the replay."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import organisations
import pytest
from organisations import ORGANISATIONS, TASK
from scripted_rounds import Script

from fabric_fl.aggregation import AggregationResult
from fabric_fl.audit import Finding, RoundReplay, TaskReplay, replay_task
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.ledger import FLLedger, LedgerRefused

LIARS = ("Org2MSP", "Org3MSP")
NAN = struct.pack("<d", float("nan"))


def audit(script: Script, folder: Path) -> TaskReplay:
    reader = BlobReader(BlobStore(folder / "auditor"), script.consortium.stores)
    return replay_task(script.ledger, reader, TASK, folder / "replay")


def of(what: str, findings: Iterable[Finding]) -> list[str | None]:
    return [finding.organisation for finding in findings if finding.what == what]


def first_weight_flipped(data: bytes) -> bytes:
    """Flips the lowest bit of the last number: still a model, or a state."""
    values = np.frombuffer(data[-4:], np.uint32) ^ 1
    return data[:-4] + values.tobytes()


def garbage(data: bytes) -> bytes:
    return b"\x5a" * len(data)


def not_a_number(data: bytes) -> bytes:
    return data[:-8] + NAN


LIES = {
    "a wrong model": ("model", first_weight_flipped),
    "a garbage model": ("model", garbage),
    "a wrong state": ("state", lambda data: data[:-8] + struct.pack("<d", 0.25)),
    "a garbage state": ("state", garbage),
    "a state that is not finite": ("state", not_a_number),
}


@pytest.mark.parametrize("lie", LIES)
def test_who_commits_a_lie_as_a_majority_is_named_and_the_later_rounds_are_judged_by_themselves(
    tmp_path: Path, lie: str
) -> None:
    script = Script(tmp_path)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    part, change = LIES[lie]
    false = script.lie(1, true, **{part: change(getattr(true, part).path.read_bytes())})
    script.attest("Org1MSP", 1, true)
    committed = script.commit(1, false, *LIARS)
    # nobody can sum on top of what is no model: the liars themselves go on from the right one
    goes_on = committed if "wrong" in lie else (true.model, true.state)
    script.honest(3, script.honest(2, goes_on))

    found = audit(script, tmp_path)
    first, second, third = found.rounds
    assert (first.outcome, second.outcome, third.outcome) == ("differs", "identical", "identical")
    assert of("attestation", first.findings) == list(LIARS)
    assert of(part, first.findings) == [None]
    assert (first.recomputed, first.dissents) == (true.model.digest, ())  # who was right dissents from nothing
    assert found.outcome == "differs"


@pytest.mark.parametrize("honest", [(), ("Org1MSP",)], ids=["alone", "against one"])
def test_every_round_that_builds_on_garbage_is_recomputed_from_what_should_have_been_committed(
    tmp_path: Path, honest: tuple[str, ...]
) -> None:
    """Two such rounds one after the other, both committed by the same liars."""
    script = Script(tmp_path)
    start = (script.initial, None)
    for number in (1, 2):
        script.update(number)
        true = script.sum(number, start)
        for who in honest:
            script.attest(who, number, true)
        script.commit(number, script.lie(number, true, model=garbage(true.model.path.read_bytes())), *LIARS)
        start = true.model, true.state
    rounds = audit(script, tmp_path).rounds
    assert [one.recomputed for one in rounds][1] == start[0].digest
    assert [of("attestation", one.findings) for one in rounds] == [list(LIARS)] * 2


def test_after_a_lie_that_nobody_serves_the_next_round_cannot_be_recomputed_and_the_one_after_it_can(
    tmp_path: Path,
) -> None:
    script = Script(tmp_path)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    false = script.lie(1, true, model=first_weight_flipped(true.model.path.read_bytes()))
    kept = script.commit(1, false, *LIARS, serve=False)
    script.honest(3, script.honest(2, kept))
    rounds = audit(script, tmp_path).rounds
    assert [one.outcome for one in rounds] == ["differs", "not recomputed", "identical"]
    assert [finding.what for finding in rounds[1].findings] == ["blob"]


def test_an_update_that_a_majority_calls_too_large_is_read_and_summed(tmp_path: Path) -> None:
    script = Script(tmp_path, min_updates=2)
    script.update(1)
    two = script.sum(1, (script.initial, None), LIARS)
    script.commit(1, script.lie(1, two, refused={"Org1MSP": "FL-BLOB-SIZE"}, aggregate=two.aggregate), *LIARS)
    (only,) = audit(script, tmp_path).rounds
    assert of("included", only.findings) == ["Org1MSP"]
    assert of("attestation", only.findings) == list(LIARS)


def test_what_a_majority_commits_on_top_of_no_model_at_all_names_the_sponsor_and_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = organisations.task_specification

    def described_by_a_liar(folder: Path, store: BlobStore, **changes: Any) -> dict[str, Any]:
        spec = described(folder, store, **changes)
        noise = garbage((folder / "initial.safetensors").read_bytes())
        return spec | {"model": spec["model"] | {"initial": store.put(noise).digest}}

    monkeypatch.setattr(organisations, "task_specification", described_by_a_liar)
    script = Script(tmp_path)
    script.update(1)
    script.commit(1, script.sum(1, (script.initial, None)), *LIARS)
    (only,) = audit(script, tmp_path).rounds
    assert (only.outcome, only.recomputed) == ("differs", None)
    assert of("base", only.findings) == ["Org1MSP"]
    assert of("attestation", only.findings) == list(LIARS)


# ---------------------------------------------------------------- who was outvoted


def dissent(round_: RoundReplay) -> list[tuple[str | None, str, str]]:
    return [(one.organisation, one.where, one.message) for one in round_.dissents]


def lied(script: Script, number: int, true: AggregationResult) -> AggregationResult:
    return script.lie(number, true, model=first_weight_flipped(true.model.path.read_bytes()))


def test_who_is_outvoted_is_named_as_dissent_and_the_round_holds(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    script.attest("Org3MSP", 1, lied(script, 1, true))
    script.commit(1, true, "Org1MSP", "Org2MSP")
    found = audit(script, tmp_path)
    assert found.outcome == "identical"
    message = "has attested what does not follow from the updates: model, proof"
    assert dissent(found.rounds[0]) == [("Org3MSP", "round 1, attempt 1, version 1", message)]


def test_a_result_without_a_proof_of_the_sum_is_dissent(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    script.attest("Org3MSP", 1, true, proof="1" * 64)
    script.commit(1, true, "Org1MSP", "Org2MSP")
    (only,) = audit(script, tmp_path).rounds
    assert [(one.organisation, one.message.rpartition(": ")[2]) for one in only.dissents] == [("Org3MSP", "proof")]


def test_who_left_out_an_update_that_the_others_had_is_named_with_it(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.update(1)
    two = script.sum(1, (script.initial, None), ("Org1MSP", "Org3MSP"))
    script.attest("Org3MSP", 1, two)
    script.commit(1, script.sum(1, (script.initial, None)), "Org1MSP", "Org2MSP")
    (only,) = audit(script, tmp_path).rounds
    message = "has attested what follows from other updates: without Org2MSP"
    assert dissent(only) == [("Org3MSP", "round 1, attempt 1, version 1", message)]
    # whatever else is attested, the disk holds each round's model once
    assert len(list((tmp_path / "replay" / "00000001").rglob("model.safetensors"))) == 1


def test_who_lied_in_a_round_that_was_aborted_is_named(tmp_path: Path) -> None:
    script = Script(tmp_path, q=3)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    for who in ("Org1MSP", "Org3MSP"):
        script.attest(who, 1, true)
    script.attest("Org2MSP", 1, lied(script, 1, true))
    script.ledger.commit(TASK, 1)
    disputed = audit(script, tmp_path / "meanwhile")
    script.abort(1)
    script.honest(2, (script.initial, None))
    for found, status in ((disputed, "disputed"), (audit(script, tmp_path), "aborted")):
        before = found.uncommitted[0]
        assert (before.number, before.status, before.findings) == (1, status, ())
        assert [(one.organisation, one.where) for one in before.dissents] == [
            ("Org2MSP", "round 1, attempt 1, version 1")
        ]
    assert [one.outcome for one in found.rounds] == ["identical"]


def test_what_was_attested_before_it_was_corrected_is_dissent(tmp_path: Path) -> None:
    script = Script(tmp_path, q=3)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    script.attest("Org2MSP", 1, lied(script, 1, true))
    for who in ("Org1MSP", "Org3MSP"):
        script.attest(who, 1, true)
    script.ledger.commit(TASK, 1)
    script.attest("Org2MSP", 1, true, version=2)
    script.commit(1, true)
    for who in ORGANISATIONS:
        for file in (true.model, true.state):
            script.consortium.stores[who].put(file.path.read_bytes(), file.digest)
    (only,) = audit(script, tmp_path).rounds
    assert only.identical
    assert [(one.organisation, one.where) for one in only.dissents] == [("Org2MSP", "round 1, attempt 1, version 1")]

    class WithoutHistory(FLLedger):
        def history(self, key: str, **_: Any) -> Any:
            raise LedgerRefused("FL-TEST-HISTORY", "this peer keeps none")

    script.ledger = WithoutHistory(script.ledger._contract)
    (only,) = audit(script, tmp_path / "without").rounds
    assert (only.outcome, only.dissents) == ("identical", ())
    assert [(one.organisation, one.where) for one in only.undecided] == [("Org2MSP", "round 1, attempt 1, version 2")]


def test_whether_who_attested_an_aborted_round_lied_is_undecided_once_its_updates_are_gone(tmp_path: Path) -> None:
    script = Script(tmp_path, q=3)
    script.update(1)
    true = script.sum(1, (script.initial, None))
    for who in ORGANISATIONS:
        script.attest(who, 1, lied(script, 1, true) if who == "Org2MSP" else true)
    script.ledger.commit(TASK, 1)
    script.abort(1)
    for update, reveal in script.ledger.updates(TASK, 1):
        assert reveal is not None
        (tmp_path / update.participant / "store" / reveal.digest).unlink()
    (first, _) = audit(script, tmp_path).uncommitted
    assert first.dissents == ()
    assert {one.organisation for one in first.undecided} == set(ORGANISATIONS)


# ---------------------------------------------------------------- a task of which nothing was committed


def test_a_task_of_which_nothing_is_committed_is_not_called_identical(tmp_path: Path) -> None:
    found = audit(Script(tmp_path), tmp_path)
    assert (found.rounds, found.identical, found.outcome) == ((), None, "not recomputed")


def test_the_escrow_of_a_task_that_was_cancelled_before_its_first_model_is_checked(tmp_path: Path) -> None:
    script = Script(tmp_path, budget=90, scoring={"rule": "leave-one-out", "cap_percent": 200})
    script.ledger.cancel_task(TASK)
    script.ledger.abort(TASK, 1)
    assert script.ledger.status(TASK).head.status == "cancelled"
    assert audit(script, tmp_path).findings == ()

    class KeepsTheBudget(type(script.ledger)):  # type: ignore[misc]
        def record(self, key: str) -> dict[str, object]:
            found = super().record(key)
            return found | {"amount": 90} if key == f"token/escrow/{TASK}" else found

    script.ledger = KeepsTheBudget(script.ledger._contract)
    found = audit(script, tmp_path / "again")
    assert [(one.what, one.organisation) for one in found.findings] == [("payments", "Org1MSP")]
    assert (found.outcome, found.identical) == ("differs", False)
