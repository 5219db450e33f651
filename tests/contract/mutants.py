"""Ways to get the rules wrong; `mutant_runner.py` shows that the state machine finds them.

A mutant is one text of one file of the rules, replaced by another.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One wrong version of the rules.

    Attributes:
        what: what is wrong with it.
        file: where.
        right: what stands there, exactly once.
        wrong: what stands there in its place.
    """

    what: str
    file: str
    right: str
    wrong: str


def dropped(what: str, file: str, condition: str) -> Mutant:
    """A check that never refuses."""
    return Mutant(what, file, f"if {condition}:", "if False:")


TOKENS = (
    Mutant("a payment may be one more than it has", "tokens", "if total < amount:", "if total + 1 < amount:"),
    Mutant(
        "one spent entry stays", "tokens", "for one in held:\n        state.d", "for one in held[1:]:\n        state.d"
    ),
    Mutant("one organisation votes twice for an issue", "tokens", " or caller.msp_id in votes", ""),
    Mutant(
        "a repeated transfer pays again",
        "tokens",
        "stored = state.get(Transfer, caller.msp_id, order.request_id)",
        "stored = None",
    ),
    Mutant(
        "an allowance is never used up", "allowances", "amount=allowed.amount - order.amount", "amount=allowed.amount"
    ),
    Mutant(
        "an allowance may be one more than it is",
        "allowances",
        "if allowed.amount < order.amount:",
        "if allowed.amount + 1 < order.amount:",
    ),
)
MARKET = (
    dropped("anybody refunds an order", "orders", "caller.msp_id != order.provider"),
    Mutant(
        "a taken offer is taken away",
        "offers",
        "    _check_status(offer, OPEN)\n    access.check_owner",
        "    access.check_owner",
    ),
    Mutant("one party alone cancels", "offers", "if len(asked.cancelled_by) == 2:", "if asked.cancelled_by:"),
    Mutant("what is released stays locked", "locks", "    state.delete(held)\n", ""),
    Mutant(
        "a dispute is decided by one vote less",
        "disputes",
        "if votes < members.majority:",
        "if votes < members.majority - 1:",
    ),
)
MEMBERS = (
    Mutant("half is a majority", "member_records", "// 2 + 1", "// 2"),
    Mutant(
        "the suspended go on", "access", "if participant.status != ACTIVE:", 'if participant.status == "withdrawn":'
    ),
    dropped("no certificate needs a role", "access", "role not in caller.roles"),
    Mutant(
        "whoever was suspended by all reinstates himself",
        "participants",
        '    if stored.suspended_by == CONSORTIUM:\n        raise FLError("FL-PARTICIPANT-STATUS"',
        '    if False:\n        raise FLError("FL-PARTICIPANT-STATUS"',
    ),
    Mutant("a vote that is taken back stays", "motions", "if voter != caller.msp_id)", "if voter)"),
)
DECLARATIONS = (
    Mutant(
        "a declaration ends a round late",
        "member_records",
        "round_number <= self.last_round",
        "round_number <= self.last_round + 1",
    ),
    Mutant(
        "a declaration ends a round early",
        "member_records",
        "round_number <= self.last_round",
        "round_number < self.last_round",
    ),
    Mutant("a revoked declaration covers the next rounds", "member_records", "not self.revoked and ", ""),
    Mutant(
        "who revoked a declaration trains on in the round",
        "updates",
        "number)\n    state.put(update)",
        "number) if number < 0 else None\n    state.put(update)",
    ),
    Mutant(
        "a task's purpose is not asked for",
        "declarations",
        "    if task.purpose is None:\n        return\n",
        "    return\n",
    ),
    Mutant(
        "revoking a declaration marks no model",
        "declarations",
        "if (participant, number) in revoked:",
        "if (number, participant) in revoked:",
    ),
    dropped("declarations may leave numbers out", "declarations", "claim.number != following"),
    Mutant(
        "the selected may be without a declaration",
        "selection",
        "eligible = [participant for participant in eligible if participant in declared]",
        "pass",
    ),
    dropped("an update may weigh more than was declared", "updates", "claim.num_examples > most"),
)
ROUNDS = (
    Mutant(
        "a round takes updates after it is sealed",
        "updates",
        "if round_.status != OPEN:",
        "if round_.status == ABORTED:",
    ),
    Mutant("a commitment need not be opened", "updates", " or update.commitment != opens", ""),
    Mutant(
        "one less than a quorum commits", "decision", "if len(winners) >= round_.q:", "if len(winners) >= round_.q - 1:"
    ),
    Mutant(
        "nobody has to prove the sum",
        "decision",
        "one.result == leader.result and proven(one, aggregate)]",
        "one.result == leader.result]",
    ),
    Mutant(
        "an old attestation comes back",
        "attestations",
        "if attestation.version != version:",
        "if attestation.version > version:",
    ),
    Mutant(
        "an aborted round is aborted again",
        "abort",
        "if stored.status == ABORTED:\n        return stored\n    if",
        "if",
    ),
    Mutant(
        "validators change with one vote less",
        "elections",
        "if len(same) >= ended.q and",
        "if len(same) >= ended.q - 1 and",
    ),
    Mutant("the suspended are voted in", "elections", "one.status == ACTIVE and one.msp_id", "one.msp_id"),
    Mutant(
        "who failed keeps the place in the order",
        "selection",
        "one for one in ranked if one not in moved] + [one for one in moved if one in eligible]",
        "one for one in ranked]",
    ),
    Mutant("whom a rule left out is moved as if the update were invalid", "selection", " if code != DISTANT", ""),
)
ENDS = (
    Mutant("patience lasts one model longer", "stopping", ">= rule.patience:", "> rule.patience:"),
    Mutant(
        "the target itself does not stop", "stopping", "return value <= rule.target if", "return value < rule.target if"
    ),
    Mutant("better is better by less than min_delta", "stopping", "max(1, rule.min_delta)", "1"),
    Mutant("a stopped task goes on", "succession", " or head.stopped is not None", ""),
    Mutant("a task commits one model too many", "succession", "head.j == task.rounds or", "head.j > task.rounds or"),
    Mutant(
        "one validator less cancels", "cancellation", "or len(wanted) >= round_.q", "or len(wanted) >= round_.q - 1"
    ),
    Mutant("a settled round is settled again", "settlement", "    if stored is not None:\n        return stored\n", ""),
    Mutant("the upper median", "rewards", "(len(values) - 1) // 2]", "len(values) // 2]"),
    Mutant(
        "one scores oneself", "settlement", "if one.organisation != participant and participant in", "if participant in"
    ),
    Mutant(
        "the budget stays in escrow",
        "settlement",
        "if head.status != RUNNING and not head.unsettled and rest:",
        'if head.status == "finished" and not head.unsettled and rest:',
    ),
)
MUTANTS = (*TOKENS, *MARKET, *MEMBERS, *DECLARATIONS, *ROUNDS, *ENDS)
