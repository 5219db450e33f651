"""Chaincode events: replay, live, checkpoints, and what is not an event."""

import itertools
import secrets
import threading

import grpc
import pytest
from fabric_network import ANY, CHANNEL, MAJORITY
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2
from raw import Invocation

from fabric_fl.gateway import EventsError, FileCheckpointer, InMemoryCheckpointer


@pytest.fixture
def emit(contract):
    """Submits a transaction with an event of this name; returns its transaction id and block."""

    def emit(*names, by=contract):
        submitted = by.submit_async("Emit", *names)
        status = submitted.status()
        assert status.successful
        return submitted.transaction_id, status.block_number

    return emit


def take(stream, count):
    return list(itertools.islice(stream, count))


@pytest.fixture
def channel(network):
    return network.organisations[0].network


def test_events_are_replayed_from_a_block_in_the_order_of_the_chain(channel, emit):
    sent = [emit(name) for name in ("one", "two", "three")]
    with channel.chaincode_events(MAJORITY, start_block=sent[0][1]) as stream:
        events = take(stream, 3)
    assert [(event.transaction_id, event.block_number) for event in events] == sent
    assert [(event.event_name, event.payload) for event in events] == [
        ("one", b"one"),
        ("two", b"two"),
        ("three", b"three"),
    ]
    assert {event.chaincode_name for event in events} == {MAJORITY}


def test_events_are_replayed_from_the_first_block(channel, emit, network):
    tx_id, _ = emit("anything")
    with channel.chaincode_events(MAJORITY, start_block=0) as stream:
        numbers = []
        for event in stream:
            numbers.append(event.block_number)
            if event.transaction_id == tx_id:
                break
    assert numbers == sorted(numbers)


def test_without_a_start_block_only_what_comes_is_seen(channel, emit):
    emit("before")
    with channel.chaincode_events(MAJORITY) as stream:
        tx_id, _ = emit("after")
        assert next(stream).transaction_id == tx_id


def test_the_servers_own_notion_of_next_is_the_height(network, channel, emit):
    emit("before")
    stub = network.organisations[0].gateway_stub
    call = stub.ChaincodeEvents(_request(network, start=ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit())))
    received = []
    reader = threading.Thread(target=lambda: received.append(next(iter(call))))
    reader.start()
    tx_ids = []
    while reader.is_alive():  # whether the server has the request yet is for the server to know
        tx_ids.append(emit("after")[0])
        reader.join(0.2)
    call.cancel()
    assert received[0].events[0].tx_id in tx_ids


def test_a_block_of_the_future_is_waited_for(channel, emit):
    start = channel.height() + 1
    with channel.chaincode_events(MAJORITY, start_block=start) as stream:
        _, first_block = emit("too early")
        tx_id, block = emit("in time")
        assert first_block < start <= block
        assert next(stream).transaction_id == tx_id


def test_a_checkpoint_resumes_behind_the_event_that_was_handled(channel, emit, tmp_path):
    sent = [emit(name)[0] for name in ("one", "two", "three")]
    start = channel.height() - 3
    checkpoint = FileCheckpointer(tmp_path / "checkpoint.json")
    with channel.chaincode_events(MAJORITY, start_block=start, checkpoint=checkpoint) as stream:
        for event in take(stream, 2):
            checkpoint.checkpoint_chaincode_event(event)
    resumed = FileCheckpointer(tmp_path / "checkpoint.json")
    with channel.chaincode_events(MAJORITY, checkpoint=resumed) as stream:
        assert next(stream).transaction_id == sent[2]


def test_a_checkpoint_after_a_block_resumes_with_the_next_one(channel, emit):
    _, block = emit("one")
    tx_id, _ = emit("two")
    checkpoint = InMemoryCheckpointer()
    checkpoint.checkpoint_block(block)
    with channel.chaincode_events(MAJORITY, checkpoint=checkpoint) as stream:
        assert next(stream).transaction_id == tx_id


def test_events_of_one_block_keep_their_order_and_resume_within_it(network, channel, contract):
    """Sent together, transactions share blocks wherever the orderer batches; the order holds everywhere."""
    start = channel.height()
    transactions = [contract.new_proposal("Emit", str(number)).endorse() for number in range(8)]
    submitted = [transaction.submit() for transaction in transactions]
    statuses = [each.status() for each in submitted]
    with channel.chaincode_events(MAJORITY, start_block=start) as stream:
        events = take(stream, 8)
    assert sorted(event.transaction_id for event in events) == sorted(each.transaction_id for each in submitted)
    assert {(event.transaction_id, event.block_number) for event in events} == {
        (status.transaction_id, status.block_number) for status in statuses
    }
    for position, event in enumerate(events[:-1]):
        checkpoint = InMemoryCheckpointer()
        checkpoint.checkpoint_chaincode_event(event)
        with channel.chaincode_events(MAJORITY, checkpoint=checkpoint) as stream:
            assert next(stream).transaction_id == events[position + 1].transaction_id


