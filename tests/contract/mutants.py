"""Twenty ways to get the rules wrong, and which check finds each; `mutant_checks.py` has the checks.

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
        killed_by: the name of the check that finds it.
    """

    what: str
    file: str
    right: str
    wrong: str
    killed_by: str


WALK = "the walk against the model"

MUTANTS = (
    Mutant("a payment may be one more than it has", "tokens", "if total < amount:", "if total + 1 < amount:", WALK),
    Mutant(
        "one spent entry stays",
        "tokens",
        "for one in held:\n        state.d",
        "for one in held[1:]:\n        state.d",
        WALK,
    ),
    Mutant("one organisation votes twice for an issue", "tokens", " or caller.msp_id in votes", "", WALK),
    Mutant(
        "a repeated transfer pays again",
        "tokens",
        "stored = state.get(Transfer, caller.msp_id, order.request_id)",
        "stored = None",
        WALK,
    ),
    Mutant(
        "an allowance is never used up",
        "allowances",
        "amount=allowed.amount - order.amount",
        "amount=allowed.amount",
        WALK,
    ),
    Mutant("anybody refunds an order", "orders", "if caller.msp_id != order.provider:", "if False:", WALK),
    Mutant(
        "a taken offer is taken away",
        "offers",
        "    _check_status(offer, OPEN)\n    access.check_owner",
        "    access.check_owner",
        WALK,
    ),
    Mutant("one party alone cancels", "offers", "if len(asked.cancelled_by) == 2:", "if asked.cancelled_by:", WALK),
    Mutant("what is released stays locked", "locks", "    state.delete(held)\n", "", WALK),
    Mutant("half is a majority", "member_records", "// 2 + 1", "// 2", WALK),
    Mutant(
        "the suspended go on",
        "access",
        "if participant.status != ACTIVE:",
        'if participant.status == "withdrawn":',
        WALK,
    ),
    Mutant(
        "whoever was suspended by all reinstates himself",
        "participants",
        '    if stored.suspended_by == CONSORTIUM:\n        raise FLError("FL-PARTICIPANT-STATUS"',
        '    if False:\n        raise FLError("FL-PARTICIPANT-STATUS"',
        "a suspension",
    ),
    Mutant(
        "a round takes updates after it is sealed",
        "updates",
        "if round_.status != OPEN:",
        "if round_.status == ABORTED:",
        "a sealed round",
    ),
    Mutant("a commitment need not be opened", "updates", " or update.commitment != opens", "", "an opening"),
    Mutant(
        "one less than a quorum commits",
        "decision",
        "if len(winners) >= round_.q:",
        "if len(winners) >= round_.q - 1:",
        WALK,
    ),
    Mutant(
        "nobody has to prove the sum",
        "decision",
        "one.result == leader.result and proven(one, aggregate)]",
        "one.result == leader.result]",
        WALK,
    ),
    Mutant(
        "a settled round is settled again",
        "settlement",
        "    if stored is not None:\n        return stored\n",
        "",
        WALK,
    ),
    Mutant("the upper median", "rewards", "(len(values) - 1) // 2]", "len(values) // 2]", "a round's pay"),
    Mutant(
        "a revoked declaration is good",
        "declarations",
        "    if declaration.revoked:\n",
        "    if False:\n",
        "declarations",
    ),
    Mutant("patience lasts one model longer", "stopping", ">= rule.patience:", "> rule.patience:", "the stop rule"),
)
