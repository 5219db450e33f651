"""What a client signed: the parts of a proposal that a rule may see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_pb2


@dataclass(frozen=True)
class Proposal:
    """A proposal that the peer has verified.

    Attributes:
        creator: The proposer's serialized identity.
        timestamp: When the client says it proposed, in nanoseconds since 1970.
        transient: What the client passed beside the arguments; it never reaches the ledger.
    """

    creator: bytes = field(repr=False)
    timestamp: int
    transient: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, signed_proposal: Any) -> "Proposal":
        proposal = proposal_pb2.Proposal.FromString(signed_proposal.proposal_bytes)
        header = common_pb2.Header.FromString(proposal.header)
        channel_header = common_pb2.ChannelHeader.FromString(header.channel_header)
        signature_header = common_pb2.SignatureHeader.FromString(header.signature_header)
        payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
        return cls(
            creator=signature_header.creator,
            timestamp=nanoseconds(channel_header.timestamp),
            transient=MappingProxyType(dict(payload.TransientMap)),
        )


def nanoseconds(timestamp: Any) -> int:
    """Convert a google.protobuf.Timestamp. Clients write what they like into it, also what no calendar holds."""
    return int(timestamp.seconds * 1_000_000_000 + timestamp.nanos)
