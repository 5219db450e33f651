"""Requests to each of devnet's gRPC methods, byte by byte: what is signed, by whom, and whether it was accepted.

A request is made of the content that somebody signs, the signature, and what the method wraps around the two. So a
test can take any of the three from somewhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import events_pb2, proposal_pb2, proposal_response_pb2

from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.fabric.protoutil import (
    create_chaincode_proposal,
    create_nonce,
    seek_envelope,
    seek_specified,
    signature_header,
    unmarshal,
)
from fabric_fl.gateway import connect, open_channel
from fabric_fl.testing import Network

CHANNEL, CHAINCODE = "fl", "kv"
SECONDS = 10
"""Within which every request must be answered."""
MEBIBYTE = 2**20

PATHS = (
    *("/gateway.Gateway/Evaluate", "/gateway.Gateway/Endorse", "/gateway.Gateway/Submit"),
    *("/gateway.Gateway/CommitStatus", "/gateway.Gateway/ChaincodeEvents", "/protos.Endorser/ProcessProposal"),
    *("/protos.Deliver/Deliver", "/protos.Deliver/DeliverFiltered"),
    *("/orderer.AtomicBroadcast/Broadcast", "/orderer.AtomicBroadcast/Deliver"),
)
"""Every method of every service."""

KV = (sys.executable, str(Path(__file__).with_name("conformance") / "kv_contract.py"))


@contextmanager
def hostile_server() -> Iterator[Server]:
    """Runs a devnet of two organisations to be attacked."""
    with Network(2, chaincode=CHAINCODE, command=KV) as network:
        server = Server(network)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def unharmed(server: Server, growth: int) -> Iterator[None]:
    """Surrounds an attack, after which the same process serves, has not failed, nor grown by more than some bytes."""
    pid, log = server.network.pid("devnet"), server.network.log("devnet")
    memory, said = resident(pid), log.stat().st_size
    yield
    assert server.network.pid("devnet") == pid
    assert server.serves()
    added = log.read_bytes()[said:].decode(errors="replace")
    assert "Traceback" not in added, added[-20_000:]
    assert resident(pid) < memory + growth


def resident(pid: int) -> int:
    """Returns a process's memory in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@dataclass(frozen=True)
class Method:
    """One method of one service.

    Attributes:
        path: As in ``/gateway.Gateway/Evaluate``.
        content: Makes what an identity (its bytes) signs.
        wrap: Makes the request of content and signature.
        unwrap: Finds the two in a request.
        accepts: Tells of the first response whether the request was accepted.
    """

    path: str
    content: Callable[[bytes], bytes]
    wrap: Callable[[bytes, bytes], bytes]
    unwrap: Callable[[bytes], tuple[bytes, bytes]]
    accepts: Callable[[bytes], bool]

    def request(self, signer: SigningIdentity, creator: bytes | None = None) -> bytes:
        """Returns a request that is signed, by default by the identity that it names."""
        content = self.content(signer.serialize() if creator is None else creator)
        return self.wrap(content, signer.sign(content))


