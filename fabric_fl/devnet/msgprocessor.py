"""What an orderer checks before it orders: size, expiry, signature and the right to write.

It looks at no endorsement; that is the peers' part.

References:
    Fabric, ``orderer/common/broadcast`` and ``orderer/common/msgprocessor``.
"""

from __future__ import annotations

import datetime

from fabric_protos.common import common_pb2

from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal

NO_CONFIG_UPDATES = (
    "devnet's channels keep the configuration that they began with: "
    "change it by starting devnet anew, or on Hyperledger Fabric"
)


class Rejected(Exception):  # noqa: N818 -- what happened to the message
    """A message that is not ordered.

    Attributes:
        status: The ``common.Status`` to answer with.
    """

    def __init__(self, status: int, info: str) -> None:
        super().__init__(info)
        self.status = status


class MessageProcessor:
    """Filters what is broadcast to one channel.

    Args:
        config: The channel's configuration.
        signatures: Remembers what it verifies.
        absolute_max_bytes: The largest transaction.
    """

    def __init__(self, config: ChannelConfig, signatures: SignatureCache, absolute_max_bytes: int) -> None:
        self._config = config
        self._signatures = signatures
        self._absolute_max_bytes = absolute_max_bytes

    def check(self, envelope: common_pb2.Envelope) -> None:
        """Lets a transaction pass.

        Raises:
            Rejected: It may not be ordered.
        """
        try:
            payload = unmarshal(common_pb2.Payload, envelope.payload)
            channel_header = unmarshal(common_pb2.ChannelHeader, payload.header.channel_header)
        except MalformedMessage as error:
            raise Rejected(common_pb2.BAD_REQUEST, f"could not determine channel ID: {error}") from error
        if not payload.HasField("header"):
            raise Rejected(common_pb2.BAD_REQUEST, "could not determine channel ID: envelope must have a Header")
        self._check_type(channel_header)
        size = message_size(envelope)
        if size > self._absolute_max_bytes:
            raise Rejected(
                common_pb2.BAD_REQUEST,
                f"message payload is {size} bytes and exceeds maximum allowed {self._absolute_max_bytes} bytes",
            )
        self._check_signature(envelope, payload)

    def _check_type(self, channel_header: common_pb2.ChannelHeader) -> None:
        if channel_header.channel_id != self._config.channel_id:
            # As Fabric 2.5 answers; 3.x says BAD_REQUEST with the same words.
            raise Rejected(common_pb2.NOT_FOUND, "channel does not exist")
        if channel_header.type == common_pb2.CONFIG:
            raise Rejected(common_pb2.BAD_REQUEST, "message is of type that cannot be processed directly")
        if channel_header.type == common_pb2.ORDERER_TRANSACTION:
            raise Rejected(common_pb2.BAD_REQUEST, "message is of type that is no longer supported")
        if channel_header.type == common_pb2.CONFIG_UPDATE:
            raise Rejected(common_pb2.FORBIDDEN, NO_CONFIG_UPDATES)

    def _check_signature(self, envelope: common_pb2.Envelope, payload: common_pb2.Payload) -> None:
        try:
            creator = unmarshal(common_pb2.SignatureHeader, payload.header.signature_header).creator
        except MalformedMessage as error:
            raise Rejected(common_pb2.BAD_REQUEST, f"could not convert message to signedData: {error}") from error
        if _has_expired(creator):
            raise Rejected(common_pb2.BAD_REQUEST, "broadcast client identity expired")
        if not self._may_write(creator, envelope):
            raise Rejected(
                common_pb2.FORBIDDEN,
                "implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 1 of the "
                "'Writers' sub-policies to be satisfied: permission denied",
            )

    def _may_write(self, creator: bytes, envelope: common_pb2.Envelope) -> bool:
        try:
            identity = self._signatures.deserialize(creator)
        except InvalidIdentity:
            return False
        return self._signatures.verify(identity, envelope.payload, envelope.signature) and self._config.evaluate(
            "/Channel/Writers", [identity]
        )


def message_size(envelope: common_pb2.Envelope) -> int:
    """Returns a message's size as Fabric's limits count it, in bytes."""
    return len(envelope.payload) + len(envelope.signature)


def _has_expired(creator: bytes) -> bool:
    """Tells whether the creator's certificate has run out; what cannot be read has not, and fails later."""
    try:
        end = Identity.deserialize(creator).certificate.not_valid_after_utc
    except InvalidIdentity:
        return False
    return end <= datetime.datetime.now(datetime.UTC)
