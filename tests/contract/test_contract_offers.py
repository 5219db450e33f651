"""Offers of tokens for money: locked when made, and ended once."""

import pytest
from contract_scenario import ORG1, ORG2, ORG3, ORG4
from market_scenario import Market

PARTIES = (ORG1, ORG2, ORG3)
INVOICE = "invoice 7"


@pytest.fixture
def market() -> Market:
    return Market()


def made(market: Market, **changes) -> dict:
    return market.call(ORG1, "offers:Make", market.sale(**changes))


def vote(market: Market, outcome: str, *voters: str) -> None:
    for who in voters:
        market.call(who, "offers:Vote", ORG1, "s", outcome)


def balances(market: Market) -> list[int]:
    market.check_conserved()
    return [market.balance(one) for one in PARTIES]


def test_an_offer_locks_the_tokens_and_returns_the_change(market):
    offer = made(market)
    assert (offer["status"], offer["buyer"], offer["reference"]) == ("open", None, None)
    assert (balances(market), market.locked()) == ([60, 0, 0], {"offer s": 40})
    assert market.read("offers:Read", ORG1, "s") == offer
    (change,) = market.read("tokens:Entries", ORG1)
    assert change["cause"] == "market/offer/Org1MSP/s"


def test_locked_tokens_cannot_be_spent(market):
    entries = market.entries(ORG1)
    made(market)
    order = {"request_id": "t", "inputs": entries, "to": ORG2, "amount": 1}
    market.refused("FL-TOKEN-INPUT", ORG1, "tokens:Transfer", order)
    everything = {**order, "inputs": market.entries(ORG1), "amount": 61}
    market.refused("FL-TOKEN-FUNDS", ORG1, "tokens:Transfer", everything)


def test_the_sellers_confirmation_of_the_agreed_reference_gives_the_buyer_the_tokens(market):
    market.taken(ORG2, INVOICE)
    assert balances(market) == [60, 0, 0]
    market.refused("FL-OFFER-REFERENCE", ORG1, "offers:Confirm", "s", "invoice 8")
    offer = market.call(ORG1, "offers:Confirm", "s", INVOICE)
    assert (offer["status"], offer["buyer"], offer["ended_by"]) == ("settled", ORG2, "confirmation")
    assert (balances(market), market.locked()) == ([60, 40, 0], {})


def test_an_open_offer_can_be_withdrawn_and_a_taken_one_cannot(market):
    made(market)
    offer = market.call(ORG1, "offers:Withdraw", "s")
    assert (offer["status"], offer["ended_by"]) == ("withdrawn", "seller")
    assert (balances(market), market.locked()) == ([100, 0, 0], {})
    market.refused("FL-OFFER-STATUS", ORG2, "offers:Take", ORG1, "s", INVOICE)
    made(market, request_id="s2")
    market.call(ORG2, "offers:Take", ORG1, "s2", INVOICE)
    market.refused("FL-OFFER-STATUS", ORG1, "offers:Withdraw", "s2")


def test_an_offer_is_taken_by_one_buyer_with_one_reference(market):
    taken = market.taken(ORG2, INVOICE)
    assert market.call(ORG2, "offers:Take", ORG1, "s", INVOICE) == taken
    assert not market.wrote
    market.refused("FL-CONFLICT", ORG2, "offers:Take", ORG1, "s", "invoice 8")
    market.refused("FL-OFFER-STATUS", ORG3, "offers:Take", ORG1, "s", INVOICE)
    market.refused("FL-MARKET-SELF", ORG1, "offers:Take", ORG1, "s", INVOICE)


def test_a_delayed_take_does_not_take_again_what_was_cancelled(market):
    market.taken(ORG2, INVOICE)
    for who in (ORG1, ORG2):
        market.call(who, "offers:Cancel", ORG1, "s")
    assert market.call(ORG2, "offers:Take", ORG1, "s", INVOICE)["status"] == "cancelled"
    assert not market.wrote


