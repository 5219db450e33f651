"""Bytes that are no protocol, on every port of devnet: a connection may end of them, and nothing else."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import http2_client as http2
import pytest
from byte_changes import mutations
from devnet_requests import MEBIBYTE, Server, hostile_server, unharmed
from fabric_protos.peer import proposal_pb2
from hypothesis import example, given
from hypothesis import strategies as st
from soaking import fuzz

_CALL = (
    http2.PREFACE
    + http2.settings()
    + http2.call_headers(1, "/protos.Endorser/ProcessProposal")
    + http2.message(1, proposal_pb2.SignedProposal(proposal_bytes=b"p", signature=b"s").SerializeToString())
)
_REQUESTS = [
    f"{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {who}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    for who in ("Basic YWRtaW46d3Jvbmc=", "Y2VydA==.c2lnbmF0dXJl")
    for line, body in (
        ("POST /api/v1/enroll", '{"certificate_request": "-----BEGIN CERTIFICATE REQUEST-----"}'),
        ("POST /register", '{"id": "mallory", "type": "client", "affiliation": ""}'),
        ("POST /revoke", '{"id": "admin", "gencrl": true}'),
        ("DELETE /identities/admin?force=true", ""),
        ("GET /api/v1/certificates?id=admin", ""),
    )
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with hostile_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _unharmed(server: Server) -> Iterator[None]:
    with unharmed(server, growth=100 * MEBIBYTE):
        yield


def _handshake(host: str, port: int, roots: bytes) -> bytes:
    """Returns how a client of this server begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cadata=roots.decode()).wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _answer(connection: socket.socket, data: bytes) -> bytes:
    """Sends bytes and says that this is all; returns what comes back before the server is silent or hangs up."""
    answer = b""
    try:
        connection.settimeout(0.05)
        connection.sendall(data)
        while chunk := connection.recv(65536):
            answer += chunk
    except OSError:  # silence, or the connection was ended while we talked
        pass
    return answer


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(30, factor=20)
@given(place=st.sampled_from(["peer", "orderer", "ca"]), data=st.data())
def test_a_handshake_that_is_none_leads_nowhere(server: Server, place: str, data: st.DataObject) -> None:
    host, port, roots = server.endpoints[place]
    said = data.draw(mutations(_handshake(host, port, roots)))
    with socket.create_connection((host, port), 10) as connection:
        _answer(connection, said)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(30, factor=20)
@given(place=st.sampled_from(["peer", "orderer"]), data=mutations(_CALL))
@example("peer", _CALL.replace(b"/ProcessProposal", b"/Process\xffroposal"))  # ends a server of grpcio's for good
@example("orderer", _CALL.replace(b"content-type", b"content-ty\xffe"))
def test_frames_that_are_none_lead_nowhere(server: Server, place: str, data: bytes) -> None:
    with http2.tls_connection(*server.endpoints[place]) as connection:
        _answer(connection, data)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(30, factor=10)
@given(data=st.sampled_from(_REQUESTS).flatmap(mutations))
def test_a_request_that_nobody_signed_gets_nothing_from_the_ca(server: Server, data: bytes) -> None:
    with http2.tls_connection(*server.endpoints["ca"]) as connection:
        answer = _answer(connection, data)
    if b"cainfo" not in data:
        assert not answer.startswith(b"HTTP/1.1 2"), answer
