"""Reading records: pages that neither repeat nor lose any, by their fields, and histories."""

import json

import pytest
from contract_scenario import ORG1, ORG2, ORG3, TASK, Scenario, examples
from every_call import call_everything
from hypothesis import given
from hypothesis import strategies as st
from market_scenario import Market

from fl_chaincode import reading
from fl_chaincode.kinds import KINDS


@pytest.fixture(scope="module")
def market() -> Market:
    """Two rounds of a task, and some trade."""
    market = Market()
    market.create(budget=100, id=TASK)
    for number in (1, 2):
        market.play(number, scores=dict.fromkeys(market.organisations, 1))
    market.ordered()
    market.taken(ORG3)
    return market


@pytest.fixture(scope="module")
def everything() -> Market:
    """At least one record of every kind."""
    market = Market()
    call_everything(market)
    market.call(ORG1, "offers:Make", market.sale(request_id="open", amount=1))
    return market


def page(scenario: Scenario, kind: str, size: int = 100, bookmark: str | None = None, **where: str | int) -> dict:
    query = {"kind": kind, "size": size, "where": where}
    return scenario.read("records:Page", query if bookmark is None else {**query, "bookmark": bookmark})


def pages(scenario: Scenario, kind: str, size: int, **where: str | int) -> list[dict]:
    found = [page(scenario, kind, size, **where)]
    while found[-1]["bookmark"] is not None:
        found.append(page(scenario, kind, size, found[-1]["bookmark"], **where))
    return found


def stored(scenario: Scenario, kind: str) -> list[str]:
    state = scenario.ledger.state()
    prefix = KINDS[kind].PREFIX
    keys = [key for key, _ in state.scan(f"{prefix}/", f"{prefix}0")]
    return keys or ([prefix] if state.get(prefix) else [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_in_pages_of_any_size(everything, kind):
    assert stored(everything, kind)
    for size in (1, 2, 1000):
        found = pages(everything, kind, size)
        assert [one["key"] for each in found for one in each["records"]] == stored(everything, kind)
        assert all(len(each["records"]) <= size for each in found)
    for one in page(everything, kind)["records"]:
        assert everything.read("records:Read", one["key"]) == one["record"]
        assert KINDS[kind].from_json(one["record"]).key == one["key"]


def test_no_kind_of_record_lies_among_the_keys_of_another():
    for one in KINDS:
        assert not any(other != one and (other + "/").startswith(one + "/") for other in KINDS)


def keys(scenario: Scenario, kind: str, **where: str | int) -> list[str]:
    return [one["key"] for each in pages(scenario, kind, 2, **where) for one in each["records"]]


def test_fields_narrow_a_page_down(market):
    assert keys(market, "update", task=TASK, round=2) == [f"update/t1/00000002/Org{i}MSP" for i in (1, 2, 3)]
    assert keys(market, "update", participant=ORG2) == ["update/t1/00000001/Org2MSP", "update/t1/00000002/Org2MSP"]
    assert keys(market, "update", task=TASK, participant=ORG2, round=1) == ["update/t1/00000001/Org2MSP"]
    assert keys(market, "round", status="committed") == ["round/t1/00000001", "round/t1/00000002"]
    assert keys(market, "market/offer", status="taken", buyer=ORG3) == ["market/offer/Org1MSP/s"]
    assert keys(market, "market/offer", buyer=ORG2) == []
    assert keys(market, "task", id="t") == []  # never what only begins so
    assert keys(market, "consortium") == ["consortium"]
    assert keys(market, "update", task=TASK, round=10**9) == []


@pytest.mark.parametrize(
    "where", [{"unknown": 1}, {"round": "1"}, {"task": 1}, {"included": "x"}, {"to_json": "x"}, {"schema": 1}]
)
def test_a_field_that_a_kind_does_not_have_or_of_another_type_is_refused(market, where):
    market.refused("FL-RECORD-FIELD", ORG1, "records:Page", {"kind": "round", "size": 1, "where": where})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "secrets"},
        {"size": 0},
        {"size": 1001},
        {"where": {"task": "a/b"}},
        {"where": {"task": True}},
        {"where": {"task": ""}},
        {"bookmark": ""},
        {"bookmark": "a\u0000"},
    ],
)
def test_a_query_of_another_form_is_refused(market, change):
    market.refused("FL-ARGUMENT-INVALID", ORG1, "records:Page", {"kind": "round", "size": 1, **change})


@pytest.mark.parametrize("bookmark", ["round0", "round", "update/t1", "task/t1", "round/t2"])
def test_a_bookmark_leads_nowhere_but_into_its_own_query(market, bookmark):
    query = {"kind": "round", "size": 1, "where": {"task": TASK}, "bookmark": bookmark}
    market.refused("FL-RECORD-BOOKMARK", ORG1, "records:Page", query)


