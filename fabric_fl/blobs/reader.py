"""Reading blobs wherever they are, and keeping what was read, so that others can read it here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fabric_fl.aggregation.files import Fingerprint
from fabric_fl.blobs.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobUnavailableError,
    BlobUnreachableError,
)
from fabric_fl.blobs.store import BlobStore

_NOT_THERE = (BlobMissingError, BlobCorruptError, BlobUnreachableError)

_log = logging.getLogger(__name__)


class BlobReader:
    """The own store, and the others' by MSP id as the operator configured them."""

    def __init__(self, own: BlobStore, others: Mapping[str, BlobStore]) -> None:
        self._own = own
        self._others = dict(others)

    def fetch(self, digest: str, size: int, sources: Iterable[str]) -> Path:
        """Get a blob as a verified local file, from the own store or else from the first source that has it.

        Args:
            digest: The blob's.
            size: Bytes; nothing of another size is read.
            sources: MSP ids in the order to try: the author, then the validators.

        Raises:
            BlobUnavailableError: Nobody could give it; `reasons` says why, store by store.
            StoreFullError: It was found, but there is no room in the own store.
        """
        reasons: dict[str, str] = {}
        try:
            return self._own.path(digest, size)
        except _NOT_THERE as error:
            reasons["own"] = error.code
        for source, store in self._stores(sources):
            try:
                self._own.copy_from(store, digest, size)
                return self._own.path(digest, size)
            except _NOT_THERE as error:
                _log.info("no blob %s from %s: %s", digest[:16], source, error)
                reasons[source] = error.code
        raise BlobUnavailableError(digest, reasons)

    def held(self, digest: str, size: int) -> Path | None:
        """The verified file in the own store, if the blob is there."""
        try:
            return self._own.path(digest, size)
        except _NOT_THERE:
            return None

    def verified(self, digest: str) -> Fingerprint | None:
        """The fingerprint of the own file when its digest was found right."""
        return self._own.verified(digest)

    def nearby(self, digest: str, size: int, sources: Iterable[str]) -> Path | None:
        """A file of this name and size in the first source that is a directory and has one; nobody has verified it."""
        found = (store.nearby(digest, size) for _, store in self._stores(sources))
        return next((path for path in found if path is not None), None)

    def keep(self, path: Path, digest: str, size: int) -> Path:
        """Move a file whose digest was found right while it was written into the own store; returns where it is now.

        Nobody waits for the disk: others have the blob, too.

        Raises:
            StoreFullError: There is no room in the own store.
        """
        self._own.adopt(path, digest, durable=False)
        return self._own.path(digest, size)

    def _stores(self, sources: Iterable[str]) -> Iterator[tuple[str, BlobStore]]:
        return ((source, self._others[source]) for source in dict.fromkeys(sources) if source in self._others)
