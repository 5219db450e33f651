"""What an organisation may decide now: votes that others have begun and that its own is still missing in.

Choices are actions like those of duties.py, but nothing waits for them and nobody is to agree: their *when* is
``"choice"``, and the other fields are what the function is to be called with.
"""

from collections.abc import Iterator
from typing import Any, cast

from fl_chaincode import cancellation, elections
from fl_chaincode.answers import Action
from fl_chaincode.market_records import ORDER
from fl_chaincode.records import RUNNING, Ballot, Consortium, Election, Head, Issue, Lock, Motion, Round, Task
from fl_chaincode.state import Reader

CHOICE = "choice"


def in_task(state: Reader, task: Task, head: Head, round_: Round, me: str) -> Iterator[Action]:
    """Yield what is to be voted on in a task: other validators, and its end."""
    if head.status != RUNNING or me not in (task.sponsor, *round_.validators):
        return
    if me in round_.validators and state.get(Election, task.id, round_.term, me) is None:
        wanted = {(one.validators, one.q): None for one in elections.proposed(state, round_)}  # each of them once
        for validators, q in wanted:
            about = {"term": round_.term, "validators": validators, "q": q}
            yield _choice("validators:Vote", task=task.id, round=round_.number, **about)
    ending = cancellation.wanted_by(state, task, round_)
    if ending and me not in ending and not cancellation.decided(task, round_, ending):
        yield _choice("tasks:Cancel", task=task.id, round=round_.number)


def in_consortium(state: Reader, me: str) -> Iterator[Action]:
    """Yield the motions, the issues of tokens and the disputes that a member of the consortium has no vote in yet."""
    members = state.get(Consortium)
    if members is None or me not in members.organisations:
        return
    for motion in state.scan(Motion):
        if motion.votes and not motion.carried and me not in motion.votes:
            about = {"request_id": motion.request_id, "kind": motion.kind, "subject": motion.subject}
            yield _choice("consortium:Vote", **about)
    for issue in state.scan(Issue):
        if not issue.issued and me not in issue.votes:
            yield _choice("tokens:Issue", request_id=issue.request_id, to=issue.to, amount=issue.amount)
    yield from _disputes(state, me)


def _disputes(state: Reader, me: str) -> Iterator[Action]:
    voters: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for one in state.scan(Ballot):
        outcomes = voters.setdefault((one.kind, one.owner, one.request_id), {})
        outcomes.setdefault(one.outcome, []).append(one.organisation)
    locks = state.get_many(Lock, list(voters))
    for (deal, outcomes), lock in zip(voters.items(), locks, strict=True):
        if lock is None or any(me in one for one in outcomes.values()):
            continue  # the deal has ended, or the vote is in
        kind, owner, request_id = deal
        who, what = ("buyer", "order") if kind == ORDER else ("seller", "offer")
        for outcome in outcomes:
            yield _choice(f"{kind}s:Vote", **{who: owner, what: request_id, "outcome": outcome})


def _choice(function: str, **about: Any) -> Action:
    return cast(Action, {"function": function, "when": CHOICE, **about})
