"""What the adapter does with a peer's stream beyond the fifteen defects: batches, queries, limits, its end."""

import socket

import grpc
import http2_client as http2
import pytest
from ccaas_peer import BATCH, M, Peer
from ccaas_process import ChaincodeProcess
from fabric_protos.ledger.queryresult import kv_query_result_pb2


def offer(write_batch=0, get_multiple=0):
    return {
        "use_write_batch": bool(write_batch),
        "max_size_write_batch": write_batch,
        "use_get_multiple_keys": bool(get_multiple),
        "max_size_get_multiple_keys": get_multiple,
    }


CONNECT = http2.PREFACE + http2.settings() + http2.call_headers(1, "/protos.Chaincode/Connect")


@pytest.fixture(scope="module")
def chaincode():
    with ChaincodeProcess({}) as process:
        yield process


@pytest.fixture
def peer(chaincode):
    with Peer(chaincode.address) as peer:
        yield peer


def test_writes_leave_in_batches_of_the_size_that_the_peer_offers(chaincode):
    with Peer(chaincode.address, offer=offer(write_batch=500)) as peer:
        outcome = peer.transact("put_many", "1200")

    assert outcome.frames == ["WRITE_BATCH_STATE"] * 3 + ["COMPLETED"]
    assert outcome.writes == {f"k{n:06}": b"x" for n in range(1200)}


def test_a_batch_of_large_values_stays_far_below_the_message_limit(chaincode):
    with Peer(chaincode.address, offer=offer(write_batch=1000)) as peer:
        outcome = peer.transact("put_many", "10", str(4 * 1024 * 1024))

    assert outcome.frames == ["WRITE_BATCH_STATE"] * 4 + ["COMPLETED"]  # three of 4 MiB fit into 16 MiB
    assert len(outcome.writes) == 10


def test_writes_leave_one_by_one_where_no_batches_are_offered(peer):
    outcome = peer.transact("put_many", "30")

    assert outcome.frames == ["PUT_STATE"] * 30 + ["COMPLETED"]
    assert len(outcome.writes) == 30


@pytest.mark.parametrize("batch", [0, 100])
def test_a_delete_arrives_as_a_delete(chaincode, batch):
    with Peer(chaincode.address, offer=offer(write_batch=batch), state={"k": b"1"}) as peer:
        assert peer.transact("delete", "k").writes == {"k": None}


@pytest.mark.parametrize(("size", "frames"), [(10, ["GET_STATE_MULTIPLE"] * 3), (0, ["GET_STATE"] * 25)])
def test_many_keys_are_read_in_chunks_or_one_by_one(chaincode, size, frames):
    state = {f"k{n:06}": b"%d" % n for n in range(0, 25, 2)}
    with Peer(chaincode.address, offer=offer(get_multiple=size), state=state) as peer:
        outcome = peer.transact("get_many", "25")

    expected = ", ".join(f'"{n}"' if n % 2 == 0 else "null" for n in range(25))
    assert outcome.payload.decode() == f"[{expected}]"
    assert outcome.frames == [*frames, "COMPLETED"]


def test_a_batch_offered_without_a_size_holds_a_hundred(chaincode):
    with Peer(chaincode.address, offer={"use_write_batch": True}) as peer:
        assert peer.transact("put_many", "250").frames == ["WRITE_BATCH_STATE"] * 3 + ["COMPLETED"]


def test_a_transaction_reads_what_was_committed_and_not_what_it_wrote(peer):
    peer.state["k"] = b"old"

    assert peer.transact("own_write", "k").payload == b'"old"'
    assert peer.state["k"] == b"new"


def test_a_range_is_read_to_its_end_over_several_batches(peer):
    peer.state.update({f"k{n:03}": b"1" for n in range(250)})

    outcome = peer.transact("range", "k010", "k240")

    assert outcome.payload.decode() == "[" + ", ".join(f'"k{n:03}"' for n in range(10, 240)) + "]"
    assert outcome.frames == ["GET_STATE_BY_RANGE", "QUERY_STATE_NEXT", "QUERY_STATE_NEXT", "COMPLETED"]


