"""Three participants take part in one task; the rules are the real ones, the ledger is in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from faulty_stores import Damaging
from organisations import BUDGET, ORGANISATIONS, TASK, Consortium, FlippedBit

from fabric_fl.aggregation import AggregationWorker
from fabric_fl.audit import replay
from fabric_fl.blobs import BlobReader, BlobStore, BlobUnavailableError
from fabric_fl.ledger import FLLedger, LedgerRefused


def digests(consortium: Consortium) -> list[str]:
    ledger = consortium.ledgers["Org1MSP"]
    return [ledger.model(TASK, j).digest for j in range(ledger.latest_model(TASK).j + 1)]


def total_tokens(consortium: Consortium) -> int:
    return sum(consortium.ledgers["Org1MSP"].balance(msp_id) for msp_id in ORGANISATIONS)


def test_a_task_runs_to_its_end_and_everybody_holds_the_same_model(consortium: Consortium) -> None:
    consortium.create_task()
    consortium.run()
    ledger = consortium.ledgers["Org1MSP"]
    status = ledger.status(TASK)
    assert (status.head.status, status.head.j, status.unsettled) == ("finished", 3, ())
    assert len(set(digests(consortium))) == 4
    assert {model.digest for model in consortium.models.values()} == {ledger.latest_model(TASK).digest}
    assert all(len(round_.selected) == 2 and round_.status == "committed" for round_ in ledger.rounds(TASK))


def test_nothing_is_said_to_the_ledger_before_the_models_that_were_published_are_on_the_disk(
    consortium: Consortium,
) -> None:
    waited_for: set[str] = set()
    said: list[set[str]] = []

    class Store(BlobStore):
        def adopt(self, path: Path, digest: str, *, durable: bool = True) -> None:
            super().adopt(path, digest, durable=durable)
            if not durable:
                waited_for.add(digest)

        def sync(self, digests: Iterable[str]) -> None:
            synced = list(digests)
            super().sync(synced)
            waited_for.difference_update(synced)

    class Ledger(FLLedger):
        def submit_update(self, task: str, number: int, commitment: str) -> Any:
            self.note()
            return super().submit_update(task, number, commitment)

        def attest(self, task: str, number: int, attestation: Any) -> Any:
            self.note()
            return super().attest(task, number, attestation)

        def note(self) -> None:
            models = self.models(TASK)
            said.append(waited_for & {digest for model in models for digest in (model.digest, model.state) if digest})

    consortium.create_task(k=3)
    store = Store(consortium.folder / "Org1MSP" / "store")
    ledger = Ledger(consortium.ledgers["Org1MSP"]._contract, consortium.chain.events)
    published = []
    first = consortium.participant(
        "Org1MSP",
        ledger=ledger,
        store=store,
        on_step=lambda step, *_: published.append(len(waited_for)) if step == "published" else None,
    )
    consortium.run([first, *map(consortium.participant, ORGANISATIONS[1:])])
    assert max(published) >= 2  # a model and its state, which others can read already
    assert len(said) >= 5
    assert not any(said)
    models = ledger.models(TASK)[1:]
    assert not waited_for & {model.digest for model in models}


def test_the_budget_is_paid_or_returned_to_the_last_unit(consortium: Consortium) -> None:
    consortium.create_task()
    consortium.run()
    board = consortium.ledgers["Org1MSP"].scores(TASK)
    assert all(scored.settlement is not None and len(scored.settlement.scorers) == 3 for scored in board.rounds)
    assert sum(contribution.paid for contribution in board.participants.values()) > 0
    assert total_tokens(consortium) == BUDGET


def test_a_replay_from_ledger_and_blobs_reaches_every_digest(consortium: Consortium, tmp_path: Path) -> None:
    consortium.create_task()
    consortium.run()
    reader = BlobReader(BlobStore(tmp_path / "auditor"), consortium.stores)
    rounds = list(replay(consortium.ledgers["Org2MSP"], reader, TASK, tmp_path / "replay"))
    assert [replayed.recomputed for replayed in rounds] == digests(consortium)[1:]
    assert all(replayed.identical for replayed in rounds)


def test_a_replay_names_a_model_that_does_not_follow_from_its_updates(consortium: Consortium, tmp_path: Path) -> None:
    class LyingLedger(FLLedger):
        def model(self, task: str, j: int) -> Any:
            record = super().model(task, j)
            return record if j != 2 else dataclasses.replace(record, aggregate="0" * 64)

    consortium.create_task()
    consortium.run()
    honest = consortium.ledgers["Org1MSP"]
    reader = BlobReader(BlobStore(tmp_path / "auditor"), consortium.stores)
    lying = LyingLedger(honest._contract)
    first, second, third = replay(lying, reader, TASK, tmp_path / "replay")
    assert first.identical
    assert third.identical
    assert {finding.what for finding in second.findings} >= {"aggregate", "proof"}


def test_with_one_validator_that_computes_wrongly_the_others_commit_and_its_dissent_stays(
    consortium: Consortium, worker: AggregationWorker
) -> None:
    consortium.create_task()
    liar = consortium.participant("Org2MSP", worker=FlippedBit(worker))
    consortium.run([consortium.participant("Org1MSP"), liar, consortium.participant("Org3MSP")])
    ledger = consortium.ledgers["Org1MSP"]
    for j in (1, 2, 3):
        model = ledger.model(TASK, j)
        dissent = ledger.attestation(TASK, model.round, "Org2MSP").attestation
        assert model.attested_by == ("Org1MSP", "Org3MSP")
        assert dissent.result != model.result
        assert dissent.model != model.digest


class Copier(FLLedger):
    """Attests whatever another organisation attested first, without having summed."""

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        for other, _ in self.attestations(task, number):
            copied = {"result": other.result, "included": list(other.included), "model": other.model}
            proof = {"state": other.state, "refused": dict(other.refused), "proof": other.proof}
            return super().attest(task, number, {**attestation, **copied, **proof})
        raise LedgerRefused("FL-TEST-NOTHING-TO-COPY", "nobody has attested yet")


def test_a_validator_that_copies_an_attestation_without_summing_does_not_count(
    consortium: Consortium, worker: AggregationWorker
) -> None:
    consortium.create_task(rounds=1)
    part = consortium.participant("Org1MSP")
    copier = Copier(consortium.ledgers["Org2MSP"]._contract, consortium.chain.events)
    consortium.run([part, consortium.participant("Org2MSP", ledger=copier), consortium.participant("Org3MSP")])
    assert consortium.ledgers["Org1MSP"].model(TASK, 1).attested_by == ("Org1MSP", "Org3MSP")


def test_two_results_without_a_quorum_leave_the_round_disputed_and_no_model_committed(
    consortium: Consortium, worker: AggregationWorker
) -> None:
    consortium.create_task(validators=["Org1MSP", "Org2MSP"], q=2, rounds=1, patience_s=3600)
    ledger = consortium.ledgers["Org3MSP"]
    parts = [
        consortium.participant("Org1MSP"),
        consortium.participant("Org2MSP", worker=FlippedBit(worker)),
        consortium.participant("Org3MSP"),
    ]
    consortium.run(parts, until=lambda: ledger.status(TASK).round.status == "disputed")
    status = ledger.status(TASK)
    assert status.head.j == 0
    assert {one.result for one in status.attestations.values()} == {
        ledger.attestation(TASK, 1, msp_id).attestation.result for msp_id in ("Org1MSP", "Org2MSP")
    }
    assert len({one.result for one in status.attestations.values()}) == 2


class Silent(FLLedger):
    """Submits, and never reveals."""

    def reveal_update(self, *args: Any, **fields: Any) -> Any:
        raise LedgerRefused("FL-TEST-SILENT", "this participant does not reveal")


def test_who_submits_and_never_reveals_delays_a_round_and_no_more(consortium: Consortium) -> None:
    consortium.create_task(k=3, rounds=1)
    first, second = (consortium.participant(msp_id) for msp_id in ("Org1MSP", "Org3MSP"))
    consortium.tolerated = True
    silent = Silent(consortium.ledgers["Org2MSP"]._contract, consortium.chain.events)
    consortium.run([first, consortium.participant("Org2MSP", ledger=silent), second])
    ledger = consortium.ledgers["Org1MSP"]
    assert ledger.model(TASK, 1).included == ("Org1MSP", "Org3MSP")
    assert ledger.round(TASK, 1).missed == ("Org2MSP",)
    assert ledger.scores(TASK).participants["Org2MSP"].missed == 1


def test_an_update_that_one_validator_alone_can_read_is_left_out_for_all_alike(
    consortium: Consortium, tmp_path: Path
) -> None:
    consortium.create_task(k=3, rounds=1, q=3)
    nothing = BlobStore(tmp_path / "nothing")
    hidden = {**consortium.stores, "Org3MSP": nothing}
    parts = [consortium.participant(one, others=hidden) for one in ("Org1MSP", "Org2MSP")]
    # what Org3 publishes only it can read, so the three cannot agree at first: what q can serve is then fixed
    consortium.run([*parts, consortium.participant("Org3MSP")])
    ledger = consortium.ledgers["Org1MSP"]
    round_ = ledger.round(TASK, 1)
    assert round_.attempt == 2
    assert ledger.model(TASK, 1).included == ("Org1MSP", "Org2MSP")
    assert ledger.model(TASK, 1).attested_by == ORGANISATIONS


def test_bytes_that_do_not_match_their_digest_are_refused_by_every_validator_alike(
    consortium: Consortium, tmp_path: Path
) -> None:
    consortium.create_task(k=3, rounds=1)
    store = Damaging(tmp_path / "forger")
    others = {**consortium.stores, "Org2MSP": store}
    consortium.run(
        [consortium.participant(one, others=others) for one in ("Org1MSP", "Org3MSP")]
        + [consortium.participant("Org2MSP", store=store, others=others)]
    )
    ledger = consortium.ledgers["Org1MSP"]
    assert ledger.model(TASK, 1).included == ("Org1MSP", "Org3MSP")


def test_an_update_copied_from_another_participant_cannot_be_opened(consortium: Consortium) -> None:
    class Thief(FLLedger):
        """Submits the commitment of whoever submitted before, and reveals as its own what that one revealed."""

        def submit_update(self, task: str, number: int, commitment: str) -> Any:
            for update, _ in self.updates(task, number):
                return super().submit_update(task, number, update.commitment)
            raise LedgerRefused("FL-TEST-NOTHING-TO-COPY", "nobody has submitted yet")

        def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
            for _, reveal in self.updates(task, number):
                if reveal is not None:
                    fields = {name: getattr(reveal, name) for name in ("digest", "size", "num_examples", "nonce")}
            try:
                return super().reveal_update(task, number, **fields)
            except LedgerRefused as refusal:
                refusals.append(refusal.code)
                raise

    refusals: list[str] = []
    consortium.create_task(k=3, rounds=1, patience_s=3)
    consortium.tolerated = True
    thief = Thief(consortium.ledgers["Org2MSP"]._contract, consortium.chain.events)
    parts = [consortium.participant(one) for one in ("Org1MSP", "Org3MSP")]
    consortium.run([parts[0], consortium.participant("Org2MSP", ledger=thief), parts[1]])
    assert refusals[0] == "FL-UPDATE-OPENING"  # once the others have gone on without it: FL-ROUND-FIXED
    assert consortium.ledgers["Org1MSP"].model(TASK, 1).included == ("Org1MSP", "Org3MSP")


def test_when_too_few_submit_the_round_is_aborted_and_run_again_with_others(consortium: Consortium) -> None:
    consortium.create_task(k=2, min_updates=2, rounds=1)
    order = consortium.ledgers["Org1MSP"].status(TASK).round.selected
    absent = order[0]
    present = [consortium.participant(one) for one in ORGANISATIONS if one != absent]
    consortium.run(present)
    ledger = consortium.ledgers[present[0].msp_id]
    first, second = ledger.rounds(TASK)
    assert (first.status, second.status) == ("aborted", "committed")
    assert second.selected == (order[1], *(one for one in ORGANISATIONS if one not in order))
    assert ledger.model(TASK, 1).included == tuple(sorted(second.selected))
    assert ledger.status(TASK).unsettled == ()


class TestBadInput:
    def test_a_task_that_does_not_exist(self, consortium: Consortium) -> None:
        consortium.create_task()
        with consortium.participant("Org1MSP") as me, pytest.raises(LedgerRefused, match="FL-TASK-UNKNOWN"):
            me.run("task-9")

    def test_a_participant_that_is_not_registered(self, consortium: Consortium) -> None:
        consortium.create_task()
        outsider = consortium.chain.client("Org4MSP")
        with pytest.raises(LedgerRefused, match="FL-PARTICIPANT-UNKNOWN"):
            outsider.submit_update(TASK, 1, "0" * 64)

    def test_a_model_that_nobody_serves(self, consortium: Consortium, tmp_path: Path) -> None:
        consortium.create_task()
        lonely = consortium.participant("Org2MSP", store=BlobStore(tmp_path / "own"), others={})
        with lonely, pytest.raises(BlobUnavailableError) as failure:
            lonely.latest(TASK)
        assert failure.value.remedy
