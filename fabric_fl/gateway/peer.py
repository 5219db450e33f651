"""One peer, asked itself: a gateway may answer a query through any peer of its organisation, or of another."""

from __future__ import annotations

import grpc
from fabric_protos.peer import peer_pb2_grpc

from fabric_fl.fabric import protoutil
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.profile import Endpoint
from fabric_fl.gateway.client import from_rpc
from fabric_fl.gateway.connection import open_channel
from fabric_fl.gateway.errors import EvaluateError

_SUCCEEDED = range(200, 400)


def ask(
    peer: Endpoint, identity: SigningIdentity, channel: str, chaincode: str, *args: str | bytes, timeout: float = 5.0
) -> bytes:
    """Have one peer execute a chaincode function, as `peer chaincode query` does, and return its answer.

    Raises:
        EvaluateError: The peer did not answer within `timeout` seconds, or refused.
    """
    proposal, transaction_id = protoutil.create_chaincode_proposal(channel, chaincode, args, identity.serialize())
    signed = protoutil.sign_proposal(proposal, identity)
    with open_channel(peer) as connection:
        try:
            answer = peer_pb2_grpc.EndorserStub(connection).ProcessProposal(signed, timeout=timeout)
        except grpc.RpcError as error:
            raise from_rpc(error, EvaluateError, transaction_id) from error
    if answer.response.status not in _SUCCEEDED:
        raise EvaluateError(f"{peer.name}: {answer.response.message}", transaction_id=transaction_id)
    return bytes(answer.response.payload)
