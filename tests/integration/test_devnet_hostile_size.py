"""Requests that are too big and too deep: answered, refused, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from devnet_requests import CHANNEL, MEBIBYTE, PATHS, Server, hostile_server, unharmed
from fabric_protos.peer.lifecycle import lifecycle_pb2
from soaking import times

from fabric_fl.fabric.wire import field, varint
from fabric_fl.gateway import EndorseError, connect

ROUNDS = times(2, 20)
BIG = bytes(10 * MEBIBYTE)
GROUPS = b"\x0b" * 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with hostile_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _unharmed(server: Server) -> Iterator[None]:
    # Of 40 requests of 10 MB a round, Python and malloc keep some 500 MB for the next ones, and no more.
    with unharmed(server, growth=600 * MEBIBYTE):
        yield


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_requests_of_10_mb_are_answered_and_forgotten(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    requests = []
    for path in PATHS:
        method = server.methods[path]
        content = method.content(server.member.serialize())
        signed = method.wrap(BIG, server.member.sign(BIG))
        requests += [
            (method, each) for each in (BIG, signed, method.wrap(content, BIG), method.request(server.member, BIG))
        ]
    record_property("count", ROUNDS * len(requests))
    for _ in range(ROUNDS):
        for method, request in requests:
            assert not server.accepts(method, request)


def test_a_message_beyond_the_limit_is_refused_unread(server: Server) -> None:
    code, _ = server.send("/protos.Endorser/ProcessProposal", bytes(101 * MEBIBYTE))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def nested(depth: int) -> bytes:
    """Returns a message in a message in a message …"""
    data = b""
    for _ in range(depth):
        data = field(1, data)
    return data


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("deep", [GROUPS, nested(20_000)], ids=["groups", "messages"])
def test_what_is_nested_deeply_is_refused_wherever_it_stands(server: Server, path: str, deep: bytes) -> None:
    method = server.methods[path]
    assert not server.accepts(method, deep)
    assert not server.accepts(method, method.wrap(deep, server.member.sign(deep)))
    assert not server.accepts(method, method.wrap(method.content(deep), server.member.sign(deep)))


@pytest.mark.parametrize("depth", [90, 2_000, 200_000])
def test_a_policy_nested_deeply_defines_no_chaincode(server: Server, depth: int) -> None:
    """A member's own proposal, so that it reaches the one message of Fabric's that contains itself."""
    rule = field(2, nested_policy(depth))
    policy = field(1, field(2, rule))  # ApplicationPolicy{signature_policy: {rule}}
    arguments = lifecycle_pb2.CommitChaincodeDefinitionArgs(
        sequence=1, name="deep", version="1", validation_parameter=policy
    )
    with connect(server.profile.folder) as gateway:
        contract = gateway.network(CHANNEL).contract("_lifecycle")
        with pytest.raises(EndorseError):
            contract.submit("CommitChaincodeDefinition", arguments.SerializeToString())


def nested_policy(depth: int) -> bytes:
    """Returns SignaturePolicy{n_out_of: {n: 1, rules: [SignaturePolicy{…}]}}, each in the one before."""
    pieces: list[bytes] = []
    size = 0
    for _ in range(depth):
        inner = b"\x08\x01\x12" + varint(size)
        size += len(inner)
        outer = b"\x12" + varint(size)
        size += len(outer)
        pieces += [inner, outer]
    return b"".join(reversed(pieces))