def test_a_range_that_is_left_early_is_closed_at_the_peer(peer):
    peer.state.update({f"k{n:03}": b"1" for n in range(BATCH + 1)})

    assert peer.transact("first_of_range").frames == ["GET_STATE_BY_RANGE", "QUERY_STATE_CLOSE", "COMPLETED"]


def test_pages_follow_their_bookmarks_to_the_end(peer):
    peer.state.update({f"k{n}": b"1" for n in range(5)})

    assert peer.transact("page", "", "", "2", "").payload == b'[["k0", "k1"], "k2"]'
    assert peer.transact("page", "", "", "2", "k2").payload == b'[["k2", "k3"], "k4"]'
    assert peer.transact("page", "", "", "2", "k4").payload == b'[["k4"], ""]'
    assert peer.transact("page", "k0", "k3", "2", "k3").status == 400
    assert peer.transact("page", "", "", "0", "").status == 400


def test_history_comes_as_the_peer_tells_it(peer):
    first = kv_query_result_pb2.KeyModification(tx_id="t1", value=b"1")
    first.timestamp.seconds, first.timestamp.nanos = 2**60, 5  # beyond every calendar: a client's word
    peer.history["k"] = [kv_query_result_pb2.KeyModification(tx_id="t2", is_delete=True), first]

    outcome = peer.transact("history", "k")

    assert outcome.payload == b'[["t2", "", 0, true], ["t1", "1", %d, false]]' % (2**60 * 10**9 + 5)


def test_the_rule_sees_channel_transaction_and_the_clients_time(peer):
    outcome = peer.transact("describe", channel="ch7", tx_id="ab", timestamp=12)

    assert outcome.payload == b'["ch7", "ab", 12000000000, false]'


def test_an_init_message_runs_the_chaincode_like_any_other(peer):
    assert peer.transact("describe", kind=M.INIT, tx_id="ab").payload == b'["ch", "ab", 0, true]'


def test_equal_transaction_ids_on_two_channels_do_not_meet(peer):
    running = [peer.begin("sleep_then_get", "0.2", "k", channel=c, tx_id="ab") for c in ("ch1", "ch2")]

    assert [r.result().status for r in running] == [200, 200]


def test_a_transaction_that_is_already_running_is_not_run_twice(peer):
    first = peer.begin("sleep", "0.3", tx_id="ab")
    second = peer.begin("put", "k", tx_id="ab").result()

    assert (second.status, second.message) == (503, "the transaction is already running")
    assert first.done.empty()


def test_what_exceeds_the_transactions_in_flight_is_refused_at_once():
    with ChaincodeProcess({"workers": 1, "max_in_flight": 3}) as chaincode, Peer(chaincode.address) as peer:
        taken = [peer.begin("sleep", "0.2") for _ in range(3)]
        fourth = peer.transact("put", "k")

        assert taken[-1].done.empty()
        assert (fourth.status, fourth.message) == (503, "the chaincode is busy with 3 transactions")
        assert [running.result().status for running in taken] == [200] * 3
        assert peer.transact("put", "k").status == 200


def test_a_rule_whose_peer_does_not_answer_gives_its_thread_back():
    with ChaincodeProcess({"workers": 1, "reply_timeout": 0.3}) as chaincode, Peer(chaincode.address) as peer:
        peer.silent.add(M.GET_STATE)
        unanswered = peer.transact("get", "k")
        peer.silent.clear()

        assert unanswered.message == "the peer did not answer GET_STATE within 0.3 s"
        assert peer.transact("get", "k").status == 200


def test_a_lost_stream_frees_its_threads_and_the_peer_dials_again():
    with ChaincodeProcess({"workers": 1}) as chaincode:
        with Peer(chaincode.address) as lost:
            lost.silent.add(M.GET_STATE)
            lost.begin("get", "k")
            waiting = lost.begin("put", "k")
            assert lost.asked.wait(5)
        with pytest.raises(ConnectionError):
            waiting.result()
        with Peer(chaincode.address) as peer:
            assert peer.transact("put", "k").status == 200

    assert "the peer's stream ended" in chaincode.log


