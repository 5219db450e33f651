"""What a peer offers beyond the requests that every Fabric 2 knows."""

from dataclasses import dataclass

from fabric_protos.peer import chaincode_pb2
from google.protobuf.message import DecodeError

UNSTATED = 100  # records a batch, when a peer offers batches and names no size


@dataclass(frozen=True, slots=True)
class PeerFeatures:
    """The batches that a peer takes, as its READY says. Fabric 2.5 says nothing, Fabric 3.1 offers both.

    Attributes:
        write_batch: How many writes go into one WRITE_BATCH_STATE; 0 where it is not offered.
        get_multiple: How many keys go into one GET_STATE_MULTIPLE; 0 where it is not offered.
    """

    write_batch: int = 0
    get_multiple: int = 0

    @classmethod
    def parse(cls, ready_payload: bytes) -> "PeerFeatures":
        """Read the payload of READY. One that cannot be read offers nothing: single requests always work."""
        try:
            offer = chaincode_pb2.ChaincodeAdditionalParams.FromString(ready_payload)
        except DecodeError:
            return cls()
        return cls(
            write_batch=(offer.max_size_write_batch or UNSTATED) if offer.use_write_batch else 0,
            get_multiple=(offer.max_size_get_multiple_keys or UNSTATED) if offer.use_get_multiple_keys else 0,
        )
