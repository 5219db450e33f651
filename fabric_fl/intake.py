"""From others' stores to the sum of a round: each update is read once, and hashed once.

What lies in a directory that this machine reads is read by the sum itself: in one pass over its blocks it is hashed,
checked, copied for the own store and added up, on all cores. What stands behind a URL, which may be slow and wants
credentials that the process that sums has no business with, is fetched before; so is what comes while others are still
awaited. Then it is known to be right, and the sum only checks and adds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from fabric_fl.aggregation import AggregationError, AggregationResult, AggregationWorker, RoundInputs, UpdateInput
from fabric_fl.blobs import BlobReader, BlobUnavailableError

_AT_ONCE = 4  # stores that are waited for


class Intake:
    """Gets updates and sums them.

    Args:
        reader: reads the others' stores and keeps what was found right.
        worker: does the sums in a process without TensorFlow.
    """

    def __init__(self, reader: BlobReader, worker: AggregationWorker) -> None:
        self._reader = reader
        self._worker = worker
        self._wrong: set[str] = set()  # digests under which a directory held something else

    def gather(
        self, updates: Sequence[UpdateInput], sources: Callable[[str], Iterable[str]], directory: Path | None
    ) -> tuple[UpdateInput, ...]:
        """Returns those of the updates that can be had, with where to read them.

        Args:
            updates: what was revealed, of a size that an update can have.
            sources: the MSP ids whose stores to try for a participant's update, in this order.
            directory: where the sum is to copy what it reads from others' directories; None while more updates are
                awaited, and these are better fetched meanwhile.

        Raises:
            StoreFullError: there is no room for them.
        """
        found: dict[str, UpdateInput] = {}
        for update in updates:
            path = self._reader.held(update.digest, update.size)
            if path is not None:
                found[update.participant] = self._known(update, path)
            elif directory is not None and update.digest not in self._wrong:
                path = self._reader.nearby(update.digest, update.size, sources(update.participant))
                if path is not None:
                    copy = directory / f"{update.participant}-{update.digest[:16]}.blob"
                    found[update.participant] = replace(update, path=path, copy=copy)
        missing = [update for update in updates if update.participant not in found]
        if missing:
            with ThreadPoolExecutor(min(_AT_ONCE, len(missing))) as threads:
                for fetched in threads.map(lambda update: self._fetch(update, sources(update.participant)), missing):
                    if fetched is not None:
                        found[fetched.participant] = fetched
        return tuple(found[participant] for participant in sorted(found))

    def aggregate(self, inputs: RoundInputs, directory: Path) -> tuple[RoundInputs, AggregationResult]:
        """Sums what was gathered; returns the result, and the inputs as they now lie in the own store.

        Raises:
            AggregationError: as `fabric_fl.aggregation.aggregate`. What was found right is kept all the same; what was
                not is looked for elsewhere when it is gathered again.
        """
        try:
            result = self._worker.aggregate(inputs, directory)
        except AggregationError as error:
            self._wrong |= {update.digest for update in inputs.updates if update.participant in error.participants}
            raise
        finally:
            kept = self._keep_all(inputs.updates)
        return replace(inputs, updates=kept), result

    def _fetch(self, update: UpdateInput, sources: Iterable[str]) -> UpdateInput | None:
        try:
            return self._known(update, self._reader.fetch(update.digest, update.size, sources))
        except BlobUnavailableError:
            return None

    def _keep_all(self, updates: Sequence[UpdateInput]) -> tuple[UpdateInput, ...]:
        """Moves the copies into the own store, where participants who collude may have one file under one digest."""
        places: dict[str, Path] = {}
        for update in updates:
            if update.copy is None or not update.copy.exists():
                continue
            if update.digest in places:
                update.copy.unlink()
            else:
                places[update.digest] = self._reader.keep(update.copy, update.digest, update.size)
        return tuple(self._kept(update, places.get(update.digest)) for update in updates)

    def _kept(self, update: UpdateInput, place: Path | None) -> UpdateInput:
        if update.copy is None:
            return update
        if place is None:
            return replace(update, path=None, copy=None)
        return self._known(update, place)

    def _known(self, update: UpdateInput, path: Path) -> UpdateInput:
        return replace(update, path=path, copy=None, verified=self._reader.verified(update.digest))
