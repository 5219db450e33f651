"""Streams of events that break, resume and are closed."""

import itertools
import threading
import time

import grpc
import pytest
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from gateway_server import Events, Failure, GatewayServer, block, chaincode_events, deliver_status, filtered_block

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.checkpointer import FileCheckpointer, InMemoryCheckpointer
from fabric_fl.gateway.errors import EventsError
from fabric_fl.gateway.gateway import Gateway
from fabric_fl.gateway.timeouts import Timeouts

GONE = Failure(grpc.StatusCode.UNAVAILABLE, "peer is gone")
FORBIDDEN = Failure(grpc.StatusCode.PERMISSION_DENIED, "no")


def take(stream, count):
    return list(itertools.islice(stream, count))


def seek(request):
    envelope = protoutil.unpack_envelope(request)
    info = ab_pb2.SeekInfo.FromString(envelope.payload.data)
    return info.start.specified.number, info.stop.specified.number


def test_events_come_in_the_order_of_the_chain(network, server):
    server.script["ChaincodeEvents"].append(
        Events(chaincode_events(3, "a", "b", payload=b"x"), chaincode_events(5, "c"))
    )
    with network.chaincode_events("kv", start_block=3) as stream:
        events = take(stream, 3)
    assert [(event.block_number, event.transaction_id) for event in events] == [(3, "a"), (3, "b"), (5, "c")]
    assert (events[0].chaincode_name, events[0].event_name, events[0].payload) == ("kv", "happened", b"x")


@pytest.mark.parametrize("ending", [{"failure": GONE}, {"end": True}])
def test_a_broken_stream_goes_on_behind_the_last_event_that_was_returned(network, server, ending):
    server.script["ChaincodeEvents"].extend(
        [Events(chaincode_events(7, "a", "b"), **ending), Events(chaincode_events(7, "c"))]
    )
    with network.chaincode_events("kv", start_block=2) as stream:
        assert [event.transaction_id for event in take(stream, 3)] == ["a", "b", "c"]
    first, second = server.requests["ChaincodeEvents"]
    assert (first.start_position.specified.number, first.after_transaction_id) == (2, "")
    assert (second.start_position.specified.number, second.after_transaction_id) == (7, "b")


def test_a_stream_from_now_on_misses_nothing_when_it_breaks_before_the_first_event(network, contract, server):
    contract.submit("Put")  # the height is now 2: block 0 and this one
    server.script["ChaincodeEvents"].extend([Events(failure=GONE), Events(chaincode_events(2, "a"))])
    with network.chaincode_events("kv") as stream:
        assert next(stream).transaction_id == "a"
    assert [request.start_position.specified.number for request in server.requests["ChaincodeEvents"]] == [2, 2]


def test_a_refused_stream_is_not_asked_for_again(network, server):
    server.script["ChaincodeEvents"].append(Events(failure=FORBIDDEN))
    with network.chaincode_events("kv", start_block=0) as stream, pytest.raises(EventsError) as caught:
        next(stream)
    assert caught.value.grpc_code is grpc.StatusCode.PERMISSION_DENIED
    assert len(server.requests["ChaincodeEvents"]) == 1


def test_a_peer_that_stays_away_is_given_up_after_the_patience(channel, identity, server):
    gateway = Gateway(channel, identity, timeouts=Timeouts(resume=0.3))
    server.script["ChaincodeEvents"].extend([Events(failure=GONE)] * 20)
    stream = gateway.network("fl").chaincode_events("kv", start_block=0)
    with pytest.raises(EventsError, match="peer is gone"):
        next(stream)
    assert 2 <= len(server.requests["ChaincodeEvents"]) <= 5
    with pytest.raises(StopIteration):
        next(stream)


def test_events_come_back_after_the_peer_was_restarted(network, server):
    server.script["ChaincodeEvents"].append(Events(chaincode_events(1, "a")))
    stream = network.chaincode_events("kv", start_block=0)
    assert next(stream).transaction_id == "a"
    server.stop()
    again = GatewayServer()
    again.script["ChaincodeEvents"].append(Events(chaincode_events(2, "b")))
    again.start(server.port)
    try:
        assert next(stream).transaction_id == "b"
        assert again.requests["ChaincodeEvents"][0].after_transaction_id == "a"
    finally:
        stream.close()
        again.stop()


def test_closing_ends_an_iteration_that_waits_in_another_thread(network):
    stream = network.chaincode_events("kv", start_block=0)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(stream))
    reader.start()
    time.sleep(0.1)
    stream.close()
    reader.join(2)
    assert not reader.is_alive()
    assert seen == []


def test_closing_the_gateway_closes_its_streams_and_not_the_connection(gateway, network, contract):
    stream = network.block_events(start_block=0)
    gateway.close()
    assert list(stream) == []
    assert contract.evaluate("Get") == b"result of Get"


