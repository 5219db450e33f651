"""Transactions that are taken apart, spoiled and put together again, and the codes that they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devnet_ledgers import CHAINCODE, LedgerOnTrial, endorsed, organizations
from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_response_pb2, transaction_pb2

from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.rwset import RWSetBuilder
from fabric_fl.fabric.protoutil import sign_envelope

Code = transaction_pb2.TxValidationCode
ORG1 = organizations()[0]


def code_of(trial: LedgerOnTrial, envelope: common_pb2.Envelope | bytes) -> str:
    """Validates without committing."""
    (code,) = trial.validator.validate(trial.block([envelope]))
    name: str = Code.Name(code)
    return name


def writing(key: str = "k", namespace: str = CHAINCODE) -> bytes:
    builder = RWSetBuilder()
    builder.add_write(namespace, key, b"v")
    return builder.serialize()


@dataclass
class Layers:
    """A valid transaction taken apart, to spoil one layer and put it together again, signed anew."""

    payload: common_pb2.Payload
    channel_header: common_pb2.ChannelHeader
    signature_header: common_pb2.SignatureHeader
    transaction: transaction_pb2.Transaction
    action: transaction_pb2.ChaincodeActionPayload
    response: proposal_response_pb2.ProposalResponsePayload

    @classmethod
    def of(cls, envelope: common_pb2.Envelope) -> Layers:
        payload = common_pb2.Payload.FromString(envelope.payload)
        transaction = transaction_pb2.Transaction.FromString(payload.data)
        action = transaction_pb2.ChaincodeActionPayload.FromString(transaction.actions[0].payload)
        return cls(
            payload,
            common_pb2.ChannelHeader.FromString(payload.header.channel_header),
            common_pb2.SignatureHeader.FromString(payload.header.signature_header),
            transaction,
            action,
            proposal_response_pb2.ProposalResponsePayload.FromString(action.action.proposal_response_payload),
        )

    def put_together(self) -> common_pb2.Envelope:
        self.action.action.proposal_response_payload = self.response.SerializeToString()
        self.transaction.actions[0].payload = self.action.SerializeToString()
        self.payload.data = self.transaction.SerializeToString()
        self.payload.header.channel_header = self.channel_header.SerializeToString()
        self.payload.header.signature_header = self.signature_header.SerializeToString()
        return signed(self.payload)


def signed(payload: common_pb2.Payload, signer: SigningIdentity = ORG1.client) -> common_pb2.Envelope:
    return sign_envelope(common_pb2.Envelope(payload=payload.SerializeToString()), signer)


def spoiled(spoil: Callable[[Layers], object], envelope: common_pb2.Envelope | None = None) -> common_pb2.Envelope:
    layers = Layers.of(envelope or endorsed(writing()))
    spoil(layers)
    return layers.put_together()


def setting(path: str, value: Any) -> Callable[[Layers], object]:
    """Returns what sets an attribute such as ``channel_header.epoch``."""

    def spoil(layers: Layers) -> None:
        owner, _, attribute = path.rpartition(".")
        target: Any = layers
        for name in owner.split("."):
            target = getattr(target, name)
        setattr(target, attribute, value)

    return spoil
