"""What a contract reads and writes: the state as simulation sees it, ranges, pages, history, other chaincodes."""

import json

import pytest
from fabric_network import ANY, MAJORITY

from fabric_fl.gateway import EndorseError, EvaluateError


def listed(contract, *call):
    return json.loads(contract.evaluate(*call))


def test_a_transaction_does_not_see_its_own_write(contract, key):
    contract.submit("Put", key, "old")
    assert contract.submit("Swap", key, "new") == b"old"
    assert contract.evaluate("Get", key) == b"new"


def test_a_query_writes_nothing(contract, key):
    contract.submit("Put", key, "old")
    assert contract.evaluate("Swap", key, "new") == b"old"
    assert contract.evaluate("Get", key) == b"old"


def test_a_deleted_key_is_gone_and_can_come_back(contract, key):
    contract.submit("Put", key, "v")
    contract.submit("Delete", key)
    with pytest.raises(EvaluateError, match="there is no"):
        contract.evaluate("Get", key)
    contract.submit("Put", key, "again")
    assert contract.evaluate("Get", key) == b"again"


def test_a_key_that_does_not_exist_can_be_deleted(contract, key):
    assert contract.submit("Delete", key) == b""


def test_several_keys_are_read_in_the_order_in_which_they_are_asked_for(contract, key):
    contract.submit("PutMany", key, "1", "2")
    keys = [key + "00002", key + "missing", key + "00001"]
    assert listed(contract, "GetMany", *keys) == [keys[0], None, keys[2]]


def test_keys_are_any_unicode(contract, key):
    name = key + "-ключ-鍵-🔑"
    contract.submit("Put", name, "v")
    assert contract.evaluate("Get", name) == b"v"


def test_a_range_has_its_start_and_not_its_end(contract, key):
    contract.submit("PutMany", key, "1", "4")
    assert listed(contract, "Range", key + "00002", key + "00004") == [key + "00002", key + "00003"]
    assert listed(contract, "Range", key + "00004", key + "00002") == []


def test_ranges_are_in_the_order_of_bytes(contract, key):
    names = [key + suffix for suffix in ("~", "z", "Z", "10", "9", "é", "🔑", "豈")]
    for name in names:
        contract.submit("Put", name, "v")
    assert listed(contract, "Range", key, key + "\U0010fffe") == sorted(names, key=str.encode)


def test_a_range_of_250_keys_comes_whole(contract, key):
    contract.submit("PutMany", key, "1", "250")
    assert listed(contract, "Range", key, key + "~") == [f"{key}{number:05d}" for number in range(1, 251)]


def test_pages_of_100_keys_follow_each_other_by_bookmark(contract, key):
    contract.submit("PutMany", key, "1", "250")
    pages, bookmark = [], ""
    while True:
        page = listed(contract, "Page", key, key + "~", "100", bookmark)
        pages.append(page["keys"])
        bookmark = page["bookmark"]
        if not bookmark:
            break
    assert [len(page) for page in pages] == [100, 100, 50]
    assert [each for page in pages for each in page] == [f"{key}{number:05d}" for number in range(1, 251)]


def test_a_bookmark_is_the_next_pages_first_key(contract, key):
    contract.submit("PutMany", key, "1", "5")
    page = listed(contract, "Page", key, key + "~", "2", "")
    assert page == {"keys": [key + "00001", key + "00002"], "bookmark": key + "00003"}


def test_a_transaction_that_reads_pages_may_not_write(contract, key):
    contract.submit("PutMany", key, "1", "5")
    with pytest.raises(EndorseError):
        contract.submit("PageThenPut", key, key + "~", "2", key)


def test_composite_keys_are_found_by_their_first_attributes(contract, key):
    for pair in (("a", "1"), ("a", "2"), ("ab", "3"), ("b", "4")):
        contract.submit("PutPair", key, *pair)
    assert listed(contract, "Pairs", key, "a") == [["a", "1"], ["a", "2"]]
    assert listed(contract, "Pairs", key) == [["a", "1"], ["a", "2"], ["ab", "3"], ["b", "4"]]


