"""Deliver and Broadcast: block streams of peers and orderer, their positions, statuses and refusals."""

import itertools
import time

import pytest
from fabric_network import CHANNEL, MAJORITY
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import transaction_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from raw import Invocation, broadcast, deliver, seek, specified

from fabric_fl.fabric import protoutil

NEWEST, OLDEST = protoutil.seek_newest(), protoutil.seek_oldest()


@pytest.fixture(scope="module")
def peer(network):
    """An organisation whose peer has blocks 0 to 3 at least."""
    found = network.organisations[0]
    while found.network.height() < 4:
        network.contract().submit("Put", "higher", str(found.network.height()))
    return found


def numbers(messages):
    return [message.header.number for kind, message in messages if kind == "block"]


def test_blocks_come_from_start_to_stop_and_then_success(peer):
    messages = seek(peer, specified(1), specified(3))
    assert numbers(messages) == [1, 2, 3]
    assert messages[-1] == ("status", "SUCCESS")


def test_from_oldest_to_block_0_is_the_genesis_block(peer):
    messages = seek(peer, OLDEST, specified(0))
    assert numbers(messages) == [0]
    envelope = protoutil.unpack_envelope(messages[0][1].data.data[0])
    assert envelope.channel_header.type == common_pb2.CONFIG
    assert envelope.channel_header.channel_id == CHANNEL


def test_from_newest_to_newest_is_one_block(peer):
    messages = seek(peer, NEWEST, NEWEST)
    assert len(messages) == 2
    assert numbers(messages) == [peer.network.height() - 1]


def test_several_requests_are_answered_on_one_stream(peer):
    requests = [protoutil.seek_envelope(CHANNEL, peer.identity, specified(n), specified(n)) for n in (2, 0)]
    messages = deliver(peer.deliver_stub.Deliver, *requests)
    assert [message if kind == "status" else message.header.number for kind, message in messages] == [
        2,
        "SUCCESS",
        0,
        "SUCCESS",
    ]


@pytest.mark.parametrize(
    ("start", "stop", "options", "expected"),
    [
        (specified(3), specified(2), {}, "BAD_REQUEST"),
        (ab_pb2.SeekPosition(), specified(2), {}, "NOT_FOUND"),
        (specified(2**40), specified(2**40), {"fail_if_not_ready": True}, "NOT_FOUND"),
        (specified(1), specified(1), {"channel": "elsewhere"}, "NOT_FOUND"),
    ],
    ids=["start behind stop", "a start of no kind", "beyond the tip", "unknown channel"],
)
def test_a_wrong_request_for_blocks_gets_a_status(peer, start, stop, options, expected):
    assert seek(peer, start, stop, **options) == [("status", expected)]


@pytest.mark.parametrize("missing", ["start", "stop"])
def test_a_request_for_blocks_needs_both_ends(peer, missing):
    info = ab_pb2.SeekInfo(start=NEWEST, stop=NEWEST)
    info.ClearField(missing)
    envelope = protoutil.create_signed_envelope(common_pb2.DELIVER_SEEK_INFO, CHANNEL, peer.identity, info)
    assert deliver(peer.deliver_stub.Deliver, envelope) == [("status", "BAD_REQUEST")]


def test_a_wrong_signature_is_forbidden(peer):
    envelope = protoutil.seek_envelope(CHANNEL, peer.identity, NEWEST, NEWEST)
    envelope.signature = peer.identity.sign(b"something else")
    assert deliver(peer.deliver_stub.Deliver, envelope) == [("status", "FORBIDDEN")]


def test_a_malformed_request_for_blocks_is_bad(peer):
    assert deliver(peer.deliver_stub.Deliver, common_pb2.Envelope(payload=b"\xff\xff")) == [("status", "BAD_REQUEST")]


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_request_with_a_clock_that_is_20_minutes_off_is_bad(peer, minutes):
    header = common_pb2.Header(
        channel_header=protoutil.channel_header(
            common_pb2.DELIVER_SEEK_INFO, CHANNEL, timestamp=Timestamp(seconds=int(time.time()) + 60 * minutes)
        ).SerializeToString(),
        signature_header=protoutil.signature_header(peer.identity.serialize()).SerializeToString(),
    )
    seek_info = ab_pb2.SeekInfo(start=NEWEST, stop=NEWEST)
    payload = common_pb2.Payload(header=header, data=seek_info.SerializeToString()).SerializeToString()
    envelope = common_pb2.Envelope(payload=payload, signature=peer.identity.sign(payload))
    assert deliver(peer.deliver_stub.Deliver, envelope) == [("status", "BAD_REQUEST")]


def test_a_block_that_is_not_there_yet_is_waited_for(peer, contract, key):
    with peer.network.block_events(start_block=peer.network.height()) as blocks:
        submitted = contract.submit_async("Put", key, "v")
        block = next(block for block in blocks if block.header.number == submitted.status().block_number)
    ids = [protoutil.unpack_envelope(data).channel_header.tx_id for data in block.data.data]
    assert submitted.transaction_id in ids


