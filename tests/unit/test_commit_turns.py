"""Who commits, and when: the first in turn, once, with all attestations that came in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from organisations import ORGANISATIONS, TASK, Consortium, once_committed
from waiting import wait_for

from fabric_fl import validator
from fabric_fl.ledger import FLLedger

LAST = "Org3MSP"
LONG = 600.0  # seconds, which nobody waits here


class Noting(FLLedger):
    """Notes who asks for a commit; `hold` is called before an attestation."""

    commits: list[int]
    hold: Callable[[], None]

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        self.hold()
        return super().attest(task, number, attestation)

    def commit(self, task: str, number: int, aggregate: str | None = None) -> Any:
        self.commits.append(number)
        return super().commit(task, number, aggregate)


def run(consortium: Consortium, last: Callable[[], None]) -> list[int]:
    """Lets all take part and returns of which rounds commits were asked for; `last` is called before Org3 attests."""
    commits: list[int] = []
    participants = []
    for one in ORGANISATIONS:
        ledger = Noting(consortium.ledgers[one]._contract, consortium.chain.events)
        ledger.commits = commits
        ledger.hold = last if one == LAST else lambda: None
        participants.append(consortium.participant(one, ledger=ledger))
    consortium.run(participants)
    return commits


def test_a_commit_waits_for_whoever_is_about_to_attest_and_is_asked_for_once(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validator, "_GRACE_S", LONG)
    monkeypatch.setattr(validator, "_TURN_S", LONG)
    consortium.create_task(k=3, min_updates=3, rounds=2)
    ledger = consortium.ledgers[LAST]

    def a_moment_later() -> None:
        number = ledger.status(TASK).round.number
        wait_for(lambda: len(ledger.attestations(TASK, number)) >= 2, 30)
        time.sleep(0.3)

    assert run(consortium, a_moment_later) == [1, 2]
    assert {ledger.model(TASK, j).attested_by for j in (1, 2)} == {ORGANISATIONS}


def test_who_does_not_attest_in_time_is_not_waited_for(consortium: Consortium) -> None:
    consortium.create_task(k=3, min_updates=3, rounds=1)
    ledger = consortium.ledgers[LAST]
    assert 1 in run(consortium, lambda: once_committed(ledger, 1))
    assert ledger.model(TASK, 1).attested_by == ORGANISATIONS[:2]
    assert len(ledger.attestations(TASK, 1)) == 3


def test_who_is_next_in_turn_commits_when_the_first_does_not(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for the turn ends by itself: no event wakes who waits."""
    monkeypatch.setattr("fabric_fl.participant._POLL_S", LONG)
    consortium.create_task(k=3, min_updates=3, rounds=1)
    first = consortium.ledgers[ORGANISATIONS[1]]  # of three, in the first round

    class Silent(FLLedger):
        def commit(self, task: str, number: int, aggregate: str | None = None) -> Any:
            once_committed(self, 1)
            return super().commit(task, number, aggregate)

    silent = Silent(first._contract, consortium.chain.events)
    others = [consortium.participant(one) for one in ORGANISATIONS if one != ORGANISATIONS[1]]
    consortium.run([*others, consortium.participant(ORGANISATIONS[1], ledger=silent)])
    assert first.model(TASK, 1).attested_by == ORGANISATIONS
