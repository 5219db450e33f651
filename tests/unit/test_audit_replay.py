"""A replay against ledgers in which one thing is wrong: that thing is found, with its round and its organisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doctored_ledger import WRONG, Doctored, of, setting
from organisations import ORGANISATIONS, TASK, Consortium, FlippedBit

from fabric_fl.aggregation import AggregationWorker
from fabric_fl.audit import RoundReplay, replay
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.ledger import FLLedger, LedgerRefused
from fl_chaincode import hashes, settlement
from fl_chaincode.records import COMMITTED, Model, Round, Settlement

ZEROS, ONES = "0" * 64, "1" * 64


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory, worker: AggregationWorker) -> Consortium:
    """Three rounds with two of three selected, scored and paid."""
    done = Consortium(tmp_path_factory.mktemp("consortium"), worker=worker)
    done.create_task(patience_s=60)
    done.run()
    return done


def replayed(consortium: Consortium, ledger: FLLedger, folder: Path) -> list[RoundReplay]:
    return list(replay(ledger, BlobReader(BlobStore(folder / "own"), consortium.stores), TASK, folder / "replay"))


def differences(consortium: Consortium, folder: Path, **changes: Callable[[Any], Any]) -> set[tuple[str, str | None]]:
    """Returns the findings of the wrong round as (word, organisation); the other rounds have none."""
    rounds = replayed(consortium, Doctored(consortium.ledgers["Org1MSP"], **changes), folder)
    assert [one.number for one in rounds] == [1, 2, 3]
    assert [one.identical for one in rounds] == [True, False, True]
    return {(finding.what, finding.organisation) for finding in rounds[1].findings}


def true_round(consortium: Consortium) -> Round:
    return consortium.ledgers["Org1MSP"].round(TASK, WRONG)


def true_model(consortium: Consortium) -> Model:
    return consortium.ledgers["Org1MSP"].model(TASK, WRONG)


def true_settlement(consortium: Consortium) -> Settlement:
    found = consortium.ledgers["Org1MSP"].scores(TASK).rounds[WRONG - 1].settlement
    assert found is not None
    assert len(found.scorers) == 3
    return found


def test_a_true_ledger_has_no_findings(consortium: Consortium, tmp_path: Path) -> None:
    assert all(one.identical for one in replayed(consortium, Doctored(consortium.ledgers["Org1MSP"]), tmp_path))


def test_selection_in_another_order_names_who_stands_in_anothers_place(consortium: Consortium, tmp_path: Path) -> None:
    first, second = true_round(consortium).selected
    found = differences(consortium, tmp_path, round=setting(selected=(second, first)))
    assert found == {("selection", second)}


def test_selection_of_more_than_the_task_says_names_who_is_too_many(consortium: Consortium, tmp_path: Path) -> None:
    round_ = true_round(consortium)
    (third,) = set(ORGANISATIONS) - set(round_.selected)
    everybody = sorted(ORGANISATIONS, key=lambda one: hashes.selection_rank(TASK, round_.j, round_.base, one))
    found = differences(consortium, tmp_path, round=setting(selected=tuple(everybody)))
    assert found == {("selection", everybody[2])}
    assert everybody[2] == third


def order_of(consortium: Consortium) -> list[str]:
    round_ = true_round(consortium)
    return sorted(ORGANISATIONS, key=lambda one: hashes.selection_rank(TASK, round_.j, round_.base, one))


def test_who_was_passed_over_is_told_and_who_stands_in_that_place_is_named(
    consortium: Consortium, tmp_path: Path
) -> None:
    first, second, third = order_of(consortium)
    ledger = Doctored(consortium.ledgers["Org1MSP"], round=setting(selected=(first, third)))
    (found,) = replayed(consortium, ledger, tmp_path)[1].findings
    assert (found.what, found.organisation) == ("selection", third)
    assert found.message.endswith(f"it follows {first}, {second}; passed over: {second}")


def test_selection_of_fewer_than_the_task_says_names_who_is_missing(consortium: Consortium, tmp_path: Path) -> None:
    first, second, _ = order_of(consortium)
    found = differences(consortium, tmp_path, round=setting(selected=(first,)))
    assert found == {("selection", second)}


def test_without_a_history_nobody_is_called_passed_over_for_nothing_and_it_is_said_so(
    consortium: Consortium, tmp_path: Path
) -> None:
    class WithoutHistory(Doctored):
        def history(self, key: str, **_: Any) -> Any:
            raise LedgerRefused("FL-TEST-HISTORY", "this peer keeps none")

    first, second, third = order_of(consortium)
    ledger = WithoutHistory(consortium.ledgers["Org1MSP"], round=setting(selected=(first, third)))
    rounds = replayed(consortium, ledger, tmp_path)
    assert all(one.identical for one in rounds)
    (told,) = rounds[1].undecided
    assert (told.what, told.organisation) == ("undecided", second)
    assert "`fabric-fl audit verify` executes the selection itself" in told.message


def settled_without(consortium: Consortium, left_out: str) -> Settlement:
    """Returns a settlement that is right in itself, from the other scorers' openings."""
    ledger = consortium.ledgers["Org1MSP"]
    openings = {one.organisation: one for _, one in ledger.attestations(TASK, WRONG) if one is not None}
    others = {one: openings[one] for one in true_settlement(consortium).scorers if one != left_out}
    evidence = settlement.Evidence(true_model(consortium), others, unopened=(), everybody=True)
    return settlement.conclude(ledger.task(TASK), true_round(consortium), evidence)


