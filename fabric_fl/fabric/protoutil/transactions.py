"""Envelopes: transactions made of endorsements, and signed requests to orderers and deliver services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2
from google.protobuf.message import Message

from fabric_fl.fabric.protoutil.headers import Signer, channel_header, signature_header
from fabric_fl.fabric.protoutil.proposals import strip_transient
from fabric_fl.fabric.protoutil.unmarshal import MalformedMessage, unmarshal

MAX_BLOCK = 2**64 - 1
"""As the stop of a seek: for ever."""


class EndorsementMismatch(ValueError):  # noqa: N818 -- Fabric's own words for it
    """Endorsements that do not make a transaction: none, unsuccessful, or unequal."""


def create_tx(
    proposal: proposal_pb2.Proposal, responses: Sequence[proposal_response_pb2.ProposalResponse]
) -> common_pb2.Envelope:
    """Assembles the unsigned transaction of a proposal and its endorsements.

    The proposal's header bytes are used as they stand: endorsers hashed them, and another encoder's may differ.

    Raises:
        EndorsementMismatch: A response failed, payloads differ, or nobody endorsed.
        MalformedMessage: The proposal cannot be parsed.
    """
    header = unmarshal(common_pb2.Header, proposal.header)
    for response in responses:
        if not 200 <= response.response.status < 400:
            raise EndorsementMismatch(
                f"proposal response was not successful, error code {response.response.status}, "
                f"msg {response.response.message}"
            )
        if response.payload != responses[0].payload:
            raise EndorsementMismatch("ProposalResponsePayloads do not match")
    endorsements: dict[bytes, proposal_response_pb2.Endorsement] = {}
    for response in responses:
        if response.HasField("endorsement"):
            endorsements.setdefault(response.endorsement.endorser, response.endorsement)
    if not endorsements:
        raise EndorsementMismatch("no endorsements")
    action = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=strip_transient(proposal.payload),
        action=transaction_pb2.ChaincodeEndorsedAction(
            proposal_response_payload=responses[0].payload, endorsements=list(endorsements.values())
        ),
    )
    transaction = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(header=header.signature_header, payload=action.SerializeToString())]
    )
    payload = common_pb2.Payload(header=header, data=transaction.SerializeToString())
    return common_pb2.Envelope(payload=payload.SerializeToString())


def sign_envelope(envelope: common_pb2.Envelope, signer: Signer) -> common_pb2.Envelope:
    """Returns the envelope with the signature over its payload bytes."""
    return common_pb2.Envelope(payload=envelope.payload, signature=signer.sign(envelope.payload))


def create_signed_envelope(
    header_type: int, channel_id: str, signer: Signer, data: Message | bytes, *, tls_cert_hash: bytes = b""
) -> common_pb2.Envelope:
    """Returns a signed envelope of any type around ``data``."""
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=channel_header(header_type, channel_id, tls_cert_hash=tls_cert_hash).SerializeToString(),
            signature_header=signature_header(signer.serialize()).SerializeToString(),
        ),
        data=data if isinstance(data, bytes) else data.SerializeToString(),
    ).SerializeToString()
    return common_pb2.Envelope(payload=payload, signature=signer.sign(payload))


def seek_specified(number: int) -> ab_pb2.SeekPosition:
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=number))


def seek_newest() -> ab_pb2.SeekPosition:
    return ab_pb2.SeekPosition(newest=ab_pb2.SeekNewest())


def seek_oldest() -> ab_pb2.SeekPosition:
    return ab_pb2.SeekPosition(oldest=ab_pb2.SeekOldest())


def seek_next_commit() -> ab_pb2.SeekPosition:
    return ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit())


def seek_envelope(
    channel_id: str,
    signer: Signer,
    start: ab_pb2.SeekPosition | None = None,
    stop: ab_pb2.SeekPosition | None = None,
    *,
    fail_if_not_ready: bool = False,
) -> common_pb2.Envelope:
    """Returns a signed request for blocks; from the newest for ever unless told otherwise."""
    behavior = ab_pb2.SeekInfo.FAIL_IF_NOT_READY if fail_if_not_ready else ab_pb2.SeekInfo.BLOCK_UNTIL_READY
    seek = ab_pb2.SeekInfo(start=start or seek_newest(), stop=stop or seek_specified(MAX_BLOCK), behavior=behavior)
    return create_signed_envelope(common_pb2.DELIVER_SEEK_INFO, channel_id, signer, seek)


@dataclass(frozen=True)
class UnpackedEnvelope:
    """An envelope with payload and headers parsed; its data is still bytes."""

    envelope: common_pb2.Envelope
    payload: common_pb2.Payload
    channel_header: common_pb2.ChannelHeader
    signature_header: common_pb2.SignatureHeader


def unpack_envelope(data: bytes | common_pb2.Envelope) -> UnpackedEnvelope:
    """Parses an envelope's payload and both headers.

    Raises:
        MalformedMessage: A layer cannot be parsed, or there is no header.
    """
    envelope = unmarshal(common_pb2.Envelope, data) if isinstance(data, bytes) else data
    payload = unmarshal(common_pb2.Payload, envelope.payload)
    if not payload.HasField("header"):
        raise MalformedMessage("the envelope's payload has no header")
    return UnpackedEnvelope(
        envelope=envelope,
        payload=payload,
        channel_header=unmarshal(common_pb2.ChannelHeader, payload.header.channel_header),
        signature_header=unmarshal(common_pb2.SignatureHeader, payload.header.signature_header),
    )


@dataclass(frozen=True)
class UnpackedTransaction:
    """The one action of an endorser transaction, parsed down to the chaincode's answer."""

    header: bytes
    action_payload: transaction_pb2.ChaincodeActionPayload
    response_payload: proposal_response_pb2.ProposalResponsePayload
    chaincode_action: proposal_pb2.ChaincodeAction

    @property
    def response_payload_bytes(self) -> bytes:
        data: bytes = self.action_payload.action.proposal_response_payload
        return data

    @property
    def endorsements(self) -> list[proposal_response_pb2.Endorsement]:
        return list(self.action_payload.action.endorsements)

    @property
    def spec(self) -> chaincode_pb2.ChaincodeSpec:
        """The invocation that was endorsed, parsed when asked for: a validator does not need it.

        Raises:
            MalformedMessage: It cannot be parsed.
        """
        payload = unmarshal(proposal_pb2.ChaincodeProposalPayload, self.action_payload.chaincode_proposal_payload)
        return unmarshal(chaincode_pb2.ChaincodeInvocationSpec, payload.input).chaincode_spec


def unpack_transaction(data: bytes) -> UnpackedTransaction:
    """Parses an endorser transaction (an envelope payload's data).

    Raises:
        MalformedMessage: A layer cannot be parsed, or there is not exactly one action.
    """
    transaction = unmarshal(transaction_pb2.Transaction, data)
    if len(transaction.actions) != 1:
        raise MalformedMessage("only one action per transaction is supported")
    action = transaction.actions[0]
    payload = unmarshal(transaction_pb2.ChaincodeActionPayload, action.payload)
    response = unmarshal(proposal_response_pb2.ProposalResponsePayload, payload.action.proposal_response_payload)
    return UnpackedTransaction(
        header=action.header,
        action_payload=payload,
        response_payload=response,
        chaincode_action=unmarshal(proposal_pb2.ChaincodeAction, response.extension),
    )
