"""What holds after every transaction, whatever it was: read from the world state before and after it, without a model.

Each invariant is a function of one change of the world state, `INVARIANTS` is all of them. `Books` follows a ledger.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

DECODED = functools.lru_cache(maxsize=8192)(json.loads)
HELD = ("token/entry/", "token/escrow/", "token/lock/")
ENDS = {"open": 0, "sealed": 1, "disputed": 1, "committed": 2, "aborted": 2}
DEALS = {"placed": 0, "open": 0, "taken": 1, "settled": 2, "refunded": 2, "withdrawn": 2, "cancelled": 2}
UNCHANGEABLE = ("task", "model", "settlement", "update", "reveal", "opening")


@dataclass(frozen=True)
class Change:
    """What one transaction does to the world state, and who asked for it."""

    who: str
    function: str
    arguments: tuple[Any, ...]
    before: Mapping[str, bytes]
    writes: Mapping[str, bytes | None]

    def old(self, key: str) -> Any:
        """A record as it was, or None."""
        return DECODED(self.before[key]) if key in self.before else None

    def new(self, key: str) -> Any:
        """A record as it is now, or None."""
        data = self.writes.get(key, self.before.get(key))
        return None if data is None else DECODED(data)

    def entries(self) -> tuple[list[Any], list[Any]]:
        """The unspent entries that went, and those that came."""
        keys = [key for key in self.writes if key.startswith("token/entry/")]
        gone = [self.old(key) for key in keys if self.writes[key] is None]
        return gone, [self.new(key) for key in keys if self.writes[key] is not None]


def unspent_entries_escrow_and_locks_are_what_was_issued(change: Change) -> None:
    def held(record: Callable[[str], Any]) -> int:
        found = [record(key) for key in change.writes if key.startswith(HELD)]
        return sum(one["amount"] for one in found if one is not None)

    issued = [(record("token/supply") or {"supply": 0})["supply"] for record in (change.old, change.new)]
    assert held(change.new) - held(change.old) == issued[1] - issued[0] >= 0
    assert issued[1] == issued[0] or change.function == "tokens:Issue"


def nobody_spends_more_than_they_hold(change: Change) -> None:
    gone, made = change.entries()
    assert None not in gone, "an entry is spent that is not there"
    order = change.arguments[0] if change.arguments and isinstance(change.arguments[0], dict) else {}
    payer = order["owner"] if change.function == "tokens:TransferFrom" else change.who
    assert {one["owner"] for one in gone} <= {payer}, "somebody else's tokens are spent"
    for key in change.writes:
        if key.startswith((*HELD, "token/allowance/")) and change.writes[key] is not None:
            assert change.new(key)["amount"] >= (key.startswith(("token/entry/", "token/lock/")))
    if payer != change.who and gone:
        allowance = f"token/allowance/{payer}/{change.who}"
        assert change.old(allowance)["amount"] - change.new(allowance)["amount"] == order["amount"] > 0
    if change.function.startswith("tokens:Transfer"):
        had, left = (sum(one["amount"] for one in some) for some in (gone, made))
        assert had == left >= order["amount"] * bool(gone)


def a_committed_round_never_changes(change: Change) -> None:
    for key, data in change.writes.items():
        before = change.old(key)
        final = key.startswith("round/") and before is not None and before["status"] in ("committed", "aborted")
        if before is not None and (final or key.split("/")[0] in UNCHANGEABLE):
            assert data == change.before[key], f"{key} was final"


def every_payment_has_its_cause(change: Change) -> None:
    for entry in change.entries()[1]:
        assert entry["cause"] in change.writes or entry["cause"].startswith("task/"), "an old cause is used again"
        assert (entry["owner"], entry["amount"]) in owed_by(change, entry["cause"]), f"{entry} is owed to nobody"


def owed_by(change: Change, cause: str) -> list[tuple[str, int]]:
    """What a record can be the cause of in this transaction: payments, and what the payer gets back."""
    record = change.new(cause)
    spent = sum(one["amount"] for one in change.entries()[0])
    if cause.startswith("token/issue/"):
        assert record["issued"]
        assert not change.old(cause)["issued"]
        return [(record["to"], record["amount"])]
    if cause.startswith("token/"):
        payer = record.get("owner") or record["sender"]
        return [(record["to"], record["amount"]), (payer, spent - record["amount"])]
    if cause.startswith("settlement/"):
        return list(record["payments"].items())
    if cause.startswith("task/") and change.old(cause) is None:
        return [(record["sponsor"], spent - record["budget"])]
    if cause.startswith("task/"):
        escrow = f"token/escrow/{record['id']}"
        assert change.new(escrow)["amount"] == 0
        paid = [change.new(key)["payments"] for key in change.writes if key.startswith("settlement/")]
        return [(record["sponsor"], change.old(escrow)["amount"] - sum(sum(one.values()) for one in paid))]
    seller = record.get("seller") or record["buyer"]
    if change.old(cause) is None:
        return [(seller, spent - record["amount"])]
    lock = cause.replace("market/", "token/lock/")
    assert change.old(lock)["amount"] == record["amount"]
    assert change.new(lock) is None
    taker = record["buyer"] if "seller" in record else record["provider"]
    return [(taker if record["status"] == "settled" else seller, record["amount"])]


def states_only_move_forward(change: Change) -> None:
    for key, data in change.writes.items():
        if data is None:
            assert key.startswith(("token/entry/", "token/lock/")), f"{key} is gone"
            continue
        before, after = change.old(key), change.new(key)
        for rank in (rank for kind, rank in RANKS.items() if key.startswith(kind)):
            assert before is None or rank(before) <= rank(after), f"{key} moved back"
            assert before is not None or key != "consortium" or after["changes"] == 0


RANKS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "attestation/": lambda one: (one["attempt"], one["version"]),
    "consortium": lambda one: (one["changes"],),
    "declaration/": lambda one: (one["revoked"],),
    "declared/": lambda one: (one["number"],),
    "head/": lambda one: (one["status"] != "running", one["round"], one["j"], one["counted"], bool(one["stopped"])),
    "market/offer/": lambda one: (DEALS[one["status"]], len(one["cancelled_by"])),
    "market/order/": lambda one: (DEALS[one["status"]],),
    "motion/": lambda one: (one["carried"],),
    "participant/": lambda one: (one["status"] == "withdrawn",),
    "round/": lambda one: (one["attempt"], ENDS[one["status"]]),
    "token/issue/": lambda one: (one["issued"], len(one["votes"])),
    "token/supply": lambda one: (one["supply"],),
}

INVARIANTS = (
    unspent_entries_escrow_and_locks_are_what_was_issued,
    nobody_spends_more_than_they_hold,
    a_committed_round_never_changes,
    every_payment_has_its_cause,
    states_only_move_forward,
)


def accounts(state: Mapping[str, bytes]) -> dict[str, int]:
    """What everybody must hold by all records that were ever the cause of a payment."""
    holds: Counter[str] = Counter()

    def move(payer: str | None, payee: str | None, amount: int) -> None:
        for who, change in ((payer, -amount), (payee, amount)):
            if who is not None:
                holds[who] += change

    for key, data in state.items():
        one = DECODED(data)
        if key.startswith("token/issue/") and one["issued"]:
            move(None, one["to"], one["amount"])
        elif key.startswith(("token/transfer/", "token/spending/")):
            move(one.get("owner") or one["sender"], one["to"], one["amount"])
        elif key.startswith(("market/order/", "market/offer/")):
            owner = one.get("seller") or one["buyer"]
            taker = one["buyer"] if "seller" in one else one["provider"]
            payee = {"settled": taker, "refunded": owner, "withdrawn": owner, "cancelled": owner}.get(one["status"])
            move(owner, payee, one["amount"])
        elif key.startswith("task/"):
            move(one["sponsor"], None, one["budget"])
        elif key.startswith("settlement/"):
            for who, amount in one["payments"].items():
                move(None, who, amount)
        elif key.startswith("head/") and one["status"] != "running" and not one["unsettled"]:
            settled = [DECODED(state[name]) for name in state if name.startswith(f"settlement/{one['task']}/")]
            task = DECODED(state[f"task/{one['task']}"])
            move(None, task["sponsor"], task["budget"] - sum(sum(each["payments"].values()) for each in settled))
    return {who: amount for who, amount in holds.items() if amount}


@dataclass
class Books:
    """A ledger's world state, kept from what its valid transactions wrote, and every id that an entry ever had."""

    state: dict[str, bytes] = field(default_factory=dict)
    entries: set[str] = field(default_factory=set)

    def enter(self, call: tuple[Any, ...], writes: Mapping[str, bytes | None]) -> None:
        """Check the invariants over one transaction, and enter what it wrote."""
        change = Change(call[0].partition("/")[0], call[1], call[2:], self.state, writes)
        for invariant in INVARIANTS:
            invariant(change)
        made = {one["id"] for one in change.entries()[1]}
        assert not made & self.entries, "an entry is made twice"
        self.entries |= made
        for key, data in writes.items():
            if data is None:
                del self.state[key]
            else:
                self.state[key] = data

    def compare(self, state: Mapping[str, bytes]) -> None:
        """Check that a world state is what valid transactions wrote, and the sum of all tokens in it."""
        assert state == self.state, "the world state is not what valid transactions wrote"
        held = sum(DECODED(data)["amount"] for key, data in state.items() if key.startswith(HELD))
        assert held == (DECODED(state["token/supply"])["supply"] if "token/supply" in state else 0)

    def close(self) -> None:
        """Check that everybody holds what all causes of payments since the beginning account for."""
        held: Counter[str] = Counter()
        for key, data in self.state.items():
            if key.startswith("token/entry/"):
                held[DECODED(data)["owner"]] += DECODED(data)["amount"]
        assert accounts(self.state) == held
