import threading

import pytest
from fabric_protos.peer import chaincode_shim_pb2

from fabric_ccaas import InvalidArgumentError, PeerError, Response, StreamClosedError
from fabric_ccaas.chaincode import execute
from fabric_ccaas.features import PeerFeatures
from fabric_ccaas.transaction import Transaction
from fabric_ccaas.writes import WriteBuffer

M = chaincode_shim_pb2.ChaincodeMessage


class FakePeer:
    """Answers each request of a transaction from a list, before the request has returned."""

    def __init__(self, *answers, reply_timeout=5.0):
        self.sent = []
        self._answers = list(answers)
        self.transaction = Transaction("ch", "tx", self._send, reply_timeout)

    def _send(self, message):
        self.sent.append(message)
        if self._answers:
            kind, payload = self._answers.pop(0)
            self.transaction.deliver(M(type=kind, payload=payload))


def test_a_request_returns_the_payload_of_its_answer():
    peer = FakePeer((M.RESPONSE, b"value"))

    assert peer.transaction.request(M.GET_STATE, b"request") == b"value"
    (sent,) = peer.sent
    assert (sent.type, sent.payload, sent.txid, sent.channel_id) == (M.GET_STATE, b"request", "tx", "ch")


def test_an_error_frame_is_raised_with_the_peers_words():
    with pytest.raises(PeerError) as refused:
        FakePeer((M.ERROR, b"no ledger context")).transaction.request(M.PUT_STATE, b"")

    assert (refused.value.request, refused.value.detail) == ("PUT_STATE", "no ledger context")


def test_after_an_answer_that_never_came_no_request_is_sent_any_more():
    peer = FakePeer(reply_timeout=0.02)

    for _ in range(2):  # a late answer to the first could be taken for the answer to the second
        with pytest.raises(StreamClosedError, match=r"did not answer GET_STATE within 0\.02 s"):
            peer.transaction.request(M.GET_STATE, b"")
    assert len(peer.sent) == 1


def test_the_end_of_the_stream_fails_the_request_that_waits_and_those_to_come():
    peer = FakePeer()
    timer = threading.Timer(0.02, peer.transaction.close)
    timer.start()

    for _ in range(2):
        with pytest.raises(StreamClosedError, match="the peer's stream ended"):
            peer.transaction.request(M.GET_STATE, b"")
    timer.join()
    assert peer.transaction.is_over


def test_a_stub_that_outlives_its_transaction_can_ask_nothing():
    peer = FakePeer()
    peer.transaction.complete(Response.success().serialize(), None)

    with pytest.raises(StreamClosedError, match="the transaction is over"):
        peer.transaction.request(M.GET_STATE, b"")


def test_a_request_larger_than_a_message_is_not_sent():
    peer = FakePeer()

    with pytest.raises(InvalidArgumentError, match="PUT_STATE of 104857600 bytes"):
        peer.transaction.request(M.PUT_STATE, bytes(100 * 1024 * 1024))
    assert peer.sent == []


def test_only_the_last_write_to_a_key_is_sent():
    writes, peer = WriteBuffer(), FakePeer((M.RESPONSE, b""))
    writes.put("a", b"1")
    writes.put("b", b"1")
    writes.delete("a")
    writes.put("b", b"2")

    writes.flush(peer.transaction, PeerFeatures(write_batch=10))

    (sent,) = peer.sent
    records = chaincode_shim_pb2.WriteBatchState.FromString(sent.payload).rec
    types = chaincode_shim_pb2.WriteRecord
    assert [(r.type, r.key, r.value) for r in records] == [(types.DEL_STATE, "a", b""), (types.PUT_STATE, "b", b"2")]


@pytest.mark.parametrize("value", [b"", "text", bytearray(b"1"), None])
def test_a_value_is_bytes_and_not_empty(value):
    class Rule:
        def invoke(self, stub):
            stub.put_state("key", value)
            return Response.success()

    peer = FakePeer()
    execute(Rule(), peer.transaction, M(type=M.TRANSACTION), PeerFeatures())

    (completed,) = peer.sent
    assert Response.parse(completed.payload).status == 400


def test_a_peer_that_answers_too_few_keys_is_not_believed():
    class Rule:
        def invoke(self, stub):
            return Response.success(repr(stub.get_states(["a", "b"])).encode())

    short = chaincode_shim_pb2.GetStateMultipleResult(values=[b"1"]).SerializeToString()
    peer = FakePeer((M.RESPONSE, short))
    execute(Rule(), peer.transaction, M(type=M.TRANSACTION), PeerFeatures(get_multiple=10))

    response = Response.parse(peer.sent[-1].payload)
    assert (response.status, response.message) == (500, "the peer refused GET_STATE_MULTIPLE: 1 values for 2 keys")


@pytest.mark.parametrize("payload", [b"", b"\xff\xff"])
def test_a_ready_that_offers_nothing_readable_offers_nothing(payload):
    assert PeerFeatures.parse(payload) == PeerFeatures(write_batch=0, get_multiple=0)
