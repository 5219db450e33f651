"""Clients that connect and say nothing, or half of something, or never listen: the others do not notice."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import http2_client as http2
import pytest
from devnet_requests import CHAINCODE, CHANNEL, MEBIBYTE, Server, hostile_server, resident, unharmed
from fabric_protos.gateway import gateway_pb2
from hypothesis import given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.fabric.protoutil import MAX_BLOCK, seek_envelope, seek_oldest, seek_specified
from fabric_fl.gateway import connect, open_channel

CONNECTIONS = 250
"""To each port at once; a process may commonly have 1,024 open files."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with hostile_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _unharmed(server: Server) -> Iterator[None]:
    with unharmed(server, growth=200 * MEBIBYTE):
        yield


def ca_info(server: Server) -> bytes:
    """Asks the CA what everybody may ask; returns the head of its answer."""
    host, port, roots = server.endpoints["ca"]
    with _tls(host, port, roots) as connection:
        connection.sendall(b"GET /cainfo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(65536)


def _tls(host: str, port: int, roots: bytes) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=roots.decode())
    return context.wrap_socket(socket.create_connection((host, port), 10), server_hostname=host)


def says_nothing(host: str, port: int, roots: bytes) -> socket.socket:
    return socket.create_connection((host, port), 10)


def begins_a_handshake(host: str, port: int, roots: bytes) -> socket.socket:
    connection = socket.create_connection((host, port), 10)
    connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # a record of 512 bytes, of which one comes
    return connection


def says_nothing_in_tls(host: str, port: int, roots: bytes) -> socket.socket:
    return _tls(host, port, roots)


def begins_a_request(host: str, port: int, roots: bytes) -> socket.socket:
    connection = http2.tls_connection(host, port, roots)
    if connection.selected_alpn_protocol() == "h2":
        connection.sendall(http2.PREFACE[:-3])
    else:
        connection.sendall(b"POST /enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    return connection


@pytest.mark.parametrize("place", ["peer", "orderer", "ca"])
@pytest.mark.parametrize("client", [says_nothing, begins_a_handshake, says_nothing_in_tls, begins_a_request])
def test_half_open_connections_keep_nobody_from_the_service(
    server: Server, place: str, client: Callable[[str, int, bytes], socket.socket]
) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(client(*server.endpoints[place]))
        assert server.serves()
        assert ca_info(server).startswith(b"HTTP/1.1 200 OK")


def test_messages_that_are_announced_and_never_come_take_no_memory(server: Server) -> None:
    before = resident(server.network.pid("devnet"))
    with ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(http2.tls_connection(*server.endpoints["peer"]))
            connection.sendall(http2.PREFACE + http2.settings())
            for stream in range(1, 41, 2):  # 20 calls on each of 20 connections: 40 GB, if they came
                connection.sendall(http2.call_headers(stream, "/protos.Endorser/ProcessProposal"))
                connection.sendall(http2.message(stream, b"\x0a", announced=100 * MEBIBYTE))
        assert server.serves()
        assert resident(server.network.pid("devnet")) < before + 200 * MEBIBYTE


def test_who_never_reads_the_blocks_that_it_asked_for_holds_up_nobody(server: Server) -> None:
    with connect(server.profile.folder) as gateway:
        contract = gateway.network(CHANNEL).contract(CHAINCODE)
        for number in range(20):
            contract.submit("Put", f"big-{number}", "x" * MEBIBYTE)
        before = resident(server.network.pid("devnet"))
        seek = seek_envelope(CHANNEL, server.member, seek_oldest(), seek_specified(MAX_BLOCK)).SerializeToString()
        with ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(http2.tls_connection(*server.endpoints["peer"]))
                connection.sendall(http2.PREFACE + http2.settings() + http2.call_headers(1, "/protos.Deliver/Deliver"))
                connection.sendall(http2.message(1, seek))
            started = time.monotonic()
            for number in range(5):
                contract.submit("Put", f"big-{number}", "y" * MEBIBYTE)
            assert time.monotonic() - started < 10
            # A block or two for each of those who do not read, not the whole chain.
            assert resident(server.network.pid("devnet")) < before + 200 * MEBIBYTE


def test_thousands_who_wait_for_what_never_comes_are_forgotten_when_they_go(server: Server) -> None:
    with open_channel(server.profile.peer) as channel:
        ask = channel.unary_unary("/gateway.Gateway/CommitStatus")
        calls = []
        for number in range(2_000):
            request = gateway_pb2.CommitStatusRequest(
                channel_id=CHANNEL, transaction_id=f"{number:064x}", identity=server.member.serialize()
            ).SerializeToString()
            signed = gateway_pb2.SignedCommitStatusRequest(request=request, signature=server.member.sign(request))
            calls.append(ask.future(signed.SerializeToString(), timeout=60))
        assert server.serves()
        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()
    assert server.serves()


def test_the_ca_refuses_what_is_too_long_or_too_deep_and_goes_on(server: Server) -> None:
    where = server.endpoints["ca"]
    bodies = [bytes(10 * MEBIBYTE), b"[" * 1_000_000, b'{"id":' * 150_000]
    post = "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"
    requests = [post.format(len(body)).encode() + body for body in bodies]
    requests.append(b"GET /cainfo HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * MEBIBYTE)
    for request in requests:
        with _tls(*where) as connection:
            try:
                connection.sendall(request)
                status = connection.recv(65536).split()[1]
            except (ConnectionError, ssl.SSLError):  # it may hang up while we still talk
                continue
            assert status in (b"400", b"401", b"413")
    assert ca_info(server).startswith(b"HTTP/1.1 200 OK")


def control(server: Server, line: bytes) -> bytes:
    port = json.loads((server.network.directory / "ready.json").read_text())["control"]
    with socket.create_connection(("127.0.0.1", port), 15) as connection:
        connection.sendall(line)
        return connection.makefile("rb").readline()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(100)
@given(
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"fault": st.sampled_from(["lag", "clear", "_lag", "stream"]), "arguments": JSON}).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_the_control_interface_answers_nonsense_with_an_error(server: Server, line: bytes) -> None:
    answer = json.loads(control(server, line.replace(b"\n", b"") + b"\n"))
    try:
        request = json.loads(line)
        sensible = request["fault"] == "clear" and request.get("arguments", {}) == {}
    except (ValueError, TypeError, KeyError):
        sensible = False
    assert ("result" if sensible else "error") in answer


@pytest.mark.parametrize("line", [b"[" * 60_000 + b"\n", b"x" * 200_000], ids=["deep", "endless"])
def test_the_control_interface_is_done_with_lines_that_are_too_deep_or_too_long(server: Server, line: bytes) -> None:
    try:
        answer = control(server, line)
    except ConnectionError:
        return
    assert answer == b"" or "error" in json.loads(answer)
