"""The headers of proposals, transactions and seek requests, and the transaction id."""

from __future__ import annotations

import hashlib
import secrets
from typing import Protocol

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from google.protobuf.timestamp_pb2 import Timestamp

NONCE_BYTES = 24


class Signer(Protocol):
    """Whoever signs: a `SigningIdentity`, or a caller's own key store behind the same two methods."""

    def serialize(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


def create_nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


def compute_tx_id(nonce: bytes, creator: bytes) -> str:
    """Returns the transaction id: hex of SHA-256(nonce + creator)."""
    return hashlib.sha256(nonce + creator).hexdigest()


def channel_header(
    header_type: int,
    channel_id: str,
    *,
    tx_id: str = "",
    extension: bytes = b"",
    timestamp: Timestamp | None = None,
    epoch: int = 0,
    version: int = 0,
    tls_cert_hash: bytes = b"",
) -> common_pb2.ChannelHeader:
    """Returns a channel header, stamped with the present time unless told otherwise."""
    if timestamp is None:
        timestamp = Timestamp()
        timestamp.GetCurrentTime()
    return common_pb2.ChannelHeader(
        type=header_type,
        version=version,
        timestamp=timestamp,
        channel_id=channel_id,
        tx_id=tx_id,
        epoch=epoch,
        extension=extension,
        tls_cert_hash=tls_cert_hash,
    )


def signature_header(creator: bytes, nonce: bytes | None = None) -> common_pb2.SignatureHeader:
    """Returns a signature header with a fresh nonce unless one is given."""
    return common_pb2.SignatureHeader(creator=creator, nonce=create_nonce() if nonce is None else nonce)


def chaincode_header_extension(chaincode: str) -> bytes:
    """Returns the channel header's extension: which chaincode is called."""
    extension = proposal_pb2.ChaincodeHeaderExtension(chaincode_id=chaincode_pb2.ChaincodeID(name=chaincode))
    serialized: bytes = extension.SerializeToString()
    return serialized
