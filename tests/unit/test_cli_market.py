"""The commands that move tokens and trade them, and that read records."""

import json

import pytest

from fabric_fl.record_calls import RecordPage
from fl_chaincode.records import Entry, Offer, Participant


@pytest.fixture
def rich(clients):
    """Org1 has 60 and 40 tokens."""
    for request, amount in (("a", 60), ("b", 40)):
        for msp_id in ("Org1MSP", "Org2MSP"):
            clients[msp_id].issue(request, "Org1MSP", amount)
    return clients


def value(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_transfer_repeated_under_its_name_is_answered_again_although_its_entries_are_spent(call, rich):
    pay = ("tokens", "transfer", "Org2MSP", 70, "--request-id", "p1", "--format", "json")
    first = value(call(*pay))
    assert value(call(*pay)) == first
    assert rich["Org1MSP"].balance("Org2MSP") == 70
    other = call("tokens", "transfer", "Org2MSP", 71, "--request-id", "p1")
    assert (other.exit_code, other.stderr.split(":")[0]) == (1, "error FL-CONFLICT")


def test_an_allowance_is_approved_shown_and_spent(call, rich):
    approved = call("tokens", "approve", "Org2MSP", 50, "--expected", 0, "--request-id", "a1")
    assert approved.stdout == "Org2MSP may spend 50 tokens (request a1).\n"
    spend = ("tokens", "transfer-from", "Org1MSP", "Org3MSP", 30, "--request-id", "s1")
    for _ in range(2):
        assert call(*spend, organisation=2).stdout == "30 tokens of Org1MSP paid to Org3MSP (request s1).\n"
    assert call("tokens", "allowance", "Org1MSP", "Org2MSP").stdout == "Org2MSP may spend 20 tokens of Org1MSP.\n"
    late = call("tokens", "approve", "Org2MSP", 5, "--expected", 50)
    assert late.stderr.splitlines() == [
        "error FL-TOKEN-EXPECTED: Org2MSP may spend 20 now, not 50",
        "The allowance is another one by now: read tokens:Allowance, then approve anew.",
    ]
    beyond = call("tokens", "transfer-from", "Org1MSP", "Org3MSP", 21, organisation=2)
    assert beyond.stderr.startswith("error FL-TOKEN-ALLOWANCE: ")
    assert rich["Org1MSP"].balance("Org3MSP") == 30


def test_compute_is_priced_ordered_and_paid(call, rich):
    published = call("prices", "publish", "gpu-hour=3", "cpu-hour=1", "--description", "A100", organisation=2)
    assert published.stdout == "Price list 1 of Org2MSP published.\n"
    lines = call("prices", "show").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["Org2MSP", "1", "cpu-hour", "1"],
        ["Org2MSP", "1", "gpu-hour", "3"],
    ]
    assert call("prices", "show", "Org2MSP", "--format", "json").exit_code == 0
    place = ("orders", "place", "Org2MSP", "gpu-hour", 4, "train", "--request-id", "o1")
    assert call(*place).stdout == "Order o1 of Org1MSP is placed: 4 gpu-hour of Org2MSP for 12 tokens.\n"
    assert "locked     12" in call("balances").stdout
    call("prices", "publish", "gpu-hour=9", organisation=2)
    assert call(*place).stdout.startswith("Order o1 of Org1MSP is placed")  # at the price of before
    assert call("orders", "confirm", "o1").stdout.startswith("Order o1 of Org1MSP is settled")
    assert value(call("balances", "--format", "json"))["balances"] == {"Org1MSP": 88, "Org2MSP": 12, "Org3MSP": 0}
    call("orders", "place", "Org2MSP", "gpu-hour", 1, "train", "--request-id", "o2")
    assert "is refunded" in call("orders", "refund", "Org1MSP", "o2", organisation=2).stdout
    (only,) = value(call("orders", "list", "--status", "settled", "--provider", "Org2MSP", "--format", "json"))
    assert only["request_id"] == "o1"


def test_a_disputed_order_is_ended_by_the_vote_that_completes_a_majority(call, rich):
    call("prices", "publish", "gpu-hour=3", organisation=2)
    call("orders", "place", "Org2MSP", "gpu-hour", 4, "train", "--request-id", "o1")
    assert "is placed" in call("orders", "vote", "Org1MSP", "o1", "refund").stdout
    assert "is refunded" in call("orders", "vote", "Org1MSP", "o1", "refund", organisation=3).stdout
    assert rich["Org1MSP"].balance("Org1MSP") == 100


