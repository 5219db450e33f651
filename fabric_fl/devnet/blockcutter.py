"""Where one block ends and the next begins.

References:
    Fabric, ``orderer/common/blockcutter/blockcutter.go``.
"""

from __future__ import annotations

from fabric_fl.fabric.channel.channelconfig import BatchSettings


class BlockCutter:
    """Collects transactions until they fill a block, by count or by size; time is the orderer's matter.

    Args:
        settings: The limits; the timeout is not looked at.
    """

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings
        self._batch: list[bytes] = []
        self._size = 0

    def __len__(self) -> int:
        return len(self._batch)

    def ordered(self, envelope: bytes, size: int) -> list[list[bytes]]:
        """Takes in a transaction; returns the batches that are full now, at most two.

        Args:
            envelope: The transaction.
            size: Its payload and signature, in bytes.
        """
        batches = []
        if size > self._settings.preferred_max_bytes:
            # Too large to share a block: alone, after what came before it.
            if self._batch:
                batches.append(self.cut())
            batches.append([envelope])
            return batches
        if self._size + size > self._settings.preferred_max_bytes:
            batches.append(self.cut())
        self._batch.append(envelope)
        self._size += size
        if len(self._batch) >= self._settings.max_message_count:
            batches.append(self.cut())
        return batches

    def cut(self) -> list[bytes]:
        """Returns the batch as it is and begins the next."""
        batch, self._batch, self._size = self._batch, [], 0
        return batch