class Server:
    """A devnet with the chaincode ``kv``, and connections on which any bytes can be sent."""

    def __init__(self, network: Network) -> None:
        self.network = network
        profile = ConnectionProfile.load(network.organization("org1"))
        self.member: SigningIdentity = profile.identity
        self.profile = profile
        self.endpoints = {
            "peer": _endpoint(profile.peer.address, profile.peer.tls_ca_certs),
            "orderer": _endpoint(profile.orderers[0].address, profile.orderers[0].tls_ca_certs),
            "ca": _endpoint(profile.authority.url.removeprefix("https://"), profile.authority.tls_ca_certs),
        }
        """Host, port and TLS roots."""
        self.foreigner: SigningIdentity = ConnectionProfile.load(network.organization("org2")).identity
        self._channels = {"peer": open_channel(profile.peer), "orderer": open_channel(profile.orderers[0])}
        with connect(profile.folder) as gateway:
            contract = gateway.network(CHANNEL).contract(CHAINCODE)
            contract.submit("Emit", "begun")
            transaction = contract.new_proposal("Put", "k", "v").endorse()
            prepared = gateway_pb2.PreparedTransaction.FromString(transaction.get_bytes())
            self.payload = common_pb2.Payload.FromString(prepared.envelope.payload)
            known = contract.submit_async("Put", "known", "v")
            known.status()
            self.tx_id = known.transaction_id
        self.methods = {method.path: method for method in self._methods()}

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def send(self, path: str, request: bytes, seconds: float = SECONDS) -> tuple[grpc.StatusCode, bytes | None]:
        """Sends a request; returns the status and the first response, if there is one.

        Every method is called as a stream: what goes over the wire is the same.
        """
        channel = self._channels["orderer" if path.startswith("/orderer.") else "peer"]
        call = channel.stream_stream(path)(iter([request]), timeout=seconds)
        try:
            first = next(call, None)
        except grpc.RpcError as error:
            return error.code(), None
        call.cancel()
        return grpc.StatusCode.OK, first

    def accepts(self, method: Method, request: bytes) -> bool:
        """Tells whether the server did what the request asks for."""
        code, response = self.send(method.path, request)
        assert code != grpc.StatusCode.DEADLINE_EXCEEDED, f"{method.path} gave no answer"
        return code == grpc.StatusCode.OK and response is not None and method.accepts(response)

    def serves(self) -> bool:
        """Tells whether an honest client gets what it wants, from the gateway to a block."""
        with connect(self.profile.folder) as gateway:
            contract = gateway.network(CHANNEL).contract(CHAINCODE)
            value = create_nonce().hex()
            contract.submit("Put", "served", value)
            return contract.evaluate("Get", "served") == value.encode()

    def _proposal(self, creator: bytes) -> bytes:
        proposal, _ = create_chaincode_proposal(CHANNEL, CHAINCODE, ["Get", "known"], creator)
        data: bytes = proposal.SerializeToString()
        return data

    def _transaction(self, creator: bytes) -> bytes:
        payload = common_pb2.Payload()
        payload.CopyFrom(self.payload)
        payload.header.signature_header = signature_header(creator, create_nonce()).SerializeToString()
        data: bytes = payload.SerializeToString()
        return data

    def _seek(self, creator: bytes) -> bytes:
        envelope = seek_envelope(CHANNEL, _Unsigned(creator), seek_specified(0), seek_specified(0))
        data: bytes = envelope.payload
        return data

    def _commit_status(self, identity: bytes) -> bytes:
        request = gateway_pb2.CommitStatusRequest(channel_id=CHANNEL, transaction_id=self.tx_id, identity=identity)
        data: bytes = request.SerializeToString()
        return data

    def _events(self, identity: bytes) -> bytes:
        request = gateway_pb2.ChaincodeEventsRequest(
            channel_id=CHANNEL, chaincode_id=CHAINCODE, identity=identity, start_position=seek_specified(0)
        )
        data: bytes = request.SerializeToString()
        return data

    def _methods(self) -> Iterator[Method]:
        proposals = {
            "/gateway.Gateway/Evaluate": gateway_pb2.EvaluateRequest,
            "/gateway.Gateway/Endorse": gateway_pb2.EndorseRequest,
        }
        for path, kind in proposals.items():
            yield Method(path, self._proposal, _wrap_proposal(kind), _unwrap_proposal(kind), lambda _: True)
        yield Method("/protos.Endorser/ProcessProposal", self._proposal, _sign_proposal, _signed_proposal, _endorses)
        yield Method("/gateway.Gateway/Submit", self._transaction, _submit, _unwrap_submit, lambda _: True)
        yield Method("/orderer.AtomicBroadcast/Broadcast", self._transaction, _envelope, _unwrap_envelope, _orders)
        requests = {
            "/gateway.Gateway/CommitStatus": (gateway_pb2.SignedCommitStatusRequest, self._commit_status),
            "/gateway.Gateway/ChaincodeEvents": (gateway_pb2.SignedChaincodeEventsRequest, self._events),
        }
        for path, (kind, content) in requests.items():
            yield Method(path, content, _wrap_request(kind), _unwrap_request(kind), lambda _: True)
        blocks = {
            "/protos.Deliver/Deliver": events_pb2.DeliverResponse,
            "/protos.Deliver/DeliverFiltered": events_pb2.DeliverResponse,
            "/orderer.AtomicBroadcast/Deliver": ab_pb2.DeliverResponse,
        }
        for path, kind in blocks.items():
            yield Method(path, self._seek, _envelope, _unwrap_envelope, _delivers(kind))