def test_filtered_blocks_tell_ids_types_and_codes_and_no_contents(network, peer, contract, key):
    start = peer.network.height()
    contract.submit("Put", key, "1")
    stale = Invocation(network, "EmitReading", "stale", key)
    envelope = stale.transaction()
    contract.submit("EmitReading", "fresh", key)
    assert stale.submit(envelope) == "MVCC_READ_CONFLICT"
    found = {}
    with peer.network.filtered_block_events(start_block=start) as blocks:
        for block in blocks:
            assert block.channel_id == CHANNEL
            found |= {each.txid: each for each in block.filtered_transactions}
            if stale.tx_id in found:
                break
    assert {transaction_pb2.TxValidationCode.Name(each.tx_validation_code) for each in found.values()} == {
        "VALID",
        "MVCC_READ_CONFLICT",
    }
    assert {each.type for each in found.values()} == {common_pb2.ENDORSER_TRANSACTION}
    events = [
        action.chaincode_event
        for each in found.values()
        for action in each.transaction_actions.chaincode_actions
        if action.chaincode_event.event_name
    ]
    assert "fresh" in {event.event_name for event in events}
    assert {event.chaincode_id for event in events} == {MAJORITY}
    assert {event.payload for event in events} == {b""}


def test_filtered_blocks_come_from_block_0_on(peer):
    with peer.network.filtered_block_events(start_block=0) as blocks:
        first = list(itertools.islice(blocks, 3))
    assert [block.number for block in first] == [0, 1, 2]
    assert first[0].filtered_transactions[0].type == common_pb2.CONFIG


def test_the_orderer_delivers_the_same_blocks(network, peer):
    request = protoutil.seek_envelope(CHANNEL, peer.identity, specified(0), NEWEST)
    ordered = deliver(network.orderer_stub.Deliver, request)
    assert ordered[-1] == ("status", "SUCCESS")
    tip = ordered[-2][1].header.number
    peers = seek(peer, specified(0), specified(tip))
    for (_, theirs), (_, ours) in zip(ordered[:-1], peers[:-1], strict=True):
        assert theirs.header == ours.header
        assert theirs.data == ours.data


def test_the_orderer_refuses_strangers_to_the_channel(network, peer):
    request = protoutil.seek_envelope("elsewhere", peer.identity, NEWEST, NEWEST)
    assert deliver(network.orderer_stub.Deliver, request) == [("status", "NOT_FOUND")]
    forged = protoutil.seek_envelope(CHANNEL, peer.identity, NEWEST, NEWEST)
    forged.signature = b"x"
    assert deliver(network.orderer_stub.Deliver, forged) == [("status", "FORBIDDEN")]


def test_broadcast_takes_a_transaction_and_says_so_before_it_is_committed(network, key):
    put = Invocation(network, "Put", key, "v")
    answer = broadcast(network, protoutil.sign_envelope(put.transaction(), put.identity))
    assert common_pb2.Status.Name(answer.status) == "SUCCESS"
    assert network.organisations[0].network.commit(put.tx_id).status(timeout=15).successful


def test_broadcast_does_not_look_at_endorsements(network, key):
    put = Invocation(network, "Put", key, "v")
    envelope = put.transaction(network.organisations[:1])
    answer = broadcast(network, protoutil.sign_envelope(envelope, put.identity))
    assert common_pb2.Status.Name(answer.status) == "SUCCESS"
    assert network.organisations[0].network.commit(put.tx_id).status(timeout=15).name == "ENDORSEMENT_POLICY_FAILURE"


def test_broadcast_refuses_what_it_must(network, key):
    put = Invocation(network, "Put", key, "v")
    envelope = put.transaction()
    forged = common_pb2.Envelope(payload=envelope.payload, signature=b"x")
    assert common_pb2.Status.Name(broadcast(network, forged).status) == "FORBIDDEN"
    malformed = common_pb2.Envelope(payload=b"\xff\xff", signature=b"x")
    assert common_pb2.Status.Name(broadcast(network, malformed).status) == "BAD_REQUEST"
    empty = common_pb2.Envelope()
    assert common_pb2.Status.Name(broadcast(network, empty).status) == "BAD_REQUEST"
    elsewhere = protoutil.create_signed_envelope(common_pb2.ENDORSER_TRANSACTION, "elsewhere", put.identity, b"x")
    answer = broadcast(network, elsewhere)
    assert common_pb2.Status.Name(answer.status) in ("NOT_FOUND", "BAD_REQUEST")


def test_envelopes_on_one_stream_are_answered_one_by_one(network, key):
    puts = [Invocation(network, "Put", key, str(number)) for number in range(3)]
    envelopes = [protoutil.sign_envelope(put.transaction(), put.identity) for put in puts]
    answers = network.orderer_stub.Broadcast(iter(envelopes), timeout=15)
    assert [common_pb2.Status.Name(answer.status) for answer in answers] == ["SUCCESS"] * 3
    for put in puts:
        assert network.organisations[0].network.commit(put.tx_id).status(timeout=15).successful
    assert network.contract().evaluate("Get", key) == b"2"


def test_a_refused_envelope_ends_its_stream(network, key):
    put = Invocation(network, "Put", key, "v")
    good = protoutil.sign_envelope(put.transaction(), put.identity)
    bad = common_pb2.Envelope(payload=good.payload, signature=b"x")
    answers = network.orderer_stub.Broadcast(iter([bad, good]), timeout=15)
    assert [common_pb2.Status.Name(answer.status) for answer in answers] == ["FORBIDDEN"]
