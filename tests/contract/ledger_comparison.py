"""Whether a world state is what the model says, kind of record by kind of record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ledger_invariants import DECODED
from ledger_model import Model

ROUND = ("status", "attempt", "validators", "q", "term", "selected", "set", "included", "moved", "base", "j")
ROUND += ("missed", "refused", "declarations")
HEAD = ("status", "j", "unsettled", "best_j", "stopped")
Records = Mapping[str, list[Any]]


def compare(state: Mapping[str, bytes], model: Model) -> set[tuple[str, str]]:
    """Compare all records; return in which state each of those is that have one."""
    records: defaultdict[str, list[Any]] = defaultdict(list)
    for key, data in state.items():
        parts = key.split("/")
        records["/".join(parts[:2]) if parts[0] in ("token", "market") else parts[0]].append(DECODED(data))
    _money(records, model)
    _organisations(records, model)
    _deals(records, model)
    _tasks(records, model)
    return set(_states(records))


def _money(records: Records, model: Model) -> None:
    assert {one["id"]: (one["owner"], one["amount"]) for one in records["token/entry"]} == model.coins
    escrows = {one["task"]: one["amount"] for one in records["token/escrow"]}
    assert escrows == {name: task["escrow"] for name, task in model.tasks.items()}
    held = {key: one["amount"] for key, one in model.deals.items() if one["status"] in ("placed", "open", "taken")}
    assert {(one["kind"], one["owner"], one["request_id"]): one["amount"] for one in records["token/lock"]} == held
    assert {(one["owner"], one["spender"]): one["amount"] for one in records["token/allowance"]} == model.allowed
    assert sum(one["supply"] for one in records["token/supply"]) == model.supply


def _organisations(records: Records, model: Model) -> None:
    found = records["participant"]
    assert {one["msp_id"]: (one["status"], one["suspended_by"]) for one in found} == model.status
    assert {one["msp_id"]: {name: one[name] for name in ("name", "description")} for one in found} == model.profiles
    assert {tuple(one["organisations"]) for one in records["consortium"]} == {tuple(sorted(model.members))}
    motions = {key: (*one["what"], sorted(one["votes"]), one["carried"]) for key, one in model.motions.items()}
    motion = ("kind", "subject", "votes", "carried")
    assert {one["request_id"]: tuple(one[name] for name in motion) for one in records["motion"]} == motions
    declared = {
        (who, purpose, number): one["claim"] | {"revoked": one["revoked"]}
        for (who, purpose), made in model.declared.items()
        for number, one in enumerate(made, start=1)
    }
    kept = [{name: value for name, value in one.items() if name != "schema"} for one in records["declaration"]]
    assert {(one.pop("participant"), one["purpose"], one["number"]): one for one in kept} == declared


def _deals(records: Records, model: Model) -> None:
    for one in records["market/order"]:
        deal = model.deals["order", one["buyer"], one["request_id"]]
        assert (one["status"], one["provider"], one["amount"]) == (deal["status"], deal["other"], deal["amount"])
    for one in records["market/offer"]:
        deal = model.deals["offer", one["seller"], one["request_id"]]
        assert (one["status"], one["buyer"], one["amount"]) == (deal["status"], deal["other"], deal["amount"])
        assert set(one["cancelled_by"]) == deal["asked"]
    assert len(records["market/order"]) + len(records["market/offer"]) == len(model.deals)


def _tasks(records: Records, model: Model) -> None:
    assert {one["id"] for one in records["task"]} == {one["task"] for one in records["head"]} == model.tasks.keys()
    for one in records["head"]:
        task = model.tasks[one["task"]]
        assert {name: one[name] for name in HEAD} == {name: task[name] for name in HEAD}, one["task"]
        assert (one["round"], one["model"], one["counted"]) == (len(task["rounds"]), task["base"], task["judged"])
    assert len(records["round"]) == sum(len(task["rounds"]) for task in model.tasks.values())
    for one in records["round"]:
        round_ = model.tasks[one["task"]]["rounds"][one["number"] - 1]
        for name in ROUND:
            if name != "included" or one["status"] != "aborted":
                assert one[name] == round_[name], f"{name} of round {one['number']} of {one['task']}"
    rounds = {(name, one["number"]): one for name, task in model.tasks.items() for one in task["rounds"]}
    settled = {key: (one["paid"], one["loss"]) for key, one in rounds.items() if one["paid"] is not None}
    settlements = {(one["task"], one["round"]): one for one in records["settlement"]}
    assert {key: (one["payments"], one["metrics"].get("loss")) for key, one in settlements.items()} == settled
    committed = [one for one in records["model"] if one["j"]]
    outcast = {(name, one["j"]): one["outcast"] for (name, _), one in rounds.items() if one["status"] == "committed"}
    assert {(one["task"], one["j"]): one["refused"] for one in committed} == outcast


def _states(records: Records) -> Any:
    for one in records["head"]:
        yield one["task"], f"task {one['status']}"
        yield one["task"], f"task stopped by {one['stopped']}"
    for one in records["round"]:
        yield f"{one['task']}/{one['number']}", f"round {one['status']}"
        yield f"{one['task']}/{one['number']}", f"round in term {min(one['term'], 1)}"
    for one in (*records["market/order"], *records["market/offer"]):
        kind = "offer" if "seller" in one else "order"
        yield f"{kind}/{one.get('seller') or one['buyer']}/{one['request_id']}", f"{kind} {one['status']}"
    for one in records["participant"]:
        yield one["msp_id"], f"participant {one['status']}"
    for one in records["motion"]:
        if one["carried"]:
            yield one["request_id"], f"motion to {one['kind']} carried"
    for one in records["declaration"]:
        if one["revoked"]:
            yield f"{one['participant']}/{one['purpose']}/{one['number']}", "declaration revoked"
    for one in records["model"]:
        for code in one["refused"].values():
            yield f"{one['task']}/{one['j']}", f"model without {code}"
    for one in records["settlement"]:
        if one["payments"]:
            yield f"{one['task']}/{one['round']}", "round paid"
