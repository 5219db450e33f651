"""Who made a transaction: the certificate under whose signature it was ordered, from the transaction itself."""

from __future__ import annotations

from dataclasses import dataclass

from fabric_protos.peer import transaction_pb2

from fabric_fl.errors import FabricFLError
from fabric_fl.fabric import protoutil
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.gateway import Network


@dataclass(frozen=True)
class Creator:
    """Who signed a transaction.

    Attributes:
        subject: Of the certificate, as RFC 4514 writes it.
        certificate: PEM.
    """

    msp_id: str
    subject: str
    certificate: str


def creator(network: Network, transaction: str) -> Creator:
    """Returns who made a transaction. Its id is a hash over the creator, and the signature is checked.

    That an organisation's root vouches for the certificate is not checked here: the peers did when they validated the
    block, and `audit verify` does so without them.

    Args:
        network: The channel, whose peer is asked.
        transaction: The id.

    Raises:
        EvaluateError: The peer does not answer, or knows no such transaction.
        FabricFLError: What it answers is not this transaction (FL-LEDGER-CREATOR).
    """
    answer = network.contract("qscc").evaluate("GetTransactionByID", network.name, transaction)
    try:
        envelope = protoutil.unpack_envelope(
            protoutil.unmarshal(transaction_pb2.ProcessedTransaction, answer).transactionEnvelope
        )
        header = envelope.signature_header
        identity = Identity.deserialize(header.creator)
        signed = identity.verify(envelope.envelope.payload, envelope.envelope.signature)
    except (protoutil.MalformedMessage, InvalidIdentity) as error:
        raise _another(transaction, str(error)) from error
    if protoutil.compute_tx_id(header.nonce, header.creator) != transaction:
        raise _another(transaction, "nonce and creator give another id")
    if not signed:
        raise _another(transaction, "its signature is not of its creator")
    return Creator(identity.msp_id, identity.certificate.subject.rfc4514_string(), identity.certificate_pem.decode())


def _another(transaction: str, why: str) -> FabricFLError:
    return FabricFLError(
        f"what the peer answers is not transaction {transaction[:16]}…: {why}",
        code="FL-LEDGER-CREATOR",
        remedy="Ask another organisation's peer; `fabric-fl audit export` and `audit verify` judge the whole chain.",
    )
