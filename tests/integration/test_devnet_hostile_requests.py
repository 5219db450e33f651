"""Bytes that no client would send, to every gRPC method: nothing unsigned is done, nothing ends, nothing grows."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID
from devnet_requests import MEBIBYTE, PATHS, SECONDS, Method, Server, hostile_server, unharmed
from hypothesis import example, given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.signing import is_low_s

WAITING = {path for path in PATHS if "Status" in path or "Events" in path or "Deliver" in path}
"""What is asked for there may lie in the future."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with hostile_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _unharmed(server: Server) -> Iterator[None]:
    with unharmed(server, growth=100 * MEBIBYTE):
        yield


def edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Returns the data with some pieces replaced: (where, how many bytes, by what)."""
    for position, length, replacement in edits:
        at = position % (len(data) + 1)
        data = data[:at] + replacement + data[at + length :]
    return data


@pytest.mark.parametrize("path", PATHS)
def test_what_a_member_signed_is_done(server: Server, path: str) -> None:
    method = server.methods[path]
    assert server.accepts(method, method.request(server.member))


@pytest.mark.soak
@pytest.mark.timeout(7200)
@fuzz(300, factor=30)
@given(path=st.sampled_from(PATHS), data=st.binary(max_size=300))
@example(PATHS[0], b"\x0a\x80\x80\x80\x80\x08")  # a length of 2 GiB
def test_arbitrary_bytes_do_nothing(server: Server, path: str, data: bytes) -> None:
    assert not server.accepts(server.methods[path], data)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@fuzz(600, factor=30)
@given(
    path=st.sampled_from(PATHS),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=3),
)
def test_a_changed_request_is_done_only_if_what_was_signed_is_the_same(
    server: Server, path: str, edits: list[tuple[int, int, bytes]]
) -> None:
    method = server.methods[path]
    good = method.request(server.member)
    changed = edited(good, edits)
    if server.accepts(method, changed):
        assert method.unwrap(changed) == method.unwrap(good)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@fuzz(300, factor=30)
@given(
    path=st.sampled_from(PATHS),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=3),
)
def test_a_member_may_sign_nonsense_and_is_answered(
    server: Server, path: str, edits: list[tuple[int, int, bytes]]
) -> None:
    method = server.methods[path]
    content = edited(method.content(server.member.serialize()), edits)
    request = method.wrap(content, server.member.sign(content))
    code, _ = server.send(path, request, seconds=0.1 if path in WAITING else SECONDS)
    assert code != grpc.StatusCode.DEADLINE_EXCEEDED or path in WAITING


def _high_s(signature: bytes) -> bytes:
    r, s = utils.decode_dss_signature(signature)
    high = utils.encode_dss_signature(r, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 - s)
    assert is_low_s(signature)
    return high


def _stranger(msp_id: str) -> SigningIdentity:
    """Returns somebody who says that an organisation knows them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "x"), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client")]
    )
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36500))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return SigningIdentity(Identity(msp_id, certificate), key)


def _forgery(kind: str, server: Server, method: Method) -> bytes:
    """Returns a request that nobody signed who may."""
    member = server.member
    content = method.content(member.serialize())
    if kind == "no signature":
        return method.wrap(content, b"")
    if kind == "noise for a signature":
        return method.wrap(content, b"\x30\x06\x02\x01\x01\x02\x01\x01")
    if kind == "another's signature":
        return method.wrap(content, server.foreigner.sign(content))
    if kind == "the signature of something else":
        return method.wrap(content, member.sign(content + b"\x00"))
    if kind == "the signature with its high S":
        return method.wrap(content, _high_s(member.sign(content)))
    if kind == "a signature with something behind it":
        return method.wrap(content, member.sign(content) + b"\x00")
    if kind == "a certificate that nobody issued":
        return method.request(_stranger("Org1MSP"))
    if kind == "another organisation's name":
        return method.request(member, Identity("Org2MSP", member.identity.certificate_pem).serialize())
    if kind == "an organisation that is not there":
        return method.request(_stranger("Org9MSP"))
    assert kind == "nobody's name"
    return method.request(member, b"")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "kind",
    [
        "no signature",
        "noise for a signature",
        "another's signature",
        "the signature of something else",
        "the signature with its high S",
        "a signature with something behind it",
        "a certificate that nobody issued",
        "another organisation's name",
        "an organisation that is not there",
        "nobody's name",
    ],
)
def test_a_forged_request_is_refused(server: Server, kind: str, path: str) -> None:
    method = server.methods[path]
    assert not server.accepts(method, _forgery(kind, server, method))
