"""A small history of three organisations in which every function of the contract is called, and all of it succeeds."""

from __future__ import annotations

from typing import Any, Protocol

from contract_scenario import ORG1, ORG2, ORG3, TASK, declaration
from market_scenario import Market

THREE = (ORG1, ORG2, ORG3)


def call_everything(one: Market) -> None:
    """Makes every writing call; what is asked for beside is in `ask_everything`."""
    a_task(one)
    deals(one)
    members(one)


def a_task(one: Market) -> None:
    for who in THREE:
        one.declare(who)
    one.create(budget=100, rounds=3, purpose="sepsis")
    scores = dict.fromkeys(THREE, 1)
    one.play(1, scores=scores)
    for who in THREE:
        one.open(who, 1, scores)
    one.call(ORG3, "rounds:Settle", TASK, 1)
    one.submit(ORG1, 2)
    one.submit(ORG2, 2)
    one.vote("close", 2, 0, ORG1, ORG2)
    one.call(ORG3, "rounds:Seal", TASK, 2)
    one.vote("abort", 2, 1, ORG1, ORG2)
    one.call(ORG3, "rounds:Abort", TASK, 2)
    one.call(ORG1, "validators:Vote", TASK, {"term": 0, "validators": [ORG1, ORG2], "q": 2})
    one.call(ORG1, "tasks:Cancel", TASK)
    one.call(ORG3, "declarations:Revoke", "sepsis", 1)


def deals(one: Market) -> None:
    order = {"request_id": "pay", "inputs": one.entries(ORG1), "to": ORG2, "amount": 5}
    one.call(ORG1, "tokens:Transfer", order)
    one.call(ORG1, "tokens:Approve", {"request_id": "a", "spender": ORG2, "expected": 0, "amount": 9})
    spending = {"request_id": "s", "owner": ORG1, "inputs": one.entries(ORG1), "to": ORG3, "amount": 4}
    one.call(ORG2, "tokens:TransferFrom", spending)
    for request in ("confirmed", "refunded", "voted"):
        one.ordered(request_id=request, quantity=1)
    one.call(ORG1, "orders:Confirm", "confirmed")
    one.call(ORG2, "orders:Refund", ORG1, "refunded")
    for who in (ORG1, ORG2):
        one.call(who, "orders:Vote", ORG1, "voted", "settle")
    one.call(ORG3, "orders:Decide", ORG1, "voted", "settle")
    for request in ("withdrawn", "confirmed", "cancelled", "voted"):
        one.call(ORG1, "offers:Make", one.sale(request_id=request, amount=2))
        if request != "withdrawn":
            one.call(ORG2, "offers:Take", ORG1, request, "bill")
    one.call(ORG1, "offers:Withdraw", "withdrawn")
    one.call(ORG1, "offers:Confirm", "confirmed", "bill")
    for who in (ORG1, ORG2):
        one.call(who, "offers:Cancel", ORG1, "cancelled")
        one.call(who, "offers:Vote", ORG1, "voted", "cancel")
    one.call(ORG3, "offers:Decide", ORG1, "voted", "cancel")


def members(one: Market) -> None:
    one.call(ORG3, "participants:Update", {"name": "another"})
    one.call(ORG1, "consortium:Vote", {"request_id": "m", "kind": "remove", "subject": ORG3})
    one.call(ORG1, "consortium:Retract", "m")
    one.call(ORG3, "declarations:Submit", declaration(number=2))
    one.call(ORG3, "participants:Suspend")
    one.call(ORG3, "participants:Reinstate")
    one.call(ORG3, "participants:Withdraw")


class Asked(Protocol):
    """Whom questions can be put to: a scenario, or another way to the same ledger."""

    def read(self, function: str, *arguments: Any) -> Any: ...


def ask_everything(one: Asked) -> None:
    """Asks every question about what `call_everything` has left, and looks at a word of each answer."""
    assert one.read("consortium:Read")["organisations"] == list(THREE)
    assert one.read("consortium:Motion", "m")["votes"] == []
    assert [motion["request_id"] for motion in one.read("consortium:Motions")] == ["m"]
    assert one.read("participants:Read", ORG3)["status"] == "withdrawn"
    assert [participant["msp_id"] for participant in one.read("participants:List")] == list(THREE)
    assert one.read("declarations:Read", ORG3, "sepsis", 1)["revoked"]
    assert len(one.read("declarations:List", ORG3)) == 2
    _ask_about_the_task(one)
    held = {who: one.read("tokens:BalanceOf", who)["balance"] for who in THREE}
    assert held == {who: sum(entry["amount"] for entry in one.read("tokens:Entries", who)) for who in THREE}
    assert one.read("tokens:TotalSupply")["supply"] == 200
    assert one.read("tokens:Allowance", ORG1, ORG2)["amount"] == 5
    assert one.read("prices:Read", ORG2)["services"] == {"cpu-hour": 1, "gpu-hour": 3}
    assert one.read("orders:Read", ORG1, "refunded")["status"] == "refunded"
    assert one.read("offers:Read", ORG1, "withdrawn")["status"] == "withdrawn"
    assert one.read("market:Volumes")
    assert one.read("records:Read", "token/supply")["supply"] == 200
    assert len(one.read("records:Page", {"kind": "market/offer", "size": 3})["records"]) == 3
    versions = one.read("records:History", {"key": f"participant/{ORG3}", "size": 9})["versions"]
    assert [version["record"]["status"] for version in versions][:3] == ["withdrawn", "active", "suspended"]
    assert "tokens" in one.read("fl:Describe")["contracts"]


def _ask_about_the_task(one: Asked) -> None:
    assert one.read("tasks:Read", TASK)["budget"] == 100
    assert [task["id"] for task in one.read("tasks:List")] == [TASK]
    assert one.read("tasks:Status", TASK)["cancel"]["wanted_by"] == [ORG1]
    assert all(action["when"] in ("now", "patience") for action in one.read("tasks:Todo"))
    assert one.read("validators:Read", TASK)["q"] == 2
    assert one.read("updates:Read", TASK, 1, ORG2)["reveal"]["num_examples"] == 100
    assert len(one.read("updates:List", TASK, 2)) == 2
    assert one.read("rounds:Read", TASK, 1)["included"] == list(THREE)
    assert [round_["status"] for round_ in one.read("rounds:List", TASK)][:2] == ["committed", "aborted"]
    assert one.read("attestations:Read", TASK, 1, ORG1)["attestation"]["included"] == list(THREE)
    assert len(one.read("attestations:List", TASK, 1)) == 3
    assert one.read("models:Latest", TASK)["j"] == 1
    assert [model["j"] for model in one.read("models:List", TASK)] == [0, 1]
    assert one.read("models:Read", TASK, 1)["revoked"]
    assert one.read("scores:List", TASK)