def test_a_settlement_that_leaves_out_a_scorer_of_the_quorum_names_it(consortium: Consortium, tmp_path: Path) -> None:
    left_out = true_model(consortium).attested_by[0]
    less = settled_without(consortium, left_out)
    ledger = Doctored(consortium.ledgers["Org1MSP"], settlement=lambda _: less, escrow=lambda record: record)
    round_ = replayed(consortium, ledger, tmp_path)[1]
    assert [(one.what, one.organisation) for one in round_.findings] == [("scores", left_out)]


def test_a_settlement_without_who_may_have_attested_after_it_is_undecided(
    consortium: Consortium, tmp_path: Path
) -> None:
    late = true_model(consortium).attested_by[0]
    others = true_model(consortium).attested_by[1:] + tuple(
        one for one in ORGANISATIONS if one not in true_model(consortium).attested_by
    )
    less = settled_without(consortium, late)
    ledger = Doctored(
        consortium.ledgers["Org1MSP"], settlement=lambda _: less, model=setting(attested_by=tuple(sorted(others)[:2]))
    )
    round_ = replayed(consortium, ledger, tmp_path)[1]
    assert (round_.findings, [one.organisation for one in round_.undecided]) == ((), [late])


def test_selection_after_somebody_was_moved_for_nothing_names_whom(consortium: Consortium, tmp_path: Path) -> None:
    found = differences(consortium, tmp_path, round=setting(moved=("Org3MSP",)))
    assert ("selection", "Org3MSP") in found
    assert {what for what, _ in found} == {"selection"}


@pytest.mark.parametrize("field", ["digest", "state", "aggregate"])
def test_an_aggregation_that_does_not_follow_is_found_and_its_part_named(
    consortium: Consortium, tmp_path: Path, field: str
) -> None:
    found = differences(consortium, tmp_path, model=setting(**{field: ONES}))
    what = "model" if field == "digest" else field
    named = {("proof", one) for one in true_model(consortium).attested_by} if field == "aggregate" else set()
    # scores of those who have proven nothing do not count either
    assert {one for one in found if one[0] not in ("scores", "medians", "payments")} == {(what, None)} | named


def test_an_aggregation_that_leaves_out_an_update_names_whose(consortium: Consortium, tmp_path: Path) -> None:
    first, second = true_model(consortium).included
    rounds = replayed(
        consortium,
        Doctored(consortium.ledgers["Org1MSP"], model=setting(included=(first,), refused={second: "FL-BLOB-BOUND"})),
        tmp_path,
    )
    assert rounds[0].identical
    assert ("included", second) in {(finding.what, finding.organisation) for finding in rounds[1].findings}
    # and then it would have come last in the order of the next round
    assert [(finding.what, finding.organisation) for finding in rounds[2].findings] == [("selection", second)]


def test_an_attested_result_that_nobody_can_reach_names_everybody_who_attested_it(
    consortium: Consortium, tmp_path: Path
) -> None:
    counted = true_model(consortium).attested_by
    found = differences(
        consortium,
        tmp_path,
        model=setting(result=ONES),
        attestation=lambda record: dataclasses.replace(record, result=ONES),
    )
    assert found == {("result", None), *(("attestation", one) for one in counted)}


def test_a_proof_of_another_sum_names_its_organisation(consortium: Consortium, tmp_path: Path) -> None:
    counted = true_model(consortium).attested_by[0]
    found = differences(consortium, tmp_path, attestation=of(counted, proof=ZEROS))
    assert ("proof", counted) in found
    assert {organisation for what, organisation in found if what == "proof"} == {counted}


