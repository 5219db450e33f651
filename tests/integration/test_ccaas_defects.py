"""The fifteen defects that a Python chaincode on the official shim was measured to have, one test each.

Every test talks to a chaincode process of its own operating-system process over a socket.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from ccaas_peer import M, Peer, creator_of
from ccaas_process import ChaincodeProcess
from ccaas_tls import issue
from fabric_protos.peer import proposal_response_pb2 as response_pb2

BATCHES = {
    "use_write_batch": True,
    "max_size_write_batch": 100,
    "use_get_multiple_keys": True,
    "max_size_get_multiple_keys": 100,
}


@pytest.fixture(scope="module")
def chaincode():
    with ChaincodeProcess({}) as process:
        yield process


@pytest.fixture
def peer(chaincode):
    with Peer(chaincode.address) as peer:
        yield peer


def test_d1_three_hundred_concurrent_writers_on_one_stream_all_succeed(peer):
    def write(number):
        return peer.begin("put", f"key-{number}", str(number)).result()

    with ThreadPoolExecutor(32) as clients:
        outcomes = list(clients.map(write, range(300)))

    assert [outcome.status for outcome in outcomes] == [200] * 300
    assert [outcome.writes for outcome in outcomes] == [{f"key-{n}": b"%d" % n} for n in range(300)]


def test_d2_an_error_frame_is_never_taken_for_state(peer):
    peer.refuse[M.GET_STATE] = "collection unknown could not be found"

    outcome = peer.transact("copy", "source", "target")

    assert outcome.status == 500
    assert outcome.message == "the peer refused GET_STATE: collection unknown could not be found"
    assert outcome.writes == {}


@pytest.mark.parametrize(("offer", "refused"), [({}, M.PUT_STATE), (BATCHES, M.WRITE_BATCH_STATE)])
def test_d3_a_write_that_the_peer_refuses_fails_the_transaction(chaincode, offer, refused):
    with Peer(chaincode.address, offer=offer) as peer:
        peer.refuse[refused] = "txid: a paginated query was already performed"

        outcome = peer.transact("put_swallowing", "key")

    assert outcome.status == 500
    assert "paginated query" in outcome.message
    assert outcome.frames == [M.Type.Name(refused), "COMPLETED"]


@pytest.mark.parametrize(
    ("call", "status", "message"),
    [
        (("fail", "s3cret"), 500, r"the chaincode failed on transaction [0-9a-f]{64}: see its log"),
        (("fail_twice", "s3cret"), 500, r"the chaincode failed on transaction [0-9a-f]{64}: see its log"),
        (("exit",), 500, r"the chaincode failed on transaction [0-9a-f]{64}: see its log"),
        (("surrogate",), 400, r"no \?"),
        (("nothing",), 500, r"the chaincode failed on transaction [0-9a-f]{64}: see its log"),
        ((b"\xff\xfe",), 500, r"the chaincode failed on transaction [0-9a-f]{64}: see its log"),
        ((), 500, r"the chaincode failed on transaction [0-9a-f]{64}: see its log"),
        (("texts", b"\xff"), 400, "an argument is no UTF-8"),
        (("put_composite", "t1", ""), 400, "a part of a composite key may not be empty"),
        (("large", str(100 * 1024 * 1024)), 400, r"an answer of \d+ bytes is larger than a message may be"),
    ],
)
def test_d4_every_failure_is_answered_at_once_and_quotes_nothing(peer, call, status, message):
    started = time.monotonic()

    outcome = peer.transact(*call)

    assert time.monotonic() - started < 5  # a peer waits 30
    assert outcome.status == status
    assert re.fullmatch(message, outcome.message)
    assert (outcome.payload, outcome.writes) == (b"", {})


def test_d4_a_rule_that_returns_no_response_is_answered():
    with ChaincodeProcess({"nothing": True}) as chaincode, Peer(chaincode.address) as peer:
        outcome = peer.transact("anything")

    assert (outcome.status, outcome.message) == (500, "the chaincode returned NoneType instead of a Response")


@pytest.mark.parametrize(
    ("refused", "call"),
    [
        (M.GET_QUERY_RESULT, ("query", '{"selector":{}}')),
        (M.GET_STATE_BY_RANGE, ("range", "", "")),
        (M.GET_HISTORY_FOR_KEY, ("history", "k")),
        (M.QUERY_STATE_NEXT, ("range", "", "")),
    ],
)
def test_d5_an_error_frame_is_never_taken_for_a_query_result(peer, refused, call):
    peer.state.update({f"k{n:03}": b"1" for n in range(150)})
    peer.refuse[refused] = "ExecuteQuery not supported for leveldb"

    outcome = peer.transact(*call)

    assert outcome.status == 500
    assert outcome.message == f"the peer refused {M.Type.Name(refused)}: ExecuteQuery not supported for leveldb"


def test_d6_the_last_event_of_a_transaction_is_sent(peer):
    outcome = peer.transact("two_events")

    assert (outcome.event.event_name, outcome.event.payload) == ("last", b"2")


def test_d6_a_refused_transaction_sends_neither_event_nor_write(peer):
    outcome = peer.transact("put_then_refuse", "key")

    assert (outcome.status, outcome.message, outcome.event, outcome.writes) == (400, "no", None, {})


def test_d7_the_documented_tls_variables_turn_tls_on(tmp_path):
    server, client, stranger = issue(tmp_path, "server"), issue(tmp_path, "client"), issue(tmp_path, "stranger")
    env = {
        "CHAINCODE_TLS_DISABLED": "false",
        "CHAINCODE_TLS_KEY": str(server.key_file),
        "CHAINCODE_TLS_CERT": str(server.cert_file),
        "CHAINCODE_CLIENT_CA_CERT": str(client.ca_file),
    }
    with ChaincodeProcess({}, env) as chaincode:
        known = grpc.ssl_channel_credentials(server.ca_pem, client.key_pem, client.cert_pem)
        with Peer(chaincode.address, credentials=known) as peer:
            assert peer.transact("put", "a", "1").status == 200

        unknown = grpc.ssl_channel_credentials(server.ca_pem, stranger.key_pem, stranger.cert_pem)
        nobody = grpc.ssl_channel_credentials(server.ca_pem)
        for credentials in (unknown, nobody, None):
            peer = Peer(chaincode.address, credentials=credentials)
            with pytest.raises(grpc.RpcError):
                peer.attempt()


def test_d8_the_log_holds_no_argument_value_or_transient_data(chaincode):
    # Its own root logger is at DEBUG, the worst that an operator can set.
    secret = "s3cret-7f1b"
    with Peer(chaincode.address, state={secret: secret.encode()}) as peer:
        for call in (("put", secret, secret), ("get", secret), ("fail", secret), ("fail_twice", secret)):
            peer.transact(*call, transient={"t": secret.encode()})
        peer.refuse[M.GET_STATE] = f"no access to {secret}"
        peer.transact("get", secret)
        failed = peer.transact("put_composite", secret, "a\x00b")
    assert failed.status == 400
    with Peer(chaincode.address) as peer:
        before = len(chaincode.log)
        for number in range(300):
            peer.transact("put", f"k{number}", "1")
        grown = len(chaincode.log) - before

    assert "the peer refused GET_STATE" in chaincode.log
    assert "ccaas_chaincode.py" in chaincode.log
    assert "RuntimeError; after" in chaincode.log
    assert secret not in chaincode.log
    assert grown < 2000


def test_d9_an_argument_of_three_megabytes_passes_and_leaves_the_stream_alive(peer):
    waiting = peer.begin("sleep", "0.3")

    outcome = peer.transact("length", b"x" * (3 * 1024 * 1024))

    assert outcome.payload == b"%d" % (3 * 1024 * 1024)
    assert waiting.result().status == 200


def test_d9_a_value_of_eight_megabytes_is_written_and_read(peer):
    value = b"v" * (8 * 1024 * 1024)

    assert peer.transact("put", "big", value).status == 200
    assert peer.transact("get", "big").payload == b'"' + value + b'"'


def test_d10_transient_data_reaches_the_rule(peer):
    outcome = peer.transact("transient", transient={"score": b"42", "nonce": b"ab"})

    assert outcome.payload == b'{"score": "42", "nonce": "ab"}' or outcome.payload == b'{"nonce": "ab", "score": "42"}'


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("get_private_data", "private data collections are not supported by this chaincode adapter"),
        ("put_private_data", "private data collections are not supported by this chaincode adapter"),
        ("set_state_validation_parameter", "endorsement policies of single keys are not supported by this"),
    ],
)
def test_d10_what_is_left_out_fails_with_a_sentence(peer, method, message):
    outcome = peer.transact("unsupported", method)

    assert outcome.status == 500
    assert outcome.message.startswith(message)


def test_d11_another_chaincode_is_called_with_a_chaincode_spec(peer):
    calls = []

    def callee(spec):
        calls.append((spec.chaincode_id.name, list(spec.input.args)))
        response = response_pb2.Response(status=200, message="fine", payload=b"42")
        return M(type=M.COMPLETED, payload=response.SerializeToString())

    peer.callees = {"other": callee, "other/ch2": callee}

    assert peer.transact("call", "other", "", "read", b"\xff").payload == b'[200, "fine", "42"]'
    assert peer.transact("call", "other", "ch2", "read").payload == b'[200, "fine", "42"]'
    assert calls == [("other", [b"read", b"\xff"]), ("other/ch2", [b"read"])]


def test_d11_a_refusal_of_the_other_chaincode_is_returned_and_a_failed_call_raised(peer):
    refusal = response_pb2.Response(status=404, message="not there").SerializeToString()
    peer.callees = {
        "refuses": lambda _: M(type=M.COMPLETED, payload=refusal),
        "fails": lambda _: M(type=M.ERROR, payload=b"broken"),
    }

    assert peer.transact("call", "refuses", "", "read").payload == b'[404, "not there", ""]'
    assert peer.transact("call", "fails", "", "read").message == "the peer refused INVOKE_CHAINCODE: broken"
    peer.refuse[M.INVOKE_CHAINCODE] = "chaincode absent not found"
    outcome = peer.transact("call", "absent", "", "read")
    assert (outcome.status, "absent not found" in outcome.message) == (500, True)


def test_d12_a_composite_attribute_cannot_forge_another_key(peer):
    assert peer.transact("put_composite", "score", "t1", "1", "honest").status == 200

    forged = peer.transact("put_composite", "score", "t1", "1\x00mallory")
    raw = peer.transact("put", "\x00score\x00t1\x00\x001\x00", "1")

    assert (forged.status, forged.message) == (400, "a part of a composite key may not hold U+0000")
    assert (raw.status, raw.message) == (400, "a part of a composite key may not be empty")
    assert peer.transact("partial", "score", "t1", "1").payload == b'[["t1", "1", "honest"]]'


@pytest.mark.parametrize("key", ["", "\x00", "\x00a", "a\x00", "a\x00b"])
@pytest.mark.parametrize("function", ["put", "get", "delete", "history"])
def test_d13_empty_keys_and_keys_with_a_separator_are_refused(peer, function, key):
    outcome = peer.transact(function, key)

    assert (outcome.status, outcome.frames) == (400, ["COMPLETED"])


def test_d13_an_open_range_holds_no_composite_key(peer):
    for call in (("put", "a"), ("put", "é"), ("put_composite", "kind", "x")):
        peer.transact(*call)

    assert peer.transact("range", "", "").payload == rb'["a", "\u00e9"]'
    assert peer.transact("partial", "kind").payload == b'[["x"]]'
    composite = peer.transact("page", "", "", "10", "\x00kind\x00x\x00")
    assert (composite.status, composite.message) == (400, "the bookmark lies outside the range")


def test_d14_a_rule_that_blocks_stalls_no_other_transaction_or_peer(chaincode, peer):
    slow = [peer.begin("sleep", "1") for _ in range(4)]
    with Peer(chaincode.address) as other:
        assert other.transact("put", "a").status == 200
        assert peer.transact("put", "b").status == 200

    assert all(running.done.empty() for running in slow), "the others did not wait for them"
    assert [running.result().status for running in slow] == [200] * 4


def test_d15_a_second_process_on_the_same_port_stops_with_a_sentence(chaincode):
    for host in ("127.0.0.1", "0.0.0.0"):
        address = f"{host}:{chaincode.address.rpartition(':')[2]}"
        second = ChaincodeProcess({}, address=address)

        assert second.wait(timeout=5) == 1
        assert f"cannot listen on {address}: Address already in use" in second.log


def test_the_creator_is_who_signed(peer, tmp_path):
    certificate = issue(tmp_path, "ana", attributes={"fl.roles": "trainer"})

    outcome = peer.transact("who", creator=creator_of("Org1MSP", certificate.cert_pem))

    assert outcome.payload == b'["Org1MSP", "ana", {"fl.roles": "trainer"}]'
    assert peer.transact("who").message == "the creator of the proposal names no MSP"
    assert peer.transact("who", creator=b"\xff").message == "the creator of the proposal is no serialized identity"


def test_registration_names_the_package_id(chaincode, peer):
    assert peer.registered_as == "test_1.0:" + "ab" * 32
