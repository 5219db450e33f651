"""Committed models: which digest the ledger names, and the verified bytes from whoever has them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from fabric_fl.aggregation import BlobFile, Layout, ModelBlob, read_model, state_size
from fabric_fl.blobs import BlobReader, BlobUnavailableError
from fabric_fl.ledger import FLLedger
from fl_chaincode.records import Model, Task

_GRACE_S = 10.0  # models are published after their commit: who is quicker than all attesters waits for them
_LOOK_S = 0.05


@dataclass(frozen=True)
class ModelFiles:
    """A model as verified local files: what a round starts from.

    Attributes:
        number: how many models of the task are committed up to it; 0 is the initial one.
        model: the float32 weights.
        state: the server step's float64 state; None for the initial model, from which it is made.
    """

    number: int
    model: BlobFile
    state: BlobFile | None


class CommittedModels:
    """The models of one task.

    Args:
        ledger: names their digests.
        reader: fetches the bytes.
        task: whose models.
        patience: seconds for which a committed model that nobody has yet is waited for.
    """

    def __init__(self, ledger: FLLedger, reader: BlobReader, task: Task, *, patience: float = _GRACE_S) -> None:
        self._ledger = ledger
        self._reader = reader
        self._task = task
        self._patience = patience
        self._records: dict[int, Model] = {}
        self._layout: Layout | None = None

    def record(self, number: int) -> Model:
        """Returns the ledger's record of the number-th model, which never changes and so is asked for once.

        Raises:
            LedgerRefused: there is no such model.
        """
        if number not in self._records:
            self._records[number] = self._ledger.model(self._task.id, number)
        return self._records[number]

    def know(self, record: Model) -> None:
        """Takes a record that came with another answer, so that the ledger need not be asked for it."""
        self._records.setdefault(record.j, record)

    def layout(self, number: int) -> Layout:
        """Returns the names and shapes that every model of the task has, read once from the number-th.

        Raises:
            BlobUnavailableError: no store that this organisation can read has it.
        """
        if self._layout is None:
            self._layout = self.read(number).layout
        return self._layout

    def sources(self, authors: Iterable[str]) -> tuple[str, ...]:
        """Returns whose stores to try: the authors', then the validators', each once."""
        return tuple(dict.fromkeys((*authors, *self._task.validators)))

    def weights(self, number: int) -> BlobFile:
        """Fetches the number-th model's weights; 0 is the initial model.

        Raises:
            BlobUnavailableError: no store that this organisation can read has it.
            LedgerRefused: there is no such model.
        """
        spec = self._task.model
        if number == 0:
            return self._fetch(spec.initial, spec.size, [self._task.sponsor])
        record = self.record(number)
        # every model of a task has the initial one's layout, and so its size
        return self._fetch_committed(record.digest, spec.size, record.attested_by)

    def read(self, number: int) -> ModelBlob:
        """Fetches the number-th model's weights and reads them into memory.

        Raises:
            As `weights`.
        """
        file = self.weights(number)
        return read_model(file.path, file.digest, file.size, file.verified)

    def files(self, number: int) -> ModelFiles:
        """Fetches the number-th model with its server state.

        Raises:
            BlobUnavailableError: no store that this organisation can read has it.
            LedgerRefused: there is no such model.
        """
        model = self.weights(number)
        record = self.record(number)
        if record.state is None:
            return ModelFiles(number, model, None)
        size = state_size(self.layout(number), self._task.server.to_json())
        return ModelFiles(number, model, self._fetch_committed(record.state, size, record.attested_by))

    def _fetch_committed(self, digest: str, size: int, authors: Iterable[str]) -> BlobFile:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._fetch(digest, size, authors)
            except BlobUnavailableError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_LOOK_S)

    def _fetch(self, digest: str, size: int, authors: Iterable[str]) -> BlobFile:
        path = self._reader.fetch(digest, size, self.sources(authors))
        return BlobFile(path, digest, size, self._reader.verified(digest))