def test_the_last_event_that_a_transaction_sets_is_the_one(channel, emit):
    tx_id, block = emit("first", "second")
    with channel.chaincode_events(MAJORITY, start_block=block) as stream:
        event = next(stream)
    assert (event.transaction_id, event.event_name, event.payload) == (tx_id, "second", b"second")


def test_another_chaincodes_events_are_not_delivered(network, channel, emit):
    other = network.contract(ANY)
    _, block = emit("other", by=other)
    tx_id, _ = emit("own")
    with channel.chaincode_events(MAJORITY, start_block=block) as stream:
        assert next(stream).transaction_id == tx_id
    with channel.chaincode_events(ANY, start_block=block) as stream:
        assert next(stream).event_name == "other"


def test_events_of_a_called_chaincode_are_dropped(network, channel, contract, emit, key):
    submitted = contract.submit_async("CallAndPut", ANY, key, "outer", "Emit", "inner")
    block = submitted.status().block_number
    with channel.chaincode_events(MAJORITY, start_block=block) as stream:
        assert next(stream).event_name == "outer"
    tx_id, _ = emit("own", by=network.contract(ANY))
    with channel.chaincode_events(ANY, start_block=block) as stream:
        assert next(stream).transaction_id == tx_id


def test_an_invalid_transactions_event_is_never_seen(network, channel, contract, emit, key):
    contract.submit("Put", key, "v")
    stale = Invocation(network, "EmitReading", "stale", key)
    envelope = stale.transaction()
    contract.submit("Put", key, "w")
    start = channel.height()
    assert stale.submit(envelope) == "MVCC_READ_CONFLICT"
    tx_id, _ = emit("valid")
    with channel.chaincode_events(MAJORITY, start_block=start) as stream:
        assert next(stream).transaction_id == tx_id


def test_every_organisations_peer_tells_the_same(network, emit):
    sent = [emit(name) for name in ("one", "two")]
    for organisation in network.organisations:
        with organisation.network.chaincode_events(MAJORITY, start_block=sent[0][1]) as stream:
            assert [(event.transaction_id, event.block_number) for event in take(stream, 2)] == sent


def _request(network, *, start=None, channel=CHANNEL, signature=None, after=""):
    own = network.organisations[0].identity
    request = gateway_pb2.ChaincodeEventsRequest(
        channel_id=channel,
        chaincode_id=MAJORITY,
        identity=own.serialize(),
        start_position=start,
        after_transaction_id=after,
    ).SerializeToString()
    return gateway_pb2.SignedChaincodeEventsRequest(request=request, signature=signature or own.sign(request))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": b"x"}, "PERMISSION_DENIED"),
        ({"channel": "elsewhere"}, "PERMISSION_DENIED"),
        ({"start": ab_pb2.SeekPosition(oldest=ab_pb2.SeekOldest())}, "INVALID_ARGUMENT"),
        ({"start": ab_pb2.SeekPosition(newest=ab_pb2.SeekNewest())}, "INVALID_ARGUMENT"),
    ],
    ids=["bad signature", "unknown channel", "oldest", "newest"],
)
def test_a_request_for_events_is_checked(network, changes, code):
    call = network.organisations[0].gateway_stub.ChaincodeEvents(_request(network, **changes), timeout=5)
    with pytest.raises(grpc.RpcError) as caught:
        next(iter(call))
    assert caught.value.code() is grpc.StatusCode[code]


def test_an_empty_request_for_events_is_refused(network):
    call = network.organisations[0].gateway_stub.ChaincodeEvents(gateway_pb2.SignedChaincodeEventsRequest(), timeout=5)
    with pytest.raises(grpc.RpcError) as caught:
        next(iter(call))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "a chaincode events request is required"


def test_an_unknown_transaction_in_a_checkpoint_leaves_the_start_position(network, emit):
    """Events up to that transaction are skipped, and it never comes."""
    _, block = emit("one")
    start = ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=block))
    request = _request(network, start=start, after=secrets.token_hex(32))
    with pytest.raises(grpc.RpcError) as caught:
        next(iter(network.organisations[0].gateway_stub.ChaincodeEvents(request, timeout=1)))
    # whose clock is faster, the client's or the server's, decides who ends the call at its deadline
    assert caught.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def test_a_refused_stream_of_the_client_is_an_error_of_its_own(network):
    stranger = network.organisations[0].gateway.network("elsewhere")
    with stranger.chaincode_events(MAJORITY, start_block=0) as stream, pytest.raises(EventsError):
        next(stream)
