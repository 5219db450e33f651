"""devnet's CA on the network: TLS, ports, the end; and bytes that no client would send."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time

import pytest
from devnet_ca_http import REGISTRAR, Client, basic, csr, organization_ca, token
from devnet_ca_servers import devnet_ca
from hypothesis import given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.devnet.ca import server
from fabric_fl.devnet.ca.registry import Registry
from fabric_fl.devnet.ca.server import CAServer
from fabric_fl.devnet.identity import Organization

ORG = Organization.create("org1", "Org1MSP")


def context():
    return ssl.create_default_context(cadata=ORG.tls_ca.certificate_pem.decode())


def connect(url):
    host, port = url.removeprefix("https://").split(":")
    return context().wrap_socket(socket.create_connection((host, int(port)), 5), server_hostname=host)


def read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


def test_it_speaks_tls_with_the_organisations_certificate_and_nothing_else(tmp_path):
    with devnet_ca(ORG, tmp_path) as (_, where):
        with connect(where.url) as connection:
            connection.sendall(b"GET /cainfo HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_head(connection).startswith(b"HTTP/1.1 200 OK")
        host, port = where.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), 5) as plain:
            plain.settimeout(5)
            plain.sendall(b"GET /cainfo HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in plain.recv(1000)


def test_a_port_that_is_taken_is_an_error_and_the_loop_goes_on(tmp_path):
    ORG.save(tmp_path)
    registry = Registry(":memory:")
    ca = organization_ca(ORG, registry)

    async def start_twice():
        first = CAServer(ca, "127.0.0.1", 0, tmp_path / "tls/server.crt", tmp_path / "tls/server.key")
        await first.start()
        second = CAServer(ca, "127.0.0.1", first.port, tmp_path / "tls/server.crt", tmp_path / "tls/server.key")
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.stop()
        await first.stop()
        # The port is free again at once, though connections to it may linger.
        await second.start()
        await second.stop()

    asyncio.run(start_twice())
    registry.close()


def test_the_end_waits_neither_for_idle_nor_for_half_open_connections(tmp_path):
    with contextlib.ExitStack() as clients:
        with devnet_ca(ORG, tmp_path) as (_, where):
            idle = clients.enter_context(connect(where.url))
            idle.sendall(b"GET /cainfo HTTP/1.1\r\nHost: localhost\r\n\r\n")
            read_head(idle)
            half = clients.enter_context(connect(where.url))
            half.sendall(b"POST /enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
            host, port = where.url.removeprefix("https://").split(":")
            clients.enter_context(socket.create_connection((host, int(port))))
            began = time.monotonic()
        assert time.monotonic() - began < 4


def test_who_takes_too_long_over_a_request_loses_the_connection_and_nobody_else_does(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE_SECONDS", 0.3)
    with devnet_ca(ORG, tmp_path) as (_, where), contextlib.ExitStack() as clients:
        slow = [clients.enter_context(connect(where.url)) for _ in range(4)]
        for connection, said in zip(
            slow, (b"", b"GET /cai", b"POST /enroll HTTP/1.1\r\nHost: h\r\n", b""), strict=True
        ):
            connection.sendall(said)
        slow[3].sendall(b"POST /enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        busy = clients.enter_context(connect(where.url))
        began = time.monotonic()
        while time.monotonic() - began < 1:
            busy.sendall(b"HEAD /cainfo HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_head(busy).startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.05)
        for connection in slow:
            with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
                assert connection.recv(1000) == b""


def test_many_at_once_are_all_answered_and_issued_apart(tmp_path):
    serials = []
    with devnet_ca(ORG, tmp_path) as (ca, where):

        def enroll(number):
            body = json.dumps({"certificate_request": csr("admin")}).encode()
            with connect(where.url) as connection:
                head = f"POST /enroll HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic(*REGISTRAR)}\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                assert b" 201 " in read_head(connection)
            serials.append(number)

        threads = [threading.Thread(target=enroll, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(serials) == list(range(12))
        assert len({each.serial for each in ca.registry.certificates([("id = ?", "admin")])}) == 12
        assert ca.registry.identity("admin").state == 12


@pytest.fixture(scope="module")
def signed_client():
    registry = Registry(":memory:")
    ca = organization_ca(ORG, registry)
    client = Client(ca)
    yield client, client.enrolled(*REGISTRAR), registry
    registry.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *("id", "type", "affiliation", "attrs", "max_enrollments", "secret", "caname", "certificate_request", "profile"),
    *("hosts", "attr_reqs", "serial", "aki", "reason", "gencrl", "name", "revokedafter", "revokedbefore"),
    *("expireafter", "expirebefore"),
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6)
PATHS = st.sampled_from(
    (
        *("register", "enroll", "reenroll", "revoke", "gencrl", "identities", "identities/admin", "identities/%00"),
        *("affiliations", "affiliations/org1", "affiliations?force=7", "identities?ca="),
        *("certificates?revoked_start=+", "certificates?serial=%FF"),
    )
)


@pytest.mark.soak
@fuzz(80)
@given(st.sampled_from(["GET", "POST", "PUT"]), PATHS, FIELDS)
def test_whatever_a_registrar_sends_it_gets_an_envelope_and_never_a_crash(signed_client, method, path, fields):
    client, admin, _ = signed_client
    answer = client.call(admin, method, path, fields)
    assert answer.status < 500 or answer.code == 81
    assert set(answer.envelope) == {"result", "errors", "messages", "success"}


@pytest.mark.soak
@fuzz(80)
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE"]), PATHS, st.binary(max_size=200), st.text(max_size=60))
def test_nothing_unsigned_changes_anything(signed_client, method, path, body, header):
    client, _, registry = signed_client
    before = (registry.identities(), registry.affiliations(), registry.certificates())
    encoded = header.encode("latin-1", "ignore").decode("latin-1").replace("\r", "").replace("\n", "")
    answer = client.request(method, f"/api/v1/{path}", body, encoded)
    assert not answer.envelope["success"]
    assert 400 <= answer.status < 500
    assert (registry.identities(), registry.affiliations(), registry.certificates()) == before


@pytest.mark.soak
@fuzz(60)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_token_with_one_changed_byte_lets_nobody_in(signed_client, position, change):
    client, admin, _ = signed_client
    good = token(admin, "GET", "/identities/admin", b"")
    at = position % (len(good) - 3)  # the last characters hold bits that base64 does not use
    bad = good[:at] + chr(ord(good[at]) ^ change) + good[at + 1 :]
    assert client.request("GET", "/identities/admin", b"", good).status == 200
    assert client.request("GET", "/identities/admin", b"", bad).status == 401