def test_a_page_ends_when_it_has_looked_at_enough(market, monkeypatch):
    monkeypatch.setattr(reading, "MAX_COMPARED", 2)
    found = pages(market, "update", 5, participant=ORG3)
    assert [len(one["records"]) for one in found] == [0, 1, 1]


@examples(20)
@given(
    before=st.sets(st.integers(0, 30), min_size=5),
    gone=st.sets(st.integers(0, 30)),
    come=st.sets(st.integers(31, 60)),
    size=st.integers(1, 4),
)
def test_what_stays_is_seen_once_whatever_is_written_and_deleted_between_two_pages(before, gone, come, size):
    """Offers are made; while somebody turns the pages some entries are spent and others arise."""
    scenario = Scenario()
    ids = {number: scenario.mint(ORG1, 1, f"m{number:02d}") for number in sorted(before)}
    first = page(scenario, "token/entry", size, owner=ORG1)
    seen = [one["record"]["id"] for one in first["records"]]
    for number in sorted(gone & before):
        order = {"request_id": f"t{number}", "inputs": [ids[number]], "to": ORG2, "amount": 1}
        scenario.call(ORG1, "tokens:Transfer", order)
    for number in sorted(come):
        scenario.mint(ORG1, 1, f"m{number}")
    bookmark = first["bookmark"]
    while bookmark is not None:
        following = page(scenario, "token/entry", size, bookmark, owner=ORG1)
        seen += [one["record"]["id"] for one in following["records"]]
        bookmark = following["bookmark"]
    assert len(frozenset(seen)) == len(seen)
    assert frozenset(ids[number] for number in before - gone) <= frozenset(seen)


# History


def history(scenario: Scenario, key: str, size: int = 100, bookmark: str | None = None) -> dict:
    query = {"key": key, "size": size}
    return scenario.read("records:History", query if bookmark is None else {**query, "bookmark": bookmark})


def test_a_history_has_every_version_the_newest_first_and_deletions():
    market = Market()
    market.taken()
    market.call(ORG1, "offers:Confirm", "s", "invoice 7")
    versions = history(market, "market/offer/Org1MSP/s")["versions"]
    assert [one["record"]["status"] for one in versions] == ["settled", "taken", "open"]
    lock = history(market, "token/lock/offer/Org1MSP/s")["versions"]
    assert [one["record"] and one["record"]["amount"] for one in lock] == [None, 40]
    assert lock[0]["transaction"] == versions[0]["transaction"]
    assert len({one["transaction"] for one in versions}) == 3


def test_a_history_is_read_in_pages_that_newer_versions_do_not_move():
    scenario = Scenario()
    for number in range(5):
        scenario.call(ORG1, "participants:Register", {"name": f"name {number}"})
    first = history(scenario, "participant/Org1MSP", 2)
    scenario.call(ORG1, "participants:Register", {"name": "the newest"})
    names, bookmark = [one["record"]["name"] for one in first["versions"]], first["bookmark"]
    while bookmark is not None:
        following = history(scenario, "participant/Org1MSP", 2, bookmark)
        names += [one["record"]["name"] for one in following["versions"]]
        bookmark = following["bookmark"]
    assert names == ["name 4", "name 3", "name 2", "name 1", "name 0", ORG1]


def test_a_history_of_nothing_and_one_from_nowhere_are_refused():
    scenario = Scenario()
    scenario.refused("FL-RECORD-UNKNOWN", ORG1, "records:History", {"key": "task/none", "size": 1})
    scenario.refused("FL-RECORD-UNKNOWN", ORG1, "records:Read", "task/none")
    beyond = {"key": "participant/Org1MSP", "size": 1, "bookmark": "0" * 64}
    scenario.refused("FL-RECORD-BOOKMARK", ORG1, "records:History", beyond)


def test_a_query_of_a_snapshot_sees_no_later_versions():
    scenario = Scenario()
    before = scenario.ledger.state()
    scenario.call(ORG1, "participants:Register", {"name": "later"})
    names = [json.loads(one.value)["name"] for one in before.history("participant/Org1MSP") if one.value]
    assert names == [ORG1]


def test_a_transaction_that_was_not_valid_leaves_no_version():
    scenario = Scenario()
    entry = scenario.mint(ORG1, 10)
    orders = [{"request_id": f"t{i}", "inputs": [entry], "to": ORG2, "amount": 10} for i in range(2)]
    both = [scenario.endorse(ORG1, "tokens:Transfer", order) for order in orders]
    assert scenario.ledger.commit(*both) == [True, False]
    assert len(history(scenario, f"token/entry/Org1MSP/{entry}")["versions"]) == 2
    scenario.refused("FL-RECORD-UNKNOWN", ORG1, "records:History", {"key": "token/transfer/Org1MSP/t1", "size": 1})
