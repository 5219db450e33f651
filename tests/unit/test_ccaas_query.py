"""Results of a query: which requests travel when, and what other requests do meanwhile."""

import pytest
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_shim_pb2

from fabric_ccaas import PeerError, StreamClosedError
from fabric_ccaas.query import KV, Results
from fabric_ccaas.transaction import Transaction

M = chaincode_shim_pb2.ChaincodeMessage
SIZE = 2  # results a batch


class RangePeer:
    """Answers what a query asks for, and every GET_STATE with b"value", as soon as it is asked."""

    def __init__(self, count, failing_at=None):
        self.sent = []
        self._rest = [f"k{number}" for number in range(count)]
        self._failing_at = failing_at
        self.transaction = Transaction("ch", "tx", self._answer, 5.0)
        self.results = Results(self.transaction, self._batch(), KV.parse)

    def _answer(self, message):
        self.sent.append(M.Type.Name(message.type))
        if len(self.sent) == self._failing_at:
            self.transaction.deliver(M(type=M.ERROR, payload=b"the disk is gone"))
            return
        payload = b"value" if message.type == M.GET_STATE else b""
        if message.type == M.QUERY_STATE_NEXT:
            payload = self._batch()
        self.transaction.deliver(M(type=M.RESPONSE, payload=payload))

    def _batch(self):
        batch, self._rest = self._rest[:SIZE], self._rest[SIZE:]
        results = [
            chaincode_shim_pb2.QueryResultBytes(
                resultBytes=kv_query_result_pb2.KV(key=key, value=b"v").SerializeToString()
            )
            for key in batch
        ]
        return chaincode_shim_pb2.QueryResponse(results=results, has_more=bool(self._rest), id="1").SerializeToString()

    def take(self, count):
        return [next(self.results).key for _ in range(count)]


NEXT, CLOSE, GET = "QUERY_STATE_NEXT", "QUERY_STATE_CLOSE", "GET_STATE"


@pytest.mark.parametrize("count", range(8))
def test_every_result_comes_once_and_no_batch_is_asked_for_twice(count):
    peer = RangePeer(count)
    assert [one.key for one in peer.results] == [f"k{number}" for number in range(count)]
    assert peer.sent == [NEXT] * max(0, (count - 1) // SIZE)


def test_from_the_second_batch_on_the_next_one_is_asked_for_ahead():
    peer = RangePeer(8)
    peer.take(SIZE)
    assert peer.sent == []  # the first batch may be all that is wanted
    peer.take(1)
    assert peer.sent == [NEXT, NEXT]
    peer.take(SIZE)
    assert peer.sent == [NEXT, NEXT, NEXT]


def test_another_request_takes_in_what_was_asked_for_ahead():
    peer = RangePeer(8)
    first = peer.take(3)
    assert peer.transaction.request(M.GET_STATE, b"") == b"value"
    assert first + [one.key for one in peer.results] == [f"k{number}" for number in range(8)]
    assert peer.sent == [NEXT, NEXT, GET, NEXT]


@pytest.mark.parametrize(
    ("count", "taken", "sent"),
    [(8, 1, [CLOSE]), (8, 3, [NEXT, NEXT, CLOSE]), (6, 3, [NEXT, NEXT]), (2, 1, [])],
    ids=["in the first batch", "one ahead", "the last one ahead", "nothing more"],
)
def test_a_query_that_is_left_early_is_closed_where_there_is_more(count, taken, sent):
    peer = RangePeer(count)
    with peer.results:
        peer.take(taken)
    assert peer.sent == sent
    assert list(peer.results) == []
    assert peer.transaction.request(M.GET_STATE, b"") == b"value"


def test_a_batch_asked_for_ahead_that_fails_is_an_error_where_it_would_be_read():
    peer = RangePeer(8, failing_at=2)
    assert peer.take(4) == ["k0", "k1", "k2", "k3"]
    with pytest.raises(PeerError, match="the disk is gone"):
        peer.take(1)
    with pytest.raises(StopIteration):
        next(peer.results)


def test_a_stream_that_ends_meanwhile_ends_the_query():
    peer = RangePeer(8)
    peer.take(3)
    peer.transaction.close()
    assert peer.take(1) == ["k3"]
    with pytest.raises(StreamClosedError, match="the peer's stream ended"):
        peer.take(1)
