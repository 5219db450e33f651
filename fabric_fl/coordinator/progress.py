"""A task's rounds as they go on."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from fabric_fl.ledger import FLLedger
from fl_chaincode.records import COMMITTED, Round, Settlement


@dataclass(frozen=True)
class RoundProgress:
    """One round at one moment.

    Attributes:
        model: Digest of the model that it committed; "" before that.
        attested: Who has attested in the round's present attempt.
        agreeing: How many of the attestations name the same result, at most.
        metrics: Lower medians of the opened metrics, in millionths; empty until the round is settled.
    """

    round: int
    j: int
    status: str
    attempt: int
    selected: tuple[str, ...]
    submitted: tuple[str, ...]
    revealed: tuple[str, ...]
    attested: tuple[str, ...]
    agreeing: int
    q: int
    model: str
    metrics: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def progress(ledger: FLLedger, task: str, leave_out: Container[int] = ()) -> tuple[RoundProgress, ...]:
    """Returns the task's rounds, ascending, without those whose numbers are to be left out.

    Raises:
        LedgerRefused: There is no such task.
    """
    settlements = {scored.round: scored.settlement for scored in ledger.scores(task).rounds}
    rounds = [round_ for round_ in ledger.rounds(task) if round_.number not in leave_out]
    return tuple(_progress(ledger, round_, settlements.get(round_.number)) for round_ in rounds)


def watch(ledger: FLLedger, task: str) -> Iterator[RoundProgress]:
    """Yields a round whenever it has changed, until the task has ended and every round is settled.

    Raises:
        LedgerRefused: There is no such task.
    """
    shown: dict[int, RoundProgress] = {}
    over: set[int] = set()
    # the stream is opened before the first look, so that nothing falls between the two
    with ledger.events(task) as events:
        happened = iter(events)
        while True:
            status = ledger.status(task)
            unsettled = {one.round.number for one in status.unsettled}
            # as the status has it, which was read first: what ends after it is shown once more
            final = status.round.number if status.round.final else status.round.number - 1
            for each in progress(ledger, task, leave_out=over):
                if shown.get(each.round) != each:
                    shown[each.round] = each
                    yield each
                if each.round <= final and each.round not in unsettled:
                    over.add(each.round)
            if status.finished and not unsettled:
                return
            next(happened, None)


def _progress(ledger: FLLedger, round_: Round, settlement: Settlement | None) -> RoundProgress:
    updates = ledger.updates(round_.task, round_.number)
    attestations = [one.attestation for one in ledger.attestations(round_.task, round_.number)]
    current = [one for one in attestations if one.attempt == round_.attempt]
    results = [one.result for one in current]
    return RoundProgress(
        round=round_.number,
        j=round_.j,
        status=round_.status,
        attempt=round_.attempt,
        selected=round_.selected,
        submitted=tuple(one.update.participant for one in updates),
        revealed=tuple(one.update.participant for one in updates if one.reveal),
        attested=tuple(one.organisation for one in current),
        agreeing=max(map(results.count, results), default=0),
        q=round_.q,
        model=ledger.model(round_.task, round_.j).digest if round_.status == COMMITTED else "",
        metrics=dict(settlement.metrics) if settlement else {},
    )
