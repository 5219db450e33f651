"""Proposals and their responses: what a client asks an endorser to simulate, and what it signs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2

from fabric_fl.fabric.protoutil.headers import (
    Signer,
    chaincode_header_extension,
    channel_header,
    compute_tx_id,
    create_nonce,
    signature_header,
)
from fabric_fl.fabric.protoutil.unmarshal import MalformedMessage, unmarshal


def create_chaincode_proposal(
    channel_id: str,
    chaincode: str,
    args: Sequence[bytes | str],
    creator: bytes,
    *,
    transient: Mapping[str, bytes] | None = None,
    nonce: bytes | None = None,
    is_init: bool = False,
) -> tuple[proposal_pb2.Proposal, str]:
    """Returns a proposal to call ``chaincode`` and its transaction id."""
    nonce = create_nonce() if nonce is None else nonce
    tx_id = compute_tx_id(nonce, creator)
    chaincode_input = chaincode_pb2.ChaincodeInput(
        args=[arg.encode() if isinstance(arg, str) else arg for arg in args], is_init=is_init
    )
    invocation = chaincode_pb2.ChaincodeInvocationSpec(
        chaincode_spec=chaincode_pb2.ChaincodeSpec(
            # The type says nothing about the chaincode's language: clients do not know it and send Go.
            type=chaincode_pb2.ChaincodeSpec.GOLANG,
            chaincode_id=chaincode_pb2.ChaincodeID(name=chaincode),
            input=chaincode_input,
        )
    )
    header = common_pb2.Header(
        channel_header=channel_header(
            common_pb2.ENDORSER_TRANSACTION,
            channel_id,
            tx_id=tx_id,
            extension=chaincode_header_extension(chaincode),
        ).SerializeToString(),
        signature_header=signature_header(creator, nonce).SerializeToString(),
    )
    payload = proposal_pb2.ChaincodeProposalPayload(
        input=invocation.SerializeToString(), TransientMap=dict(transient or {})
    )
    proposal = proposal_pb2.Proposal(header=header.SerializeToString(), payload=payload.SerializeToString())
    return proposal, tx_id


def sign_proposal(proposal: proposal_pb2.Proposal, signer: Signer) -> proposal_pb2.SignedProposal:
    """Returns the proposal's bytes with the signature over exactly them."""
    data = proposal.SerializeToString()
    return proposal_pb2.SignedProposal(proposal_bytes=data, signature=signer.sign(data))


def strip_transient(payload: bytes) -> bytes:
    """Returns a ``ChaincodeProposalPayload`` without the transient map: the form that goes into a transaction.

    Raises:
        MalformedMessage: It is no such payload.
    """
    parsed = unmarshal(proposal_pb2.ChaincodeProposalPayload, payload)
    stripped: bytes = proposal_pb2.ChaincodeProposalPayload(input=parsed.input).SerializeToString()
    return stripped


def proposal_hash(channel_header_bytes: bytes, signature_header_bytes: bytes, payload: bytes) -> bytes:
    """Returns the hash that an endorser signs: both headers and the payload without its transient map.

    Raises:
        MalformedMessage: The payload is no ``ChaincodeProposalPayload``.
    """
    return transaction_proposal_hash(channel_header_bytes, signature_header_bytes, strip_transient(payload))


def transaction_proposal_hash(channel_header_bytes: bytes, signature_header_bytes: bytes, payload: bytes) -> bytes:
    """Returns the same hash as a committer computes it: over the transaction's payload bytes as they stand."""
    return hashlib.sha256(channel_header_bytes + signature_header_bytes + payload).digest()


def proposal_response_payload(
    hash_: bytes,
    response: proposal_response_pb2.Response,
    results: bytes,
    events: bytes,
    chaincode_id: chaincode_pb2.ChaincodeID,
) -> bytes:
    """Returns the ``ProposalResponsePayload`` that all endorsers must produce alike."""
    action = proposal_pb2.ChaincodeAction(results=results, events=events, response=response, chaincode_id=chaincode_id)
    payload = proposal_response_pb2.ProposalResponsePayload(proposal_hash=hash_, extension=action.SerializeToString())
    serialized: bytes = payload.SerializeToString()
    return serialized


def endorse(payload: bytes, signer: Signer) -> proposal_response_pb2.Endorsement:
    """Signs a proposal response payload followed by the endorser's own identity."""
    endorser = signer.serialize()
    return proposal_response_pb2.Endorsement(endorser=endorser, signature=signer.sign(payload + endorser))


@dataclass(frozen=True)
class UnpackedProposal:
    """A proposal with all its layers parsed, and the header bytes as they came."""

    proposal_bytes: bytes
    proposal: proposal_pb2.Proposal
    header: common_pb2.Header
    channel_header: common_pb2.ChannelHeader
    signature_header: common_pb2.SignatureHeader
    chaincode: str
    spec: chaincode_pb2.ChaincodeSpec
    transient: dict[str, bytes]

    @property
    def channel_id(self) -> str:
        channel_id: str = self.channel_header.channel_id
        return channel_id

    @property
    def tx_id(self) -> str:
        tx_id: str = self.channel_header.tx_id
        return tx_id

    @property
    def creator(self) -> bytes:
        creator: bytes = self.signature_header.creator
        return creator

    @property
    def input(self) -> chaincode_pb2.ChaincodeInput:
        return self.spec.input

    @property
    def hash(self) -> bytes:
        return proposal_hash(self.header.channel_header, self.header.signature_header, self.proposal.payload)


def unpack_proposal(proposal_bytes: bytes) -> UnpackedProposal:
    """Parses a proposal all the way down; judges nothing but that its parts are there.

    Raises:
        MalformedMessage: A layer cannot be parsed or is missing.
    """
    proposal = unmarshal(proposal_pb2.Proposal, proposal_bytes)
    header = unmarshal(common_pb2.Header, proposal.header)
    channel = unmarshal(common_pb2.ChannelHeader, header.channel_header)
    signature = unmarshal(common_pb2.SignatureHeader, header.signature_header)
    extension = unmarshal(proposal_pb2.ChaincodeHeaderExtension, channel.extension)
    payload = unmarshal(proposal_pb2.ChaincodeProposalPayload, proposal.payload)
    invocation = unmarshal(chaincode_pb2.ChaincodeInvocationSpec, payload.input)
    if not extension.HasField("chaincode_id"):
        raise MalformedMessage("ChaincodeHeaderExtension.ChaincodeId is nil")
    if not invocation.HasField("chaincode_spec"):
        raise MalformedMessage("chaincode invocation spec did not contain chaincode spec")
    if not invocation.chaincode_spec.HasField("input"):
        raise MalformedMessage("chaincode input did not contain any input")
    return UnpackedProposal(
        proposal_bytes=proposal_bytes,
        proposal=proposal,
        header=header,
        channel_header=channel,
        signature_header=signature,
        chaincode=extension.chaincode_id.name,
        spec=invocation.chaincode_spec,
        transient=dict(payload.TransientMap),
    )
