"""Several peers of one organisation behind one gateway."""

import time

import grpc
import pytest
from gateway_server import Events, Failure, GatewayServer, chaincode_events

from fabric_fl.gateway.errors import EndorseError
from fabric_fl.gateway.failover import FailoverChannel
from fabric_fl.gateway.gateway import Gateway
from fabric_fl.gateway.timeouts import Timeouts

GONE = Failure(grpc.StatusCode.UNAVAILABLE, "peer is gone")


@pytest.fixture
def peers():
    peers = [GatewayServer().start(), GatewayServer().start()]
    yield peers
    for peer in peers:
        peer.stop()


@pytest.fixture
def gateway(peers, identity):
    with grpc.insecure_channel(peers[0].address) as one, grpc.insecure_channel(peers[1].address) as two:
        timeouts = Timeouts(evaluate=2, endorse=2, submit=2, commit_status=2, resume=5)
        yield Gateway(FailoverChannel([one, two]), identity, timeouts=timeouts)


def test_a_call_goes_on_at_the_next_peer_and_stays_there(gateway, peers):
    contract = gateway.network("fl").contract("kv")
    assert contract.evaluate("Get", "a") == b"result of Get a"
    peers[0].stop()
    assert contract.evaluate("Get", "b") == b"result of Get b"
    assert contract.evaluate("Get", "c") == b"result of Get c"
    assert len(peers[1].requests["Evaluate"]) == 2


def test_a_commit_status_lost_with_its_peer_is_answered_by_another(gateway, peers):
    submitted = gateway.network("fl").contract("kv").submit_async("Put")
    peers[1].transactions = list(peers[0].transactions)
    peers[0].script["CommitStatus"].append(GONE)
    assert submitted.status().successful
    assert len(peers[1].requests["CommitStatus"]) == 1


def test_what_the_chaincode_answers_is_never_asked_elsewhere(gateway, peers):
    peers[0].script["Endorse"].append(Failure(grpc.StatusCode.ABORTED, "refused"))
    with pytest.raises(EndorseError, match="refused"):
        gateway.network("fl").contract("kv").submit("Put")
    assert not peers[1].requests


def test_when_no_peer_answers_the_call_fails_within_its_time_limit(gateway, peers):
    for peer in peers:
        peer.stop()
    begin = time.monotonic()
    with pytest.raises(EndorseError) as caught:
        gateway.network("fl").contract("kv").submit("Put")
    assert caught.value.grpc_code is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - begin < 3


def test_a_stream_goes_on_at_the_next_peer_where_it_broke(gateway, peers):
    peers[0].script["ChaincodeEvents"].append(Events(chaincode_events(1, "a"), failure=GONE))
    peers[1].script["ChaincodeEvents"].append(Events(chaincode_events(2, "b")))
    with gateway.network("fl").chaincode_events("kv", start_block=0) as stream:
        assert [next(stream).transaction_id, next(stream).transaction_id] == ["a", "b"]
    assert peers[1].requests["ChaincodeEvents"][0].after_transaction_id == "a"


def test_fail_over_needs_a_peer():
    with pytest.raises(ValueError, match="at least one"):
        FailoverChannel([])
