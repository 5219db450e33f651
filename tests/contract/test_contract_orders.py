"""Price lists and job orders: paid when placed, and ended once."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4, specification
from market_scenario import Market

PARTIES = (ORG1, ORG2, ORG3)


@pytest.fixture
def market() -> Market:
    return Market()


def vote(market: Market, outcome: str, *voters: str) -> None:
    for who in voters:
        market.call(who, "orders:Vote", ORG1, "o", outcome)


# Prices


def test_a_price_list_is_replaced_as_a_whole_and_its_versions_are_counted(market):
    second = market.publish(ORG2, "second", {"gpu-hour": 5})
    assert second["version"] == 2
    listed = market.read("prices:Read", ORG2)
    assert (listed["version"], listed["services"]) == (2, {"gpu-hour": 5})
    market.refused("FL-PRICE-UNKNOWN", ORG1, "prices:Read", ORG1)


def test_a_repeated_publication_does_not_bring_an_old_price_list_back(market):
    market.publish(ORG2, "second", {"gpu-hour": 5})
    assert market.publish(ORG2, "first", {"gpu-hour": 3, "cpu-hour": 1})["version"] == 1
    assert not market.wrote
    assert market.read("prices:Read", ORG2)["services"] == {"gpu-hour": 5}
    other = {"request_id": "first", "services": {"gpu-hour": 4}}
    market.refused("FL-CONFLICT", ORG2, "prices:Publish", other)


@pytest.mark.parametrize(
    "services", [{"gpu-hour": 0}, {"gpu-hour": "1"}, {"GPU": 1}, {"a/b": 1}, ["gpu-hour"], {"": 1}]
)
def test_prices_are_positive_integers_by_the_ids_of_services(market, services):
    market.refused("FL-ARGUMENT-INVALID", ORG2, "prices:Publish", {"request_id": "x", "services": services})


# Placing


def test_an_order_locks_its_price_and_returns_the_change(market):
    order = market.ordered()
    assert (order["amount"], order["status"], order["ended_by"]) == (12, "placed", None)
    assert (market.balance(ORG1), market.balance(ORG2), market.locked()) == (88, 0, {"order o": 12})
    assert market.read("orders:Read", ORG1, "o") == order
    market.check_conserved()


def test_an_order_at_another_version_of_the_price_list_is_refused(market):
    market.publish(ORG2, "second", {"gpu-hour": 50})
    market.refused("FL-PRICE-CHANGED", ORG1, "orders:Place", market.job())
    market.refused("FL-PRICE-CHANGED", ORG1, "orders:Place", market.job(version=3))
    market.refused("FL-TOKEN-FUNDS", ORG1, "orders:Place", market.job(version=2))
    assert market.locked() == {}


def test_an_order_that_was_placed_keeps_its_price(market):
    market.ordered()
    market.publish(ORG2, "second", {"gpu-hour": 50})
    market.call(ORG1, "orders:Confirm", "o")
    assert market.balance(ORG2) == 12


def test_what_is_not_listed_cannot_be_ordered_nor_from_oneself_nor_from_who_is_not_active(market):
    market.refused("FL-PRICE-UNKNOWN", ORG1, "orders:Place", market.job(service="tpu-hour"))
    market.refused("FL-PRICE-UNKNOWN", ORG1, "orders:Place", market.job(provider=ORG3))
    market.refused("FL-MARKET-SELF", ORG1, "orders:Place", market.job(provider=ORG1))
    market.refused("FL-PARTICIPANT-UNKNOWN", ORG1, "orders:Place", market.job(provider=ORG4))
    market.suspend(ORG2)
    market.refused("FL-PARTICIPANT-INACTIVE", ORG1, "orders:Place", market.job())


def test_a_price_beyond_all_integers_is_refused(market):
    market.publish(ORG2, "second", {"gpu-hour": 2**53 - 1})
    market.refused("FL-ARGUMENT-INVALID", ORG1, "orders:Place", market.job(version=2, quantity=2))
    market.refused("FL-ARGUMENT-INVALID", ORG1, "orders:Place", market.job(quantity=0))


def test_a_repeated_order_is_answered_from_the_record_also_when_it_has_ended(market):
    wanted = market.job()
    order = market.call(ORG1, "orders:Place", wanted)
    assert market.call(ORG1, "orders:Place", wanted) == order
    assert not market.wrote
    settled = market.call(ORG1, "orders:Confirm", "o")
    assert market.call(ORG1, "orders:Place", wanted) == settled
    assert not market.wrote
    for change in ({"quantity": 5}, {"job": "another"}, {"provider": ORG3}, {"version": 2}, {"inputs": ["0" * 64]}):
        market.refused("FL-CONFLICT", ORG1, "orders:Place", {**wanted, **change})


# Ending


def test_the_buyers_confirmation_pays_the_provider(market):
    market.ordered()
    order = market.call(ORG1, "orders:Confirm", "o")
    assert (order["status"], order["ended_by"]) == ("settled", "confirmation")
    assert [market.balance(one) for one in PARTIES] == [88, 12, 0]
    assert market.locked() == {}
    (paid,) = market.read("tokens:Entries", ORG2)
    assert paid["cause"] == "market/order/Org1MSP/o"
    market.check_conserved()


def test_the_provider_refunds_the_buyer(market):
    market.ordered()
    order = market.call(ORG2, "orders:Refund", ORG1, "o")
    assert (order["status"], order["ended_by"]) == ("refunded", "provider")
    assert [market.balance(one) for one in PARTIES] == [100, 0, 0]
    assert market.locked() == {}
    market.check_conserved()


def test_nobody_else_confirms_or_refunds(market):
    market.ordered()
    for who in (ORG2, ORG3):
        market.refused("FL-ORDER-UNKNOWN", who, "orders:Confirm", "o")
    for who in (ORG1, ORG3):
        market.refused("FL-MARKET-PARTY", who, "orders:Refund", ORG1, "o")


@pytest.mark.parametrize(("outcome", "balances"), [("settle", [88, 12, 0]), ("refund", [100, 0, 0])])
def test_a_majority_ends_an_order_either_way(market, outcome, balances):
    market.ordered()
    vote(market, outcome, ORG3)
    market.refused("FL-MARKET-VOTES", ORG3, "orders:Decide", ORG1, "o", outcome)
    vote(market, outcome, ORG2)
    order = market.call("AnybodyMSP", "orders:Decide", ORG1, "o", outcome)
    assert order["ended_by"] == "vote"
    assert [market.balance(one) for one in PARTIES] == balances
    market.check_conserved()


def test_votes_for_different_outcomes_make_no_majority_together(market):
    market.ordered()
    vote(market, "settle", ORG2)
    vote(market, "refund", ORG1)
    for outcome in ("settle", "refund"):
        market.refused("FL-MARKET-VOTES", ORG1, "orders:Decide", ORG1, "o", outcome)
    vote(market, "refund", ORG2)  # it gives in
    assert market.call(ORG1, "orders:Decide", ORG1, "o", "refund")["status"] == "refunded"


def test_only_the_consortium_votes_and_only_on_what_has_not_ended(market):
    market.call(ORG4, "participants:Register", {"name": "outside"})
    market.refused("FL-ORDER-UNKNOWN", ORG3, "orders:Vote", ORG1, "o", "settle")
    market.ordered()
    market.refused("FL-CONSORTIUM-OUTSIDE", ORG4, "orders:Vote", ORG1, "o", "settle")
    vote(market, "settle", ORG3)
    market.call(ORG1, "orders:Confirm", "o")
    market.refused("FL-ORDER-ENDED", ORG2, "orders:Vote", ORG1, "o", "refund")
    vote(market, "settle", ORG3)  # it is there already
    assert not market.wrote


def test_an_order_ends_once_and_the_same_end_is_answered_again(market):
    market.ordered()
    settled = market.call(ORG1, "orders:Confirm", "o")
    assert market.call(ORG1, "orders:Confirm", "o") == settled
    assert market.call(ORG1, "orders:Decide", ORG1, "o", "settle") == settled
    assert not market.wrote
    market.refused("FL-ORDER-ENDED", ORG2, "orders:Refund", ORG1, "o")
    market.refused("FL-ORDER-ENDED", ORG3, "orders:Decide", ORG1, "o", "refund")
    assert market.balance(ORG2) == 12


def test_confirmation_and_refund_in_one_block_end_the_order_once(market):
    for first, second in ((0, 1), (1, 0)):
        market = Market()
        market.ordered()
        ends = [
            market.endorse(ORG1, "orders:Confirm", "o"),
            market.endorse(ORG2, "orders:Refund", ORG1, "o"),
        ]
        assert market.ledger.commit(ends[first], ends[second]) == [True, False]
        market.check_conserved()
        assert market.locked() == {}


def test_votes_and_orders_of_one_provider_in_one_block_do_not_conflict(market):
    split = {"request_id": "t", "inputs": market.entries(ORG1), "to": ORG1, "amount": 50}
    halves = market.call(ORG1, "tokens:Transfer", split)["outputs"]
    block = [
        market.endorse(ORG1, "orders:Place", market.job(request_id=f"o{i}", inputs=[one], quantity=1))
        for i, one in enumerate(halves)
    ]
    assert market.ledger.commit(*block) == [True, True]
    votes = [market.endorse(who, "orders:Vote", ORG1, "o0", "settle") for who in PARTIES]
    assert market.ledger.commit(*votes) == [True] * 3
    market.check_conserved()


def test_who_has_withdrawn_still_confirms_and_refunds_and_who_is_suspended_does_not(market):
    market.ordered()
    market.ordered(request_id="o2")
    for who, call in ((ORG1, ("orders:Confirm", "o")), (ORG2, ("orders:Refund", ORG1, "o2"))):
        market.suspend(who)
        market.refused("FL-PARTICIPANT-INACTIVE", who, *call)
        market.suspend(who, "withdrawn")
        market.call(who, *call)
    assert market.locked() == {}
    assert market.balance(ORG2) == 12


def test_tokens_earned_by_contributions_pay_for_compute(market):
    market.call(ORG1, "tokens:Transfer", {"request_id": "t", "inputs": market.entries(ORG1), "to": ORG3, "amount": 100})
    scores = dict.fromkeys(PARTIES, 1)
    task = specification(budget=9, rounds=1)
    market.call(ORG3, "tasks:Create", task, {"inputs": market.entries(ORG3)})
    market.play(1, scores=scores)
    for who in PARTIES:
        market.open(who, 1, scores)
    market.call(ORG1, "rounds:Settle", "t1", 1)
    assert market.balance(ORG1) == 3
    market.ordered(quantity=1)
    market.call(ORG1, "orders:Confirm", "o")
    assert (market.balance(ORG1), market.balance(ORG2)) == (0, 6)
    market.check_conserved()
