"""Long ranges, pages and histories of the contract fl, as a peer serves them."""

import json
import sys

import pytest
from ccaas_peer import Peer, creator_of
from ccaas_process import ChaincodeProcess
from ccaas_tls import issue
from fabric_protos.ledger.queryresult import kv_query_result_pb2

from fl_chaincode.records import Entry

COMMAND = (sys.executable, "-m", "fl_chaincode")
SETTINGS = {"FL_CONSORTIUM": "Org1MSP,Org2MSP,Org3MSP"}


@pytest.fixture(scope="module")
def chaincode():
    with ChaincodeProcess(env=SETTINGS, command=COMMAND) as process:
        yield process


@pytest.fixture(scope="module")
def anybody(tmp_path_factory):
    certificate = issue(tmp_path_factory.mktemp("org1"), "ana", {}, unit="client")
    return creator_of("Org1MSP", certificate.cert_pem)


def entries(count):
    made = [Entry(f"{number:064x}", "Org1MSP", number, "token/issue/r") for number in range(1, count + 1)]
    return {one.key: one.encode() for one in made}


@pytest.mark.parametrize("limit", [None, 100, 101, 250, 1000])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250, 1000])
def test_a_balance_counts_every_entry_whatever_the_peers_query_limit(chaincode, anybody, limit, count):
    with Peer(chaincode.address, state=entries(count)) as peer:
        peer.limit = limit
        outcome = peer.transact("tokens:BalanceOf", "Org1MSP", creator=anybody)
    assert json.loads(outcome.payload)["balance"] == count * (count + 1) // 2


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_pages_are_read_from_where_they_begin_and_no_further(chaincode, anybody, size):
    state = entries(350)
    seen, bookmark = [], None
    with Peer(chaincode.address, state=state) as peer:
        while not seen or bookmark:
            query = {"kind": "token/entry", "where": {"owner": "Org1MSP"}, "size": size}
            query |= {"bookmark": bookmark} if bookmark else {}
            outcome = peer.transact("records:Page", json.dumps(query), creator=anybody)
            page = json.loads(outcome.payload)
            seen += [one["key"] for one in page["records"]]
            bookmark = page["bookmark"]
            assert len(outcome.frames) <= size // 100 + 4
    assert seen == sorted(state)


def test_a_history_is_told_as_the_peer_has_it(chaincode, anybody):
    versions = [("ab" * 32, b"", 1_700_000_000, True), ("cd" * 32, b'{"amount":1,"schema":1}', 1_600_000_000, False)]
    with Peer(chaincode.address) as peer:
        for tx_id, value, seconds, deleted in versions:
            one = kv_query_result_pb2.KeyModification(tx_id=tx_id, value=value, is_delete=deleted)
            one.timestamp.seconds = seconds
            one.timestamp.nanos = 5_999_999
            peer.history.setdefault("token/entry/Org1MSP/x", []).append(one)
        query = {"key": "token/entry/Org1MSP/x", "size": 10}
        outcome = peer.transact("records:History", json.dumps(query), creator=anybody)
    assert json.loads(outcome.payload) == {
        "key": "token/entry/Org1MSP/x",
        "versions": [
            {"transaction": "ab" * 32, "timestamp_ms": 1_700_000_000_005, "record": None},
            {"transaction": "cd" * 32, "timestamp_ms": 1_600_000_000_005, "record": {"amount": 1, "schema": 1}},
        ],
        "bookmark": None,
    }
