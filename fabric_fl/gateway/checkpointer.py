"""Where a reader of events stands, so that a restart neither repeats nor skips one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fabric_fl.errors import FabricFLError

if TYPE_CHECKING:
    from fabric_fl.gateway.chaincode_events import ChaincodeEvent


class Checkpoint(Protocol):
    """A position in the chain: the block to read next and, within it, the last transaction that was handled."""

    @property
    def block_number(self) -> int | None: ...

    @property
    def transaction_id(self) -> str | None: ...


class CheckpointError(FabricFLError):
    """A checkpoint file cannot be read."""

    code = "FL-CHECKPOINT"
    remedy = "Delete the file to start over from the configured block, or restore it."


class InMemoryCheckpointer:
    """A position that lives as long as the process."""

    def __init__(self, block_number: int | None = None, transaction_id: str | None = None) -> None:
        self._block_number = block_number
        self._transaction_id = transaction_id

    @property
    def block_number(self) -> int | None:
        return self._block_number

    @property
    def transaction_id(self) -> str | None:
        return self._transaction_id

    def checkpoint_block(self, block_number: int) -> None:
        """Record that the whole block was handled."""
        self._record(block_number + 1, None)

    def checkpoint_transaction(self, block_number: int, transaction_id: str) -> None:
        """Record that a block was handled up to and including this transaction."""
        self._record(block_number, transaction_id)

    def checkpoint_chaincode_event(self, event: ChaincodeEvent) -> None:
        """Record that everything up to and including this event was handled."""
        self.checkpoint_transaction(event.block_number, event.transaction_id)

    def _record(self, block_number: int, transaction_id: str | None) -> None:
        self._block_number, self._transaction_id = block_number, transaction_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(block_number={self._block_number}, transaction_id={self._transaction_id!r})"


class FileCheckpointer(InMemoryCheckpointer):
    """A position that survives a crash: written to a new file, synced, renamed over the old one.

    Raises:
        CheckpointError: The file is there and is no checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = Path(path)
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        self._block_number, self._transaction_id = _decode(text, self._path)

    def _record(self, block_number: int, transaction_id: str | None) -> None:
        # The same two fields as the official clients write, so that one may take over from the other.
        state = {"blockNumber": str(block_number)} | ({"transactionId": transaction_id} if transaction_id else {})
        new = self._path.with_name(self._path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # without it the rename itself may be lost with the power
        finally:
            os.close(directory)
        super()._record(block_number, transaction_id)


def _decode(text: str, path: Path) -> tuple[int | None, str | None]:
    try:
        state = json.loads(text)
        block_number = state.get("blockNumber")
        number = None if block_number is None else int(block_number)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no checkpoint: {error}") from error
    transaction_id = state.get("transactionId")
    if transaction_id is not None and not isinstance(transaction_id, str):
        raise CheckpointError(f"{path} is no checkpoint: transactionId is no string")
    return number, transaction_id
