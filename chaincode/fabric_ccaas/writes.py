"""What a transaction writes, kept until its rule has succeeded."""

from collections.abc import Iterator

from fabric_protos.peer import chaincode_shim_pb2
from fabric_protos.peer.chaincode_shim_pb2 import WriteRecord

from fabric_ccaas.features import PeerFeatures
from fabric_ccaas.message import ChaincodeMessage, Message
from fabric_ccaas.transaction import Transaction

MAX_BATCH_BYTES = 16 * 1024 * 1024  # far below a message's limit: a peer holds several transactions' batches


class WriteBuffer:
    """The last write to each key.

    Fabric never lets a transaction read what it wrote, so nobody can tell that writes leave at the end; and a
    refused transaction leaves nothing behind at its peer.
    """

    def __init__(self) -> None:
        self._records: dict[str, Message] = {}

    def put(self, key: str, value: bytes) -> None:
        self._records[key] = WriteRecord(key=key, value=value, type=WriteRecord.PUT_STATE)

    def delete(self, key: str) -> None:
        self._records[key] = WriteRecord(key=key, type=WriteRecord.DEL_STATE)

    def flush(self, transaction: Transaction, features: PeerFeatures) -> None:
        """Send everything, in batches where the peer takes them, and await every acknowledgement.

        Raises:
            PeerError: The peer refused a write.
            StreamClosedError: It is gone.
        """
        if features.write_batch:
            for batch in self._batches(features.write_batch):
                transaction.request(ChaincodeMessage.WRITE_BATCH_STATE, batch)
        else:
            for record in self._records.values():
                transaction.request(*_single(record))
        self._records.clear()

    def _batches(self, max_records: int) -> Iterator[bytes]:
        batch: list[Message] = []
        size = 0
        for record in self._records.values():
            if batch and (len(batch) == max_records or size + record.ByteSize() > MAX_BATCH_BYTES):
                yield _batch(batch)
                batch, size = [], 0
            batch.append(record)
            size += record.ByteSize()
        if batch:
            yield _batch(batch)


def _batch(records: list[Message]) -> bytes:
    serialized: bytes = chaincode_shim_pb2.WriteBatchState(rec=records).SerializeToString()
    return serialized


def _single(record: Message) -> tuple[int, bytes]:
    if record.type == WriteRecord.DEL_STATE:
        return ChaincodeMessage.DEL_STATE, chaincode_shim_pb2.DelState(key=record.key).SerializeToString()
    put = chaincode_shim_pb2.PutState(key=record.key, value=record.value)
    return ChaincodeMessage.PUT_STATE, put.SerializeToString()
