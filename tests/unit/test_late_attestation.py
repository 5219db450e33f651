"""A validator that comes too late for a commit: it attests what was committed, and its store holds the models."""

from __future__ import annotations

import threading
from typing import Any

from faulty_stores import Withholding
from organisations import ORGANISATIONS, TASK, Consortium, once_committed

from fabric_fl.blobs import BlobStore
from fabric_fl.ledger import FLLedger, LedgerRefused

LATE = "Org3MSP"


def update_of(ledger: FLLedger, participant: str) -> str | None:
    """Returns the digest that a participant has revealed in the first round."""
    reveals = (reveal for update, reveal in ledger.updates(TASK, 1) if update.participant == participant)
    return next((reveal.digest for reveal in reveals if reveal), None)


class Patient(FLLedger):
    """Attests when the late one has summed what it has."""

    summed: threading.Event

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        self.summed.wait(30)
        return super().attest(task, number, attestation)


class Lost(FLLedger):
    """The first attestation gets lost, and the others have committed until the next."""

    lost = False

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        if not self.lost:
            self.lost = True
            once_committed(self, 1)
            raise LedgerRefused("FL-TEST-LOST", "the others were faster")
        return super().attest(task, number, attestation)


def test_who_summed_before_everything_had_come_sums_again_before_it_attests_what_the_others_committed(
    consortium: Consortium,
) -> None:
    consortium.create_task(k=3, min_updates=2, rounds=1, patience_s=3)
    ledger = consortium.ledgers[LATE]

    def not_yet(digest: str) -> bool:
        """Org1's update reaches the late one only when it is committed."""
        return ledger.latest_model(TASK).j == 0 and digest == update_of(ledger, "Org1MSP")

    others = {one: Withholding(consortium.stores[one], not_yet) for one in ORGANISATIONS[:2]}
    summed = threading.Event()
    early = []
    for one in ORGANISATIONS[:2]:
        patient = Patient(consortium.ledgers[one]._contract, consortium.chain.events)
        patient.summed = summed
        early.append(consortium.participant(one, ledger=patient))
    losing = Lost(ledger._contract, consortium.chain.events)
    late = consortium.participant(
        LATE, ledger=losing, others=others, on_step=lambda step, *_: summed.set() if step == "aggregated" else None
    )
    consortium.run([*early, late])
    model = ledger.model(TASK, 1)
    assert losing.lost
    assert model.included == ORGANISATIONS
    assert consortium.steps.count((LATE, "aggregated", 1)) == 2
    assert ledger.attestation(TASK, 1, LATE).attestation.result == model.result


class Asking(FLLedger):
    """Counts how often a validator that was late has looked for the updates."""

    times = 0

    def updates(self, task: str, number: int) -> Any:
        self.times += 1
        return super().updates(task, number)


def test_who_gets_the_updates_only_after_the_commit_has_model_and_state_in_its_store_too(
    consortium: Consortium,
) -> None:
    consortium.create_task(k=3, min_updates=3, rounds=1, patience_s=30)
    ledger = consortium.ledgers[LATE]
    asking = Asking(ledger._contract, consortium.chain.events)

    def wait(step: str, _task: str, _number: int) -> None:
        if step == "revealed":
            once_committed(ledger, 1)

    def at_first(digest: str) -> bool:
        return asking.times < 2 and digest == update_of(ledger, "Org1MSP")

    others = {one: Withholding(consortium.stores[one], at_first) for one in ORGANISATIONS[:2]}
    late = consortium.participant(LATE, ledger=asking, others=others, on_step=wait)
    consortium.run([*(consortium.participant(one) for one in ORGANISATIONS[:2]), late])
    model = ledger.model(TASK, 1)
    assert asking.times == 2
    assert model.attested_by == ORGANISATIONS[:2]
    assert ledger.attestation(TASK, 1, LATE).attestation.result == model.result
    assert all(consortium.stores[LATE].has(digest) for digest in (model.digest, model.state))


def test_who_sleeps_through_a_commit_goes_on_from_the_model_in_its_journal_and_publishes_it(
    consortium: Consortium,
) -> None:
    consortium.create_task(k=3, min_updates=2, rounds=2, patience_s=3)
    ledger = consortium.ledgers[LATE]

    def sleep(step: str, _task: str, number: int) -> None:
        if (step, number) == ("attested", 1):
            once_committed(ledger, 2)

    def of_the_first_model(digest: str) -> bool:
        """The others have lost the first model until the late one wakes."""
        if ledger.latest_model(TASK).j == 0:
            return False
        first = ledger.model(TASK, 1)
        return digest in (first.digest, first.state)

    others = {one: Withholding(consortium.stores[one], of_the_first_model) for one in ORGANISATIONS[:2]}
    late = consortium.participant(LATE, others=others, on_step=sleep)
    consortium.run([*(consortium.participant(one) for one in ORGANISATIONS[:2]), late])
    own = BlobStore(consortium.folder / LATE / "store")
    for j in (1, 2):
        model = ledger.model(TASK, j)
        assert ledger.attestation(TASK, model.round, LATE).attestation.result == model.result
        assert own.has(model.digest)
        assert own.has(model.state)