def test_a_keepalive_is_echoed(peer):
    assert peer.ping() == 200


def test_a_message_of_a_kind_that_is_not_known_here_is_passed_over(chaincode, peer):
    peer.send(M(type=9999))
    assert peer.ping() == 200
    assert "the peer sent 9999, which has no meaning here" in chaincode.log


def test_an_idle_stream_survives_its_peers_pings(chaincode):
    # gRPC's default server hangs up on the third ping within five minutes: GOAWAY, too_many_pings. gRPC's own
    # client cannot be told to ping that often, so the stream is opened and pinged frame by frame.
    host, _, port = chaincode.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection, connection.makefile("rb") as incoming:
        connection.sendall(CONNECT)
        while http2.read_frame(incoming)[0] != http2.DATA:  # REGISTER: the stream is open
            pass
        for number in range(20):
            ping = b"%08d" % number
            connection.sendall(http2.frame(http2.PING, 0, 0, ping))
            while (answer := http2.read_frame(incoming)) != (http2.PING, ping):
                assert answer[0] != http2.GOAWAY, answer[1]


def test_a_method_whose_name_is_no_text_is_unknown_and_ends_nobody_elses_stream(chaincode, peer):
    # It ends a server of grpcio's, and with it the port.
    host, _, port = chaincode.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection, connection.makefile("rb") as incoming:
        connection.sendall(CONNECT.replace(b"/Connect", b"/Con\xffect"))
        while (answer := http2.read_frame(incoming))[0] != http2.HEADERS:
            pass
    assert b"Method not found!" in answer[1]
    assert peer.ping() == 200
    with Peer(chaincode.address) as another:
        assert another.ping() == 200


def test_a_peer_that_does_not_register_the_chaincode_is_hung_up_on(chaincode):
    with Peer(chaincode.address, ready=False) as peer:
        peer.send(M(type=M.TRANSACTION, txid="ab"))

        assert peer.ended.wait(2)
    assert "the peer did not register the chaincode: it sent TRANSACTION" in chaincode.log


def test_the_health_service_answers_probes(chaincode):
    def check(service, method="Check", call="unary_unary"):
        request = bytes([0x0A, len(service)]) + service.encode()  # HealthCheckRequest{service = 1}
        with grpc.insecure_channel(chaincode.address) as channel:
            answer = getattr(channel, call)(f"/grpc.health.v1.Health/{method}")(request, timeout=5)
            return answer if call == "unary_unary" else next(answer)

    assert check("") == check("protos.Chaincode") == check("", "Watch", "unary_stream") == b"\x08\x01"  # SERVING
    assert check("other", "Watch", "unary_stream") == b"\x08\x03"  # SERVICE_UNKNOWN
    with pytest.raises(grpc.RpcError) as refused:
        check("other")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_sigterm_lets_running_transactions_end_refuses_new_ones_and_exits():
    with ChaincodeProcess({}) as chaincode, Peer(chaincode.address) as busy, Peer(chaincode.address) as idle:
        running = busy.begin("sleep_then_get", "1", "k")
        queued = busy.begin("put_many", "3")
        assert queued.result().status == 200
        chaincode.terminate()

        assert idle.ended.wait(5), "an idle stream is closed, because no peer closes one"
        refused = busy.transact("put", "k")
        assert (refused.status, refused.message) == (503, "the chaincode is shutting down")
        host, _, port = chaincode.address.rpartition(":")
        socket.create_server((host, int(port))).close()  # the port is free for the process that takes over
        assert running.done.empty()
        assert running.result().status == 200
        assert busy.ended.wait(5)
        assert chaincode.wait(timeout=5) == 0


def test_a_rule_that_never_ends_does_not_keep_the_process_alive():
    with ChaincodeProcess({"drain_timeout": 0.3}) as chaincode, Peer(chaincode.address) as peer:
        stuck = peer.begin("sleep", "60")
        peer.transact("put", "k")
        chaincode.terminate()

        assert chaincode.wait(timeout=10) == 1
        assert "transactions were still running after 0.3 s" in chaincode.log
        with pytest.raises(ConnectionError):
            stuck.result()
