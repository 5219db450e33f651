"""A blob file written a block at a time, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np

from fabric_fl.aggregation.codec import DTYPES
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.files import BlobFile, Fingerprint, fingerprint, write_all
from fabric_fl.aggregation.header import Header
from fabric_fl.aggregation.ring import Float64

_CHUNK = 1 << 18  # bytes


class CopyFile:
    """A copy of what is read, written meanwhile; it gets its name when it was found right."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.part")
        with _storage(path):
            self._file = _create(self._temporary)

    def write(self, data: bytes | memoryview) -> None:
        with _storage(self._path):
            write_all(self._file, memoryview(data))

    def finish(self) -> Fingerprint:
        """Give it its name."""
        with _storage(self._path):
            self._temporary.replace(self._path)
            return fingerprint(os.fstat(self._file.fileno()))

    def discard(self) -> None:
        """Close it, and remove it unless it was finished."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class OutputStream:
    """A blob written a block at a time, whole or not at all.

    What it holds can be computed again until it is in a store, which syncs it; so nothing is synced here. Its digest is
    taken while it is written, as long as blocks come in the order of the file.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.part")
        self._dtype = DTYPES[header.dtype]
        prefix = header.encode()
        self._data = len(prefix)
        self._size = len(prefix) + header.data_size
        self._hash = hashlib.sha256(prefix)
        self._hashed = len(prefix)
        with _storage(path):
            self._file = _create(self._temporary)
            try:
                write_all(self._file, memoryview(prefix))
            except OSError:
                self.discard()
                raise

    def write(self, offset: int, values: Float64) -> None:
        """Round the values to the file's type and write them at an element's offset.

        Raises:
            AggregationError: One of them is not finite, before or after rounding.
        """
        with np.errstate(over="ignore"):
            block = values.astype(self._dtype, copy=False)
        if not np.isfinite(block).all():
            raise AggregationError(
                "the next model would hold NaN or infinity",
                code="FL-AGGREGATE-NOT-FINITE",
                remedy="The task's learning rates are too high for these updates: abort the round, lower them.",
            )
        data = np.ascontiguousarray(block).view(np.uint8).data
        start = self._data + self._dtype.itemsize * offset
        with _storage(self._path):
            self._file.seek(start)
            write_all(self._file, data)
        if start == self._hashed:
            self._hash.update(data)
            self._hashed += len(data)

    def finish(self) -> BlobFile:
        """Give the file its name. What was not written in order is read once more for the digest."""
        with _storage(self._path):
            self._file.seek(self._hashed)
            while data := self._file.read(_CHUNK):
                self._hash.update(data)
            self._file.close()
            self._temporary.replace(self._path)
        return BlobFile(self._path, self._hash.hexdigest(), self._size)

    def discard(self) -> None:
        """Remove what was written, unless it was finished."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def _create(path: Path) -> FileIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return FileIO(os.open(path, flags, 0o600), "r+b")


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AggregationError(
            f"{path} cannot be written: {error.strerror}",
            code="FL-AGGREGATE-STORAGE",
            remedy="Free space in the directory, or point to another; what was committed is untouched.",
        ) from error
