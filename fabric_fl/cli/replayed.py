"""What `fabric-fl audit TASK` prints of a replay, and the status that it exits with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from fabric_fl.audit import RoundReplay, TaskReplay, UncommittedRound
from fabric_fl.audit.outcome import DIFFERS, NOT_RECOMPUTED

COLUMNS = ("ROUND", "MODEL", "COMMITTED", "RECOMPUTED", "RESULT")
_STATUS = {DIFFERS: 1, NOT_RECOMPUTED: 3}  # 2 is what a wrong call exits with


def status(found: TaskReplay) -> int:
    """Returns 0 where all that was committed follows, 1 where something does not, 3 where not all can be said."""
    return _STATUS.get(found.outcome, 0)


def rows(found: TaskReplay) -> Iterator[tuple[object, ...]]:
    """Yields a line for each round, and one for each thing that was said in it beside what was committed."""
    for one in _rounds(found):
        digests = (one.committed[:16], (one.recomputed or "")[:16]) if isinstance(one, RoundReplay) else ("", "")
        yield one.number, one.j, *digests, one.told
        for finding in one.beside:
            yield one.number, one.j, "", "", f"{finding.what}: {finding}"
    for finding in found.findings:
        yield "", "", "", "", finding


def value(found: TaskReplay) -> dict[str, Any]:
    """Returns the same for programs."""
    return {
        "task": found.task,
        "identical": found.identical,
        "outcome": found.outcome,
        "first": first(found),
        "not_recomputed": _lost(found),
        "rounds": [
            {**dataclasses.asdict(one), "identical": one.identical, "outcome": one.outcome} for one in found.rounds
        ],
        "uncommitted": [dataclasses.asdict(one) for one in found.uncommitted],
        "findings": [dataclasses.asdict(one) for one in found.findings],
    }


def sentences(found: TaskReplay) -> Iterator[str]:
    """Yields what a reader must not miss: what differs, what could not be recomputed, that there is nothing."""
    differs = first(found)
    if differs:
        yield differs
    lost = _lost(found)
    if lost:
        numbers = ", ".join(map(str, lost))
        rest = "" if differs else "; nothing is known to differ"
        yield f"not recomputed, because blobs have expired or cannot be read: round {numbers}{rest}"
    if not found.rounds:
        yield f"no round of {found.task} has been committed: there is no model to recompute"


def first(found: TaskReplay) -> str | None:
    """Returns the first round that does not agree, and whose records it is; the task's account comes last."""
    for one in _rounds(found):
        findings = [finding for finding in one.findings if finding.what != "blob"]
        if findings or (isinstance(one, RoundReplay) and one.outcome == DIFFERS):
            named = dict.fromkeys(finding.organisation for finding in findings if finding.organisation)
            who = ", ".join(named) or "the contract itself (`fabric-fl audit verify` names the transaction)"
            return f"round {one.number} is the first that differs; what does not agree is of {who}"
    return f"the task's account differs: {found.findings[0]}" if found.findings else None


def _lost(found: TaskReplay) -> list[int]:
    """Returns the rounds of which nothing could be computed for want of a blob, whatever else is wrong with them."""
    return [one.number for one in found.rounds if any(finding.what == "blob" for finding in one.findings)]


def _rounds(found: TaskReplay) -> list[RoundReplay | UncommittedRound]:
    return sorted((*found.rounds, *found.uncommitted), key=lambda one: one.number)