def test_simple_ranges_hold_no_composite_keys(contract, key):
    contract.submit("PutPair", key, "a", "1")
    assert not [each for each in listed(contract, "Range", "", "") if each.startswith("\0")]


def test_history_is_newest_first_and_tells_of_deletions(contract, key):
    ids = []
    for call in (("Put", key, "1"), ("Put", key, "2"), ("Delete", key), ("Put", key, "3")):
        submitted = contract.submit_async(*call)
        assert submitted.status().successful
        ids.append(submitted.transaction_id)
    history = listed(contract, "History", key)
    assert [(each["value"], each["deleted"]) for each in history] == [
        ("3", False),
        ("", True),
        ("2", False),
        ("1", False),
    ]
    assert [each["tx"] for each in history] == ids[::-1]
    assert all(each["time"] > 0 for each in history)


def test_history_knows_nothing_of_invalid_transactions(network, contract, key):
    contract.submit("Put", key, "1")
    one, two = (contract.new_proposal("Increment", key).endorse() for _ in range(2))
    assert one.submit().status().successful
    assert not two.submit().status().successful
    assert [each["value"] for each in listed(contract, "History", key)] == ["2", "1"]


def test_history_of_a_key_that_never_was_is_empty(contract, key):
    assert listed(contract, "History", key) == []


def test_rich_queries_need_another_database_or_answer(contract):
    """Peers with LevelDB refuse them, peers with CouchDB answer: nothing in between."""
    try:
        answer = listed(contract, "RichQuery", '{"selector":{"never":"there"}}')
    except EvaluateError as error:
        answer = error.message
    assert answer == [] or "leveldb" in answer


def test_a_contract_calls_another_and_gets_its_answer(network, contract, key):
    network.contract(ANY).submit("Put", key, "there")
    assert contract.evaluate("Call", ANY, "Get", key) == b"there"


def test_a_refusal_of_the_called_contract_comes_back(contract, key):
    with pytest.raises(EvaluateError, match=f"chaincode response 404, there is no {key}"):
        contract.evaluate("Call", ANY, "Get", key)


def test_writes_of_both_contracts_are_one_transaction(network, contract, key):
    contract.submit("CallAndPut", ANY, key, "outer", "Put", key, "inner")
    assert contract.evaluate("Get", key) == b"outer"
    assert network.contract(ANY).evaluate("Get", key) == b"inner"


def test_each_chaincode_has_a_state_of_its_own(network, contract, key):
    contract.submit("Put", key, "here")
    with pytest.raises(EvaluateError, match="there is no"):
        network.contract(ANY).evaluate("Get", key)


def test_the_called_contract_reads_the_state_before_the_transaction(network, contract, key):
    network.contract(ANY).submit("Put", key, "before")
    assert contract.submit("CallAndPut", ANY, key, "outer", "Swap", key, "after") == b"before"


def test_an_undefined_chaincode_cannot_be_called(contract):
    with pytest.raises(EvaluateError, match="nobody"):
        contract.evaluate("Call", "nobody", "Get", "k")


def test_a_contract_cannot_call_qscc(contract):
    """It would take a lock that the contract's own simulation holds."""
    with pytest.raises(EvaluateError, match="Rejecting invoke of QSCC from another chaincode"):
        contract.evaluate("Call", "qscc", "GetChainInfo", "fl")


def test_the_contract_knows_who_calls(network):
    for organisation in network.organisations:
        assert organisation.network.contract(MAJORITY).evaluate("Caller") == organisation.msp_id.encode()


def test_an_exception_in_a_contract_is_answered_at_once_and_without_its_text(contract):
    with pytest.raises(EvaluateError) as caught:
        contract.evaluate("Raise")
    assert "secret" not in str(caught.value)