def test_tokens_are_offered_taken_and_paid_for(call, rich):
    make = ("market", "offer", 40, 1000, "EUR", "--terms", "by transfer", "--request-id", "s1")
    for _ in range(2):
        assert call(*make).stdout == "Offer s1 of Org1MSP is open: 40 tokens for 1000 EUR.\n"
    taken = call("market", "take", "Org1MSP", "s1", "invoice 7", organisation=2)
    assert taken.stdout == "Offer s1 of Org1MSP is taken by Org2MSP, reference invoice 7: 40 tokens for 1000 EUR.\n"
    wrong = call("market", "confirm", "s1", "invoice 8")
    assert wrong.stderr.startswith("error FL-OFFER-REFERENCE: ")
    assert "is settled" in call("market", "confirm", "s1", "invoice 7").stdout
    row = call("market", "list", "--status", "settled", "--buyer", "Org2MSP").stdout.splitlines()[1]
    assert row.split() == ["Org1MSP", "s1", "40", "1000", "EUR", "settled", "Org2MSP", "invoice", "7", "confirmation"]
    assert call("market", "volumes").stdout.splitlines()[1].split() == ["tokens", "EUR", "1", "40", "1000"]


def test_an_offer_is_withdrawn_cancelled_by_both_or_decided_by_vote(call, rich):
    for request in ("s1", "s2", "s3"):
        call("market", "offer", 10, 100, "EUR", "--request-id", request)
    assert "is withdrawn" in call("market", "withdraw", "s1").stdout
    for request in ("s2", "s3"):
        call("market", "take", "Org1MSP", request, "invoice 7", organisation=2)
    assert call("market", "cancel", "Org1MSP", "s2").stdout.endswith(" Asked for by Org1MSP.\n")
    assert "is cancelled" in call("market", "cancel", "Org1MSP", "s2", organisation=2).stdout
    assert "is taken" in call("market", "vote", "Org1MSP", "s3", "settle", organisation=2).stdout
    assert "is settled" in call("market", "vote", "Org1MSP", "s3", "settle", organisation=3).stdout
    assert rich["Org1MSP"].balance("Org2MSP") == 10


@pytest.mark.parametrize("service", ["gpu-hour", "gpu-hour=", "=3", "gpu-hour=-1", "gpu-hour=1.5", "gpu-hour=٣"])
def test_a_price_of_another_form_is_refused_before_anything_is_sent(call, rich, service):
    result = call("prices", "publish", service)
    assert result.exit_code == 2
    assert "gpu-hour=3" in result.stderr


# Records


def test_records_are_listed_by_their_fields(call, rich):
    lines = call("ledger", "list", "participant", "status=active").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"participant/Org{n}MSP" for n in (1, 2, 3)]
    found = call("ledger", "list", "token/entry", "amount=40", "--format", "json").stdout.splitlines()
    assert [json.loads(line)["record"]["amount"] for line in found] == [40]
    assert call("ledger", "list", "secrets").exit_code == 2
    assert call("ledger", "list", "task", "id").exit_code == 2
    assert call("ledger", "list", "task", "colour=1").stderr.startswith("error FL-RECORD-FIELD: ")
    assert value(call("ledger", "read", "token/supply")) == {"schema": 1, "supply": 100}


def test_the_history_of_a_record_is_printed_the_newest_first(call, rich):
    call("market", "offer", 10, 100, "EUR", "--request-id", "s1")
    call("market", "withdraw", "s1")
    versions = call("ledger", "history", "market/offer/Org1MSP/s1", "--format", "json").stdout.splitlines()
    assert [json.loads(line)["record"]["status"] for line in versions] == ["withdrawn", "open"]
    assert call("ledger", "history", "token/lock/offer/Org1MSP/s1").stdout.splitlines()[0].endswith("  deleted")
    assert call("ledger", "history", "task/none").stderr.startswith("error FL-RECORD-UNKNOWN: ")


def test_the_contract_describes_itself(call, rich):
    assert "tokens:Transfer.order" in value(call("ledger", "describe"))["components"]["schemas"]


def test_the_sdk_turns_the_pages(rich):
    ledger = rich["Org1MSP"]
    page = ledger.page(Participant, size=2)
    assert isinstance(page, RecordPage)
    assert [one.msp_id for one in page.records] == ["Org1MSP", "Org2MSP"]
    rest = ledger.page(Participant, size=2, bookmark=page.bookmark)
    assert ([one.msp_id for one in rest.records], rest.bookmark) == (["Org3MSP"], None)
    for size in (1, 2, 100):
        assert [one.amount for one in ledger.records(Entry, {"owner": "Org1MSP"}, page_size=size)] == [
            one.amount for one in ledger.entries("Org1MSP")
        ]
    assert list(ledger.records(Offer)) == []
    for number in range(3):
        ledger.register(f"name {number}")
    names = [one.record["name"] for one in ledger.history("participant/Org1MSP", page_size=2)]
    assert names == ["name 2", "name 1", "name 0", "Hospital 1"]
