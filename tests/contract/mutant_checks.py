"""The checks that mutants are tried with; as a program: `mutant_checks.py NAME…` prints which of them fail, as JSON.

It runs in a process of its own, where PYTHONPATH holds the mutant's fl_chaincode.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario
from ledger_walk import walk
from mutants import WALK

from fl_chaincode.canonical import H
from fl_chaincode.records import Head, StopSpec
from fl_chaincode.rewards import lower_median
from fl_chaincode.stopping import judge

STEPS = 1500


def _walk() -> None:
    walk(6, STEPS)


def _sealed_round() -> None:
    scenario = Scenario()
    scenario.create()
    scenario.submit(ORG1, 1)
    scenario.submit(ORG2, 1)
    scenario.vote("close", 1, 0, ORG1, ORG2)
    scenario.call(ORG1, "rounds:Seal", TASK, 1)
    scenario.refused("FL-ROUND-SEALED", ORG3, "updates:Submit", TASK, 1, H("late"))


def _opening() -> None:
    scenario = Scenario()
    scenario.create()
    for who in scenario.organisations:
        scenario.submit(who, 1)
    another = scenario.opening_of(ORG1, 1) | {"num_examples": 99}
    scenario.refused("FL-UPDATE-OPENING", ORG1, "updates:Reveal", TASK, 1, another)


def _suspension() -> None:
    scenario = Scenario()
    scenario.carry("suspend", ORG3)
    scenario.refused("FL-PARTICIPANT-STATUS", ORG3, "participants:Reinstate")


def _pay() -> None:
    assert lower_median([1, 2, 5, 9]) == 2
    assert lower_median([7]) == 7


def _declarations() -> None:
    scenario = Scenario()
    for who in scenario.organisations:
        scenario.declare(who)
    scenario.create(purpose="sepsis")
    scenario.call(ORG2, "declarations:Revoke", "sepsis", 1)
    scenario.refused("FL-DECLARATION-REVOKED", ORG2, "updates:Submit", TASK, 1, H("c"))


def _stop_rule() -> None:
    rule = StopSpec(metric="loss", direction="min", target=None, patience=2, min_delta=0)
    head = Head(TASK, "running", round=4, j=3, model=H("m"), state=None, unsettled=())
    for j, loss in enumerate((5, 6, 7), start=1):
        assert head.stopped is None
        head = judge(rule, head, j, loss)
    assert head.stopped == "patience"


CHECKS: dict[str, Callable[[], None]] = {
    WALK: _walk,
    "a sealed round": _sealed_round,
    "an opening": _opening,
    "a suspension": _suspension,
    "a round's pay": _pay,
    "declarations": _declarations,
    "the stop rule": _stop_rule,
}


def failing(names: list[str]) -> list[str]:
    """Return which of the checks fail, in whatever way."""
    found = []
    for name in names:
        try:
            CHECKS[name]()
        except BaseException as error:
            print(f"{name}: {error!r}", file=sys.stderr)
            found.append(name)
    return found


if __name__ == "__main__":
    import fl_chaincode

    print(json.dumps({"rules": fl_chaincode.__file__, "failing": failing(sys.argv[1:])}))