def test_both_cancel_together_and_one_alone_does_not(market):
    market.taken(ORG2, INVOICE)
    assert market.call(ORG2, "offers:Cancel", ORG1, "s")["status"] == "taken"
    market.call(ORG2, "offers:Cancel", ORG1, "s")
    assert not market.wrote
    market.refused("FL-MARKET-PARTY", ORG3, "offers:Cancel", ORG1, "s")
    assert market.locked() == {"offer s": 40}
    offer = market.call(ORG1, "offers:Cancel", ORG1, "s")
    assert (offer["status"], offer["cancelled_by"], offer["ended_by"]) == ("cancelled", [ORG1, ORG2], "agreement")
    assert (balances(market), market.locked()) == ([100, 0, 0], {})
    for who in (ORG1, ORG2):
        assert market.call(who, "offers:Cancel", ORG1, "s") == offer
        assert not market.wrote


def test_who_has_asked_to_cancel_can_still_confirm(market):
    market.taken(ORG2, INVOICE)
    market.call(ORG1, "offers:Cancel", ORG1, "s")
    market.call(ORG1, "offers:Confirm", "s", INVOICE)
    assert balances(market) == [60, 40, 0]
    market.refused("FL-OFFER-STATUS", ORG2, "offers:Cancel", ORG1, "s")


@pytest.mark.parametrize(("outcome", "after"), [("settle", [60, 40, 0]), ("cancel", [100, 0, 0])])
def test_a_majority_ends_a_taken_offer_either_way(market, outcome, after):
    market.taken(ORG2, INVOICE)
    vote(market, outcome, ORG3)
    market.refused("FL-MARKET-VOTES", ORG3, "offers:Decide", ORG1, "s", outcome)
    vote(market, outcome, ORG1)
    offer = market.call("AnybodyMSP", "offers:Decide", ORG1, "s", outcome)
    assert offer["ended_by"] == "vote"
    assert (balances(market), market.locked()) == (after, {})


def test_only_taken_offers_are_voted_on_and_only_by_the_consortium(market):
    market.call(ORG4, "participants:Register", {"name": "outside"})
    made(market)
    market.refused("FL-OFFER-STATUS", ORG3, "offers:Vote", ORG1, "s", "cancel")
    market.refused("FL-OFFER-STATUS", ORG3, "offers:Decide", ORG1, "s", "cancel")
    market.call(ORG4, "offers:Take", ORG1, "s", INVOICE)
    market.refused("FL-CONSORTIUM-OUTSIDE", ORG4, "offers:Vote", ORG1, "s", "settle")
    vote(market, "settle", ORG2)
    vote(market, "settle", ORG2)
    assert not market.wrote
    market.refused("FL-MARKET-VOTES", ORG2, "offers:Decide", ORG1, "s", "settle")


def test_votes_of_who_has_left_the_consortium_do_not_count(market):
    market = Market(organisations=4)  # a majority is 3; of three members it is 2
    market.taken(ORG2, INVOICE)
    vote(market, "settle", ORG4, ORG3)
    for who in (ORG1, ORG2, ORG3):
        market.call(who, "consortium:Vote", {"request_id": "out", "kind": "remove", "subject": ORG4})
    market.refused("FL-MARKET-VOTES", ORG2, "offers:Decide", ORG1, "s", "settle")
    vote(market, "settle", ORG2)
    assert market.call(ORG2, "offers:Decide", ORG1, "s", "settle")["status"] == "settled"


def test_an_offer_ends_once(market):
    market.taken(ORG2, INVOICE)
    settled = market.call(ORG1, "offers:Confirm", "s", INVOICE)
    assert market.call(ORG1, "offers:Confirm", "s", INVOICE) == settled
    assert market.call(ORG3, "offers:Decide", ORG1, "s", "settle") == settled
    assert not market.wrote
    market.refused("FL-OFFER-REFERENCE", ORG1, "offers:Confirm", "s", "invoice 8")
    market.refused("FL-OFFER-STATUS", ORG1, "offers:Withdraw", "s")
    market.refused("FL-OFFER-STATUS", ORG1, "offers:Cancel", ORG1, "s")
    market.refused("FL-OFFER-STATUS", ORG1, "offers:Decide", ORG1, "s", "cancel")
    market.refused("FL-OFFER-STATUS", ORG3, "offers:Take", ORG1, "s", INVOICE)
    assert balances(market) == [60, 40, 0]