def _endpoint(address: str, roots: bytes) -> tuple[str, int, bytes]:
    host, _, port = address.rpartition(":")
    return host, int(port), roots


@dataclass(frozen=True)
class _Unsigned:
    """Names an identity without signing anything."""

    creator: bytes

    def serialize(self) -> bytes:
        return self.creator

    def sign(self, _: bytes) -> bytes:
        return b""


def _sign_proposal(content: bytes, signature: bytes) -> bytes:
    data: bytes = proposal_pb2.SignedProposal(proposal_bytes=content, signature=signature).SerializeToString()
    return data


def _signed_proposal(request: bytes) -> tuple[bytes, bytes]:
    signed = unmarshal(proposal_pb2.SignedProposal, request)
    return signed.proposal_bytes, signed.signature


def _wrap_proposal(kind: Any) -> Callable[[bytes, bytes], bytes]:
    def wrap(content: bytes, signature: bytes) -> bytes:
        signed = proposal_pb2.SignedProposal(proposal_bytes=content, signature=signature)
        data: bytes = kind(channel_id=CHANNEL, proposed_transaction=signed).SerializeToString()
        return data

    return wrap


def _unwrap_proposal(kind: Any) -> Callable[[bytes], tuple[bytes, bytes]]:
    def unwrap(request: bytes) -> tuple[bytes, bytes]:
        signed = unmarshal(kind, request).proposed_transaction
        return signed.proposal_bytes, signed.signature

    return unwrap


def _wrap_request(kind: Any) -> Callable[[bytes, bytes], bytes]:
    def wrap(content: bytes, signature: bytes) -> bytes:
        data: bytes = kind(request=content, signature=signature).SerializeToString()
        return data

    return wrap


def _unwrap_request(kind: Any) -> Callable[[bytes], tuple[bytes, bytes]]:
    def unwrap(request: bytes) -> tuple[bytes, bytes]:
        signed = unmarshal(kind, request)
        return signed.request, signed.signature

    return unwrap


def _envelope(content: bytes, signature: bytes) -> bytes:
    data: bytes = common_pb2.Envelope(payload=content, signature=signature).SerializeToString()
    return data


def _unwrap_envelope(request: bytes) -> tuple[bytes, bytes]:
    envelope = unmarshal(common_pb2.Envelope, request)
    return envelope.payload, envelope.signature


def _submit(content: bytes, signature: bytes) -> bytes:
    envelope = common_pb2.Envelope(payload=content, signature=signature)
    data: bytes = gateway_pb2.SubmitRequest(channel_id=CHANNEL, prepared_transaction=envelope).SerializeToString()
    return data


def _unwrap_submit(request: bytes) -> tuple[bytes, bytes]:
    envelope = unmarshal(gateway_pb2.SubmitRequest, request).prepared_transaction
    return envelope.payload, envelope.signature


def _endorses(response: bytes) -> bool:
    parsed = proposal_response_pb2.ProposalResponse.FromString(response)
    return bool(parsed.endorsement.signature) or 200 <= parsed.response.status < 400


def _orders(response: bytes) -> bool:
    return bool(ab_pb2.BroadcastResponse.FromString(response).status == common_pb2.SUCCESS)


def _delivers(kind: Any) -> Callable[[bytes], bool]:
    return lambda response: kind.FromString(response).WhichOneof("Type") != "status"
