"""The part of the simple model that is about organisations: who takes part, who decides, on which data they train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger_model import Model

ACTIVE, SUSPENDED, WITHDRAWN = "active", "suspended", "withdrawn"


class RefusedError(Exception):
    """The ledger must refuse this call."""


def require(condition: bool) -> None:
    if not condition:
        raise RefusedError


class Members:
    """Organisations, their consortium, and what they have declared."""

    def __init__(self, founders: tuple[str, ...]) -> None:
        self.founders = founders
        self.members: set[str] = set()
        self.status: dict[str, tuple[str, str | None]] = {}  # and who suspended it
        self.profiles: dict[str, dict[str, str]] = {}
        self.motions: dict[str, dict[str, Any]] = {}
        self.declared: dict[tuple[str, str], list[dict[str, Any]]] = {}  # by organisation and purpose, the oldest first

    def active(self, who: str) -> bool:
        return self.status.get(who, ("",))[0] == ACTIVE

    def owner(self, who: str) -> bool:
        return self.status.get(who, ("",))[0] in (ACTIVE, WITHDRAWN)

    def living(self, who: str) -> bool:
        return who in self.status and self.status[who][0] != WITHDRAWN

    def majority(self, voters: set[str]) -> bool:
        return 2 * len(voters & self.members) > len(self.members)

    def set_status(self: Model, who: str, status: str, by: str | None = None) -> None:
        self.wrote |= self.status[who] != (status, by)
        self.status[who] = (status, by)

    def set_profile(self: Model, who: str, profile: dict[str, str]) -> None:
        self.wrote = self.profiles.get(who) != profile
        self.profiles[who] = profile

    # Participants

    def participants_register(self, who: str, profile: dict[str, str]) -> None:
        self.set_profile(who, {"description": ""} | profile)
        self.status.setdefault(who, (ACTIVE, None))

    def participants_update(self, who: str, change: dict[str, str]) -> None:
        require(self.living(who))
        self.set_profile(who, self.profiles[who] | change)

    def participants_suspend(self, who: str) -> None:
        require(self.living(who))
        if self.active(who):
            self.set_status(who, SUSPENDED, "organisation")

    def participants_reinstate(self, who: str) -> None:
        require(self.living(who) and self.status[who][1] != "consortium")
        self.set_status(who, ACTIVE)

    def participants_withdraw(self, who: str) -> None:
        require(who in self.status)
        self.set_status(who, WITHDRAWN)

    # The consortium

    def consortium_init(self: Model, who: str) -> None:
        require(who in self.founders)
        if not self.members:
            self.members = set(self.founders)
            self.wrote = True

    def consortium_vote(self: Model, who: str, order: dict[str, str]) -> None:
        require(self.active(who) and who in self.members)
        kind, subject = order["kind"], order["subject"]
        motion = self.motions.get(order["request_id"], {"what": (kind, subject), "votes": set(), "carried": False})
        require(motion["what"] == (kind, subject))
        if motion["carried"] or who in motion["votes"]:
            return
        votes = motion["votes"] | {who}
        carried = self.majority(votes)
        if carried:
            self.carry(kind, subject)
        self.motions[order["request_id"]] = {"what": (kind, subject), "votes": votes, "carried": carried}
        self.wrote = True

    def consortium_retract(self: Model, who: str, request: str) -> None:
        require(self.active(who) and request in self.motions and not self.motions[request]["carried"])
        self.wrote = who in self.motions[request]["votes"]
        self.motions[request]["votes"] -= {who}

    def carry(self: Model, kind: str, subject: str) -> None:
        if kind == "add":
            require(subject not in self.members and self.active(subject))
            self.members.add(subject)
        elif kind == "remove":
            require(subject in self.members and len(self.members) > 2)
            self.members.remove(subject)
        elif kind == "suspend":
            require(self.living(subject) and self.status[subject][1] != "consortium")
            self.set_status(subject, SUSPENDED, "consortium")
        elif kind == "reinstate":
            require(self.living(subject) and not self.active(subject))
            self.set_status(subject, ACTIVE)
        else:
            self.end_by_force(subject)

    # Declarations of data

    def declarations_submit(self: Model, who: str, claim: dict[str, Any]) -> None:
        require(self.active(who))
        made = self.declared.get((who, claim["purpose"]), [])
        require(claim["number"] <= len(made) + 1)
        if claim["number"] <= len(made):
            require(made[claim["number"] - 1]["claim"] == claim)
            return
        self.declared[who, claim["purpose"]] = [*made, {"claim": claim, "revoked": False}]
        self.wrote = True

    def declarations_revoke(self: Model, who: str, purpose: str, number: int) -> None:
        made = self.declared.get((who, purpose), [])
        require(number <= len(made))
        self.wrote = not made[number - 1]["revoked"]
        made[number - 1]["revoked"] = True

    def covering(self, who: str, purpose: str, round_number: int) -> int | None:
        """The number of the newest declaration, if a round of this number may use it."""
        made = self.declared.get((who, purpose), [])
        return len(made) if made and self.usable(who, purpose, len(made), round_number) else None

    def usable(self, who: str, purpose: str, number: int, round_number: int) -> bool:
        one = self.declared[who, purpose][number - 1]
        last = one["claim"]["last_round"]
        return not one["revoked"] and (last is None or round_number <= last)