def test_a_repeated_offer_is_answered_from_the_record(market):
    wanted = market.sale()
    offer = market.call(ORG1, "offers:Make", wanted)
    assert market.call(ORG1, "offers:Make", wanted) == offer
    assert not market.wrote
    for change in ({"amount": 41}, {"price": 1}, {"currency": "USD"}, {"terms": ""}, {"inputs": ["0" * 64]}):
        market.refused("FL-CONFLICT", ORG1, "offers:Make", {**wanted, **change})


@pytest.mark.parametrize(
    "change",
    [{"amount": 0}, {"price": 0}, {"currency": "eur"}, {"currency": "EURO"}, {"terms": "a\nb"}, {"inputs": []}],
)
def test_an_offer_has_a_price_in_a_currency(market, change):
    market.refused("FL-ARGUMENT-INVALID", ORG1, "offers:Make", market.sale(**change))


def test_a_take_and_a_withdrawal_in_one_block_do_one_of_both(market):
    for first, second in ((0, 1), (1, 0)):
        market = Market()
        made(market)
        both = [market.endorse(ORG1, "offers:Withdraw", "s"), market.endorse(ORG2, "offers:Take", ORG1, "s", INVOICE)]
        assert market.ledger.commit(both[first], both[second]) == [True, False]
        market.check_conserved()
        assert market.locked() == ({} if first == 0 else {"offer s": 40})


def test_two_takes_in_one_block_take_once(market):
    made(market)
    takes = [market.endorse(who, "offers:Take", ORG1, "s", INVOICE) for who in (ORG2, ORG3)]
    assert market.ledger.commit(*takes) == [True, False]
    assert market.read("offers:Read", ORG1, "s")["buyer"] == ORG2


def test_a_suspended_seller_is_not_bought_from_and_one_that_has_withdrawn_is(market):
    made(market)
    market.suspend(ORG1)
    market.refused("FL-PARTICIPANT-INACTIVE", ORG2, "offers:Take", ORG1, "s", INVOICE)
    market.suspend(ORG1, "withdrawn")
    market.call(ORG2, "offers:Take", ORG1, "s", INVOICE)
    market.call(ORG1, "offers:Confirm", "s", INVOICE)
    assert balances(market) == [60, 40, 0]


def test_volumes_and_prices_are_those_of_what_was_settled(market):
    for request, amount, price, currency in (("a", 10, 500, "EUR"), ("b", 30, 900, "EUR"), ("c", 5, 700, "USD")):
        made(market, request_id=request, amount=amount, price=price, currency=currency)
        market.call(ORG2, "offers:Take", ORG1, request, INVOICE)
        market.call(ORG1, "offers:Confirm", request, INVOICE)
    made(market, request_id="d", amount=1, price=10**6)
    market.ordered(quantity=2)
    market.ordered(request_id="o2", quantity=5)
    market.call(ORG1, "orders:Confirm", "o")
    assert market.read("market:Volumes") == {
        "offers": {
            "EUR": {
                "trades": 2,
                "tokens": "40",
                "money": "1400",
                "lowest": {"price": 900, "amount": 30},
                "highest": {"price": 500, "amount": 10},
            },
            "USD": {
                "trades": 1,
                "tokens": "5",
                "money": "700",
                "lowest": {"price": 700, "amount": 5},
                "highest": {"price": 700, "amount": 5},
            },
        },
        "orders": {ORG2: {"gpu-hour": {"orders": 1, "quantity": "2", "tokens": "6"}}},
        "locked": {"offer": 1, "order": 15},
    }
