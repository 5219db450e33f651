"""Every writing call of tokens and of the market, made twice: in one block and one after the other it acts once."""

from collections.abc import Callable
from typing import Any

import pytest
from contract_scenario import ORG1, ORG2, ORG3
from market_scenario import Market

from fl_chaincode.functions import FUNCTIONS, Write


def fresh() -> Market:
    return Market()


def ordered() -> Market:
    market = Market()
    market.ordered()
    for who in (ORG1, ORG2):
        market.call(who, "orders:Vote", ORG1, "o", "refund")
    return market


def offered() -> Market:
    market = Market()
    market.call(ORG1, "offers:Make", market.sale())
    return market


def taken() -> Market:
    market = Market()
    market.taken(ORG2, "invoice 7")
    for who in (ORG1, ORG2):
        market.call(who, "offers:Vote", ORG1, "s", "cancel")
    return market


def approved() -> Market:
    market = Market()
    market.call(ORG1, "tokens:Approve", {"request_id": "a", "spender": ORG2, "expected": 0, "amount": 9})
    return market


def voted() -> Market:
    market = Market()
    market.call(ORG1, "tokens:Issue", {"request_id": "i", "to": ORG3, "amount": 5})
    return market


PAYMENT = {"request_id": "t", "to": ORG3, "amount": 3}
CALLS: dict[str, tuple[Callable[[], Market], Callable[[Market], tuple[Any, ...]]]] = {
    "tokens:Issue": (voted, lambda _: (ORG2, {"request_id": "i", "to": ORG3, "amount": 5})),
    "tokens:Transfer": (fresh, lambda market: (ORG1, {**PAYMENT, "inputs": market.entries(ORG1)})),
    "tokens:Approve": (fresh, lambda _: (ORG1, {"request_id": "a", "spender": ORG2, "expected": 0, "amount": 9})),
    "tokens:TransferFrom": (
        approved,
        lambda market: (ORG2, {**PAYMENT, "owner": ORG1, "inputs": market.entries(ORG1)}),
    ),
    "prices:Publish": (fresh, lambda _: (ORG3, {"request_id": "p", "services": {"gpu-hour": 1}})),
    "orders:Place": (fresh, lambda market: (ORG1, market.job())),
    "orders:Confirm": (ordered, lambda _: (ORG1, "o")),
    "orders:Refund": (ordered, lambda _: (ORG2, ORG1, "o")),
    "orders:Vote": (ordered, lambda _: (ORG3, ORG1, "o", "settle")),
    "orders:Decide": (ordered, lambda _: (ORG3, ORG1, "o", "refund")),
    "offers:Make": (fresh, lambda market: (ORG1, market.sale())),
    "offers:Take": (offered, lambda _: (ORG2, ORG1, "s", "invoice 7")),
    "offers:Withdraw": (offered, lambda _: (ORG1, "s")),
    "offers:Confirm": (taken, lambda _: (ORG1, "s", "invoice 7")),
    "offers:Cancel": (taken, lambda _: (ORG2, ORG1, "s")),
    "offers:Vote": (taken, lambda _: (ORG3, ORG1, "s", "settle")),
    "offers:Decide": (taken, lambda _: (ORG3, ORG1, "s", "cancel")),
}
CONTRACTS = ("tokens", "prices", "orders", "offers")


def records(market: Market) -> dict[str, bytes]:
    return dict(market.ledger.state().scan("a", "z"))


def test_every_writing_function_of_tokens_and_of_the_market_is_tried():
    writing = {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)}
    assert set(CALLS) == {name for name in writing if name.split(":")[0] in CONTRACTS}


@pytest.mark.parametrize("function", CALLS)
def test_a_call_made_twice_acts_once(function):
    prepare, arguments = CALLS[function]
    once, twice, together = prepare(), prepare(), prepare()
    who, *given = arguments(once)
    answer = once.call(who, function, *given)
    assert once.wrote

    twice.call(who, function, *given)
    assert twice.call(who, function, *given) == answer
    assert not twice.wrote

    block = [together.endorse(who, function, *given) for _ in range(2)]
    assert together.ledger.commit(*block) == [True, False]

    assert records(once) == records(twice) == records(together)
    once.check_conserved()