def test_a_copied_proof_names_its_organisation(consortium: Consortium, tmp_path: Path) -> None:
    counted, other = true_model(consortium).attested_by[:2]
    proofs = {
        attestation.organisation: attestation.proof
        for attestation, _ in consortium.ledgers["Org1MSP"].attestations(TASK, WRONG)
    }
    found = differences(consortium, tmp_path, attestation=of(counted, proof=proofs[other]))
    assert {organisation for what, organisation in found if what == "proof"} == {counted}


def test_who_is_counted_in_a_quorum_without_having_attested_is_named(consortium: Consortium, tmp_path: Path) -> None:
    counted = true_model(consortium).attested_by[0]
    found = differences(consortium, tmp_path, attestation=of(counted, result=ONES))
    assert ("quorum", counted) in found


@pytest.mark.parametrize("counted", [("Org1MSP",), ("Org1MSP", "Org1MSP"), ()], ids=["one", "one twice", "none"])
def test_fewer_than_a_quorum_are_found(consortium: Consortium, tmp_path: Path, counted: tuple[str, ...]) -> None:
    assert true_round(consortium).q == 2
    found = differences(consortium, tmp_path, model=setting(attested_by=counted))
    assert ("quorum", None) in found


def test_who_is_no_validator_counts_in_no_quorum(consortium: Consortium, tmp_path: Path) -> None:
    others = tuple(one for one in ORGANISATIONS if one != "Org1MSP")
    found = differences(
        consortium, tmp_path, round=setting(validators=others), model=setting(attested_by=("Org1MSP", *others))
    )
    assert found >= {("quorum", "Org1MSP")}


@pytest.mark.parametrize("field", [{"nonce": ZEROS}, {"num_examples": 1}], ids=["nonce", "examples"])
def test_a_reveal_that_does_not_open_its_commitment_names_its_participant(
    consortium: Consortium, tmp_path: Path, field: dict[str, Any]
) -> None:
    liar = true_model(consortium).included[0]
    found = differences(consortium, tmp_path, reveal=of(liar, **field))
    assert ("opening", liar) in found
    assert {organisation for what, organisation in found if what == "opening"} == {liar}


def test_a_commitment_that_was_changed_names_its_participant(consortium: Consortium, tmp_path: Path) -> None:
    liar = true_model(consortium).included[1]
    assert differences(consortium, tmp_path, update=of(liar, commitment=ONES)) == {("opening", liar)}


def test_opened_scores_that_were_not_committed_to_name_their_scorer(consortium: Consortium, tmp_path: Path) -> None:
    liar, other = true_model(consortium).included[0], true_model(consortium).included[1]

    def more(record: Any) -> Any:
        if record.organisation != liar:
            return record
        return dataclasses.replace(record, scores={**record.scores, other: record.scores[other] + 1})

    found = differences(consortium, tmp_path, opening=more)
    assert ("scores", liar) in found
    assert {organisation for what, organisation in found if what == "scores"} == {liar}


def test_who_is_counted_as_a_scorer_and_has_opened_nothing_is_named(consortium: Consortium, tmp_path: Path) -> None:
    found = differences(
        consortium, tmp_path, opening=lambda record: None if record.organisation == "Org2MSP" else record
    )
    assert ("scores", "Org2MSP") in found
    assert {organisation for what, organisation in found if what == "scores"} == {"Org2MSP"}


def test_a_score_that_is_no_median_names_whose(consortium: Consortium, tmp_path: Path) -> None:
    held = true_settlement(consortium)
    liar = sorted(held.scores)[0]
    found = differences(consortium, tmp_path, settlement=setting(scores={**held.scores, liar: held.scores[liar] + 1}))
    assert found == {("medians", liar)}


def test_a_metric_that_is_no_median_is_found(consortium: Consortium, tmp_path: Path) -> None:
    metrics = true_settlement(consortium).metrics
    name = sorted(metrics)[0]
    found = differences(consortium, tmp_path, settlement=setting(metrics={**metrics, name: metrics[name] - 1}))
    assert found == {("medians", None)}


def test_a_payment_that_is_not_due_names_who_got_it(consortium: Consortium, tmp_path: Path) -> None:
    paid = true_settlement(consortium).payments
    lucky = sorted(paid)[0]
    found = differences(consortium, tmp_path, settlement=setting(payments={**paid, lucky: paid[lucky] + 1}))
    assert found == {("payments", lucky)}


def test_a_payment_that_is_missing_names_who_did_not_get_it(consortium: Consortium, tmp_path: Path) -> None:
    paid = dict(true_settlement(consortium).payments)
    unlucky, _ = paid.popitem()
    assert differences(consortium, tmp_path, settlement=setting(payments=paid)) == {("payments", unlucky)}


