"""Trade on a network of three organisations that call at once, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fabric_programs import needs_fabric
from task_processes import running_network

from fabric_fl.ledger import FLLedger, LedgerRefused
from fabric_fl.network.consortium import Consortium
from fl_chaincode.records import Entry, Lock, Offer

ORG1, ORG2, ORG3 = "Org1MSP", "Org2MSP", "Org3MSP"
SUPPLY = 3 * 40


@pytest.fixture(scope="module", params=["devnet", pytest.param("fabric", marks=needs_fabric)])
def ledgers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FLLedger]]:
    """Each organisation's view of the ledger; each holds forty tokens in entries of ten."""
    home = tmp_path_factory.mktemp("market") / ".network"
    with running_network(home, Consortium.default(3).on_free_ports(), request.param) as network:
        for to in (ORG1, ORG2, ORG3):
            for number in range(4):
                for voter in (ORG1, ORG2):
                    network.ledgers[voter].issue(f"{to.lower()}-{number}", to, 10)
        yield network.ledgers


def conserved(ledger: FLLedger) -> int:
    entries = sum(one.amount for one in ledger.records(Entry, page_size=3))
    return entries + sum(one.amount for one in ledger.records(Lock))


def test_two_buyers_at_once_one_takes_and_what_was_locked_is_never_lost(ledgers):
    entry = ledgers[ORG1].entries(ORG1)[0]
    ledgers[ORG1].make_offer("sale", [entry.id], amount=7, price=500, currency="EUR")

    def take(buyer: str) -> str:
        try:
            return ledgers[buyer].take_offer(ORG1, "sale", f"invoice of {buyer}").buyer or ""
        except LedgerRefused as error:
            return error.code

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(take, (ORG2, ORG3)))
    offer = ledgers[ORG1].offer(ORG1, "sale")
    assert sorted(answers) == sorted(["FL-OFFER-STATUS", offer.buyer])
    assert conserved(ledgers[ORG1]) == SUPPLY
    assert offer.reference == f"invoice of {offer.buyer}"
    settled = ledgers[ORG1].confirm_offer("sale", offer.reference)
    assert ledgers[ORG1].confirm_offer("sale", offer.reference) == settled
    assert conserved(ledgers[ORG1]) == SUPPLY
    assert list(ledgers[ORG2].records(Lock)) == []
    history = list(ledgers[ORG3].history(settled.key, page_size=2))
    assert [one.record and one.record["status"] for one in history] == ["settled", "taken", "open"]
    assert [one.status for one in ledgers[ORG3].records(Offer, {"currency": "EUR"})] == ["settled"]


def test_a_confirmation_and_a_refund_at_once_end_the_order_once(ledgers):
    ledgers[ORG2].publish_prices("first", {"gpu-hour": 3})
    entry = ledgers[ORG1].entries(ORG1)[0]
    wanted = {"provider": ORG2, "service": "gpu-hour", "version": 1, "quantity": 1, "job": "train"}
    order = ledgers[ORG1].place_order("job", [entry.id], **wanted)
    before = {one: ledgers[ORG1].balance(one) for one in (ORG1, ORG2)}
    ends = [
        lambda: ledgers[ORG1].confirm_order("job"),
        lambda: ledgers[ORG2].refund_order(ORG1, "job"),
        lambda: ledgers[ORG1].confirm_order("job"),
    ]

    def end(index: int) -> str:
        try:
            return ends[index]().status
        except LedgerRefused as error:
            return error.code

    with ThreadPoolExecutor() as pool:
        answers = set(pool.map(end, range(3)))
    after = ledgers[ORG1].order(ORG1, "job")
    assert answers == {after.status, "FL-ORDER-ENDED"}
    gained = {one: ledgers[ORG1].balance(one) - before[one] for one in (ORG1, ORG2)}
    settled = after.status == "settled"
    assert gained == {ORG1: 0 if settled else order.amount, ORG2: order.amount if settled else 0}
    assert conserved(ledgers[ORG1]) == SUPPLY


def test_payments_from_everybody_to_one_account_all_arrive(ledgers):
    held = ledgers[ORG3].balance(ORG3)
    payments = [(owner, one) for owner in (ORG1, ORG2) for one in ledgers[owner].entries(owner)]

    def pay(payment: tuple[str, Entry]) -> None:
        owner, one = payment
        ledgers[owner].transfer(f"all-{one.id[:20]}", [one.id], ORG3, one.amount)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pay, payments))
    assert ledgers[ORG3].balance(ORG3) == held + sum(one.amount for _, one in payments)
    assert conserved(ledgers[ORG3]) == SUPPLY


def test_the_contract_describes_itself_to_whoever_asks(ledgers):
    contracts = ledgers[ORG3].describe()["contracts"]
    assert {"offers", "orders", "prices", "records", "tokens"} <= set(contracts)
