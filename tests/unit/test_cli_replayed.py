"""What `fabric-fl audit TASK` says of a replay: sentences and statuses, case by case."""

from __future__ import annotations

import pytest

from fabric_fl.audit import Finding, RoundReplay, TaskReplay, UncommittedRound
from fabric_fl.cli import replayed

LOST = Finding("blob", None, "a blob has expired")
WRONG = Finding("proof", "Org2MSP", "has not proven the sum")
ACCOUNT = Finding("payments", "Org1MSP", "the task's escrow holds 90; after all payments and returns it is 0")
RIGHT = RoundReplay(1, 1, "a" * 64, "a" * 64, ())
EXPIRED = RoundReplay(2, 2, "b" * 64, None, (LOST,))
DIFFERENT = RoundReplay(3, 3, "c" * 64, "c" * 64, (WRONG,))
BOTH = RoundReplay(3, 3, "c" * 64, None, (WRONG, LOST))
ABORTED = UncommittedRound(2, 2, "aborted", (Finding("selection", "Org3MSP", "stands there"),))

NOTHING = "no round of t has been committed: there is no model to recompute"
NOT_RECOMPUTED = "not recomputed, because blobs have expired or cannot be read: round"
FIRST = "is the first that differs; what does not agree is of"


@pytest.mark.parametrize(
    ("rounds", "uncommitted", "findings", "status", "said"),
    [
        ((RIGHT,), (), (), 0, []),
        ((RIGHT, EXPIRED), (), (), 3, [f"{NOT_RECOMPUTED} 2; nothing is known to differ"]),
        ((RIGHT, EXPIRED, DIFFERENT), (), (), 1, [f"round 3 {FIRST} Org2MSP", f"{NOT_RECOMPUTED} 2"]),
        ((RIGHT, BOTH), (), (), 1, [f"round 3 {FIRST} Org2MSP", f"{NOT_RECOMPUTED} 3"]),
        ((RIGHT, DIFFERENT), (ABORTED,), (), 1, [f"round 2 {FIRST} Org3MSP"]),
        ((), (), (), 3, [NOTHING]),
        ((), (), (ACCOUNT,), 1, [f"the task's account differs: Org1MSP: {ACCOUNT.message}", NOTHING]),
    ],
    ids=["right", "expired", "expired and different", "both in one", "aborted", "nothing", "nothing but a budget"],
)
def test_status_and_sentences_tell_what_differs_from_what_is_not_known(
    rounds: tuple[RoundReplay, ...],
    uncommitted: tuple[UncommittedRound, ...],
    findings: tuple[Finding, ...],
    status: int,
    said: list[str],
) -> None:
    found = TaskReplay("t", rounds, uncommitted, findings)
    assert (replayed.status(found), list(replayed.sentences(found))) == (status, said)
    assert replayed.value(found)["identical"] is {0: True, 1: False, 3: None if not rounds else False}[status]


def test_rows_are_in_the_order_of_the_rounds_with_what_was_said_in_each() -> None:
    dissent = Finding("dissent", "Org3MSP", "has attested another model", "round 1, attempt 1, version 1")
    outvoted = RoundReplay(1, 1, "a" * 64, "a" * 64, (), (dissent,))
    found = TaskReplay("t", (outvoted, DIFFERENT), (ABORTED,), (ACCOUNT,))
    assert [(row[0], str(row[-1])) for row in replayed.rows(found)] == [
        (1, "identical"),
        (1, "dissent: round 1, attempt 1, version 1: Org3MSP: has attested another model"),
        (2, "aborted: Org3MSP: stands there"),
        (3, "Org2MSP: has not proven the sum"),
        ("", f"Org1MSP: {ACCOUNT.message}"),
    ]