def test_blocks_resume_with_the_block_after_the_last_one(network, server):
    server.script["Deliver"].extend([Events(block(4), block(5), failure=GONE), Events(block(6))])
    with network.block_events(start_block=4) as stream:
        assert [each.header.number for each in take(stream, 3)] == [4, 5, 6]
    assert [seek(request) for request in server.requests["Deliver"]] == [(4, 2**64 - 1), (6, 2**64 - 1)]


def test_a_deliver_service_that_is_unavailable_is_asked_again(network, server):
    unavailable = deliver_status(common_pb2.SERVICE_UNAVAILABLE)
    server.script["DeliverFiltered"].extend([Events(unavailable, end=True), Events(filtered_block(0))])
    with network.filtered_block_events(start_block=0) as stream:
        assert next(stream).number == 0


def test_a_deliver_status_that_will_not_pass_is_an_error(network, server):
    server.script["Deliver"].append(Events(deliver_status(common_pb2.FORBIDDEN), end=True))
    with network.block_events(start_block=0) as stream, pytest.raises(EventsError, match="FORBIDDEN"):
        next(stream)


def test_a_checkpoint_wins_over_the_start_block(network, server):
    checkpoint = InMemoryCheckpointer()
    checkpoint.checkpoint_transaction(9, "a")
    with network.chaincode_events("kv", start_block=1, checkpoint=checkpoint):
        deadline = time.monotonic() + 2
        while not server.requests["ChaincodeEvents"] and time.monotonic() < deadline:
            time.sleep(0.01)
    request = server.requests["ChaincodeEvents"][0]
    assert (request.start_position.specified.number, request.after_transaction_id) == (9, "a")


def test_reading_on_does_not_move_the_callers_checkpoint(network, server):
    checkpoint = InMemoryCheckpointer()
    server.script["ChaincodeEvents"].append(Events(chaincode_events(3, "a", "b")))
    with network.chaincode_events("kv", start_block=0, checkpoint=checkpoint) as stream:
        first, _second = take(stream, 2)
        checkpoint.checkpoint_chaincode_event(first)
    assert (checkpoint.block_number, checkpoint.transaction_id) == (3, "a")


def test_streams_can_be_signed_in_another_process(channel, identity, server):
    offline = Gateway(channel, identity.identity)
    network = offline.network("fl")
    server.script["ChaincodeEvents"].append(Events(chaincode_events(1, "a"), failure=GONE))
    unsigned = network.new_chaincode_events_request("kv", start_block=1)
    signature = identity.sign_digest(unsigned.get_digest())
    stream = offline.new_signed_chaincode_events_request(unsigned.get_bytes(), signature).get_events()
    assert next(stream).transaction_id == "a"
    with pytest.raises(EventsError, match="peer is gone"):
        next(stream)

    for name, new, sign in (
        ("Deliver", network.new_block_events_request, offline.new_signed_block_events_request),
        (
            "DeliverFiltered",
            network.new_filtered_block_events_request,
            offline.new_signed_filtered_block_events_request,
        ),
    ):
        server.script[name].append(Events(block(0) if name == "Deliver" else filtered_block(0)))
        request = new(start_block=0)
        with sign(request.get_bytes(), identity.sign_digest(request.get_digest())).get_events() as blocks:
            next(blocks)
        envelope = server.requests[name][0]
        assert identity.identity.verify(envelope.payload, envelope.signature)


def test_a_file_checkpoint_survives_and_leaves_no_second_file(tmp_path):
    path = tmp_path / "checkpoint.json"
    assert FileCheckpointer(path).block_number is None
    first = FileCheckpointer(path)
    first.checkpoint_transaction(3, "abc")
    again = FileCheckpointer(path)
    assert (again.block_number, again.transaction_id) == (3, "abc")
    again.checkpoint_block(4)
    last = FileCheckpointer(path)
    assert (last.block_number, last.transaction_id) == (5, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.json"]


def test_the_official_node_clients_checkpoint_file_is_understood(tmp_path):
    path = tmp_path / "checkpoint.json"
    path.write_text('{"blockNumber":"12","transactionId":"t"}')
    assert (FileCheckpointer(path).block_number, FileCheckpointer(path).transaction_id) == (12, "t")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"blockNumber":"x"}', '{"blockNumber":"1","transactionId":2}'])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, text):
    from fabric_fl.gateway.checkpointer import CheckpointError

    path = tmp_path / "checkpoint.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json"):
        FileCheckpointer(path)


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.json"
    checkpoint = FileCheckpointer(path)
    checkpoint.checkpoint_transaction(1, "a")

    def crash(_descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space"):
        checkpoint.checkpoint_transaction(2, "b")
    monkeypatch.undo()
    assert (FileCheckpointer(path).block_number, checkpoint.block_number) == (1, 1)
