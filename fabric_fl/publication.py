"""Committed models in every attester's store: whoever computed one publishes it once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from fabric_fl.blobs import BlobCorruptError
from fabric_fl.journal import MODEL, STATE
from fabric_fl.participation import Participation
from fl_chaincode.records import COMMITTED, Model

Written = Callable[[int], Iterable[str]]
"""Digests of the files of a round that were written by this process, and so need not be hashed again."""


class ModelPublisher:
    """Puts committed models and their states into the own store, where this organisation has computed them.

    The files lie in the journal of their round until then. So neither a restart loses them nor a commit that happened
    while this process was busy or away.

    Args:
        participation: the organisation's means.
        written: says what this process wrote.
    """

    def __init__(self, participation: Participation, written: Written) -> None:
        self._part = participation
        self._written = written
        self._models = 0  # how many committed models have been looked after
        self._rounds = 0  # the round of the last of them
        self._unsynced: list[str] = []

    def publish(self, j: int) -> None:
        """Publishes what was computed of the models up to the j-th and is not in the store yet."""
        if j <= self._models:
            return
        newest = self._part.models.record(j)
        for number in self._part.journal.computed(range(self._rounds + 1, newest.round + 1)):
            record = newest if number == newest.round else self._committed(number)
            if record is None:
                self._part.journal.forget_computed(number)
            else:
                self.publish_model(record)
        self._models, self._rounds = j, newest.round

    def publish_model(self, record: Model) -> None:
        """Publishes what was computed in a committed round; what is not what was committed is of no use any more."""
        folder, written = self._part.journal.folder(record.round), set(self._written(record.round))
        for name, digest in ((MODEL, record.digest), (STATE, record.state)):
            path = folder / name
            if digest is None or not path.exists():
                continue
            if digest in written:
                self._part.store.adopt(path, digest, durable=False)
                self._unsynced.append(digest)
                continue
            with suppress(BlobCorruptError):  # another model than was committed: a dissent, or an attempt
                self._part.store.put(path, digest)
            path.unlink()
        self._part.done("published", record.round)

    def sync(self) -> None:
        """Waits until all that was published is on the disk.

        Others can read a model at once, and training from it starts; but this organisation says nothing more to the
        ledger before a power cut cannot take it back.
        """
        self._part.store.sync(self._unsynced)
        self._unsynced.clear()

    def _committed(self, number: int) -> Model | None:
        """Returns what a round committed; None where it was aborted."""
        round_ = self._part.ledger.round(self._part.task.id, number)
        return self._part.models.record(round_.j) if round_.status == COMMITTED else None