def test_an_escrow_that_holds_something_after_the_end_names_its_sponsor(consortium: Consortium, tmp_path: Path) -> None:
    ledger = Doctored(consortium.ledgers["Org1MSP"], escrow=lambda record: record | {"amount": 1})
    *others, last = replayed(consortium, ledger, tmp_path)
    assert all(one.identical for one in others)
    assert [(one.what, one.organisation) for one in last.findings] == [("payments", "Org1MSP")]


def test_the_escrow_of_a_task_that_goes_on_holds_what_was_not_paid_yet(
    tmp_path: Path, worker: AggregationWorker
) -> None:
    consortium = Consortium(tmp_path, worker=worker)
    consortium.create_task(rounds=9, k=3, min_updates=3, patience_s=60)
    consortium.tolerated = True  # who ends at once may wait for a model that the others end before publishing
    ledger = consortium.ledgers["Org1MSP"]
    consortium.run(until=lambda: len(settled(ledger)) >= 2)
    assert ledger.status(TASK).head.status == "running"
    assert all(one.identical for one in replayed(consortium, ledger, tmp_path / "audit"))
    lying = Doctored(ledger, escrow=lambda record: record | {"amount": record["amount"] - 1})
    *others, last = replayed(consortium, lying, tmp_path / "again")
    assert all(one.identical for one in others)
    assert {(one.what, one.organisation) for one in last.findings} == {("payments", "Org1MSP")}


def settled(ledger: FLLedger) -> list[Settlement]:
    return [one.settlement for one in ledger.scores(TASK).rounds if one.settlement is not None]


def test_a_share_of_another_round_is_found(consortium: Consortium, tmp_path: Path) -> None:
    share = true_settlement(consortium).share
    assert differences(consortium, tmp_path, settlement=setting(share=share + 1)) == {("payments", None)}


def test_what_a_lying_majority_committed_is_named_and_later_rounds_are_judged_by_themselves(
    tmp_path: Path, worker: AggregationWorker
) -> None:
    class LiesOnce(FlippedBit):
        def aggregate(self, inputs: Any, directory: Path) -> Any:
            lying = inputs.round == 1
            return super().aggregate(inputs, directory) if lying else worker.aggregate(inputs, directory)

    consortium = Consortium(tmp_path, worker=worker)
    consortium.create_task(rounds=2, k=3, min_updates=3, patience_s=60, budget=0)
    liars = [consortium.participant(one, worker=LiesOnce(worker)) for one in ORGANISATIONS[1:]]
    consortium.run([consortium.participant("Org1MSP"), *liars])

    first, second = replayed(consortium, consortium.ledgers["Org1MSP"], tmp_path / "audit")
    named = {finding.organisation for finding in first.findings if finding.organisation}
    assert named == {"Org2MSP", "Org3MSP"}
    assert first.recomputed not in (None, first.committed)
    assert second.identical


def test_without_an_expired_blob_later_rounds_are_recomputed_from_what_was_committed(
    consortium: Consortium, tmp_path: Path
) -> None:
    ledger = consortium.ledgers["Org1MSP"]
    _, reveal = ledger.updates(TASK, 1)[0]
    stores = {}
    for msp_id in ORGANISATIONS:
        folder = tmp_path / msp_id
        folder.mkdir()
        for blob in (consortium.folder / msp_id / "store").iterdir():
            if blob.name != reveal.digest:
                (folder / blob.name).write_bytes(blob.read_bytes())
        stores[msp_id] = BlobStore(folder)

    reader = BlobReader(BlobStore(tmp_path / "own"), stores)
    first, *later = replay(ledger, reader, TASK, tmp_path / "replay")
    assert (first.recomputed, [finding.what for finding in first.findings]) == (None, ["blob"])
    assert all(one.identical for one in later)

    for msp_id in ORGANISATIONS:
        (tmp_path / msp_id / ledger.model(TASK, 1).digest).unlink(missing_ok=True)
    (tmp_path / "own" / ledger.model(TASK, 1).digest).unlink(missing_ok=True)
    first, second, third = replay(ledger, reader, TASK, tmp_path / "again")
    assert [finding.message for finding in second.findings] == ["the model before it has expired or cannot be read"]
    assert third.identical


def test_all_rounds_of_the_task_were_committed(consortium: Consortium) -> None:
    assert [one.status for one in consortium.ledgers["Org1MSP"].rounds(TASK)] == [COMMITTED] * 3
