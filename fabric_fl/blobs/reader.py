"""Reading blobs wherever they are, and keeping what was read, so that others can read it here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from fabric_fl.blobs.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobUnavailableError,
    BlobUnreachableError,
)
from fabric_fl.blobs.store import BlobStore

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
        except (BlobMissingError, BlobCorruptError, BlobUnreachableError) as error:
            reasons["own"] = error.code
        for source in dict.fromkeys(sources):
            if source not in self._others:
                continue
            try:
                self._own.copy_from(self._others[source], digest, size)
                return self._own.path(digest, size)
            except (BlobMissingError, BlobCorruptError, BlobUnreachableError) as error:
                _log.info("no blob %s from %s: %s", digest[:16], source, error)
                reasons[source] = error.code
        raise BlobUnavailableError(digest, reasons)
