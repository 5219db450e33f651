"""A content-addressed store of one organisation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_fl.aggregation.codec import digest as digest_of
from fabric_fl.aggregation.files import Fingerprint, file_digest, open_blob
from fabric_fl.blobs.errors import BlobStoreError
from fabric_fl.blobs.local import CHUNK, Directory
from fabric_fl.blobs.remote import Remote

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCAL = re.compile(r"(?:file|local)://(.*)", re.DOTALL)


@dataclass(frozen=True)
class StoredBlob:
    """What is public about a blob: its digest and its size in bytes."""

    digest: str
    size: int


class BlobStore:
    """Blobs by their SHA-256, in a directory or behind any URL that fsspec can open.

    Nothing is returned before its digest was found right, and nothing stands under a digest before all of it does.

    Args:
        url: A directory, or a URL.
        cache: For a URL: where local copies are kept. Default: a temporary directory that ends with the store.
        options: What fsspec's driver needs besides, e.g. credentials.
    """

    def __init__(self, url: str | Path, *, cache: Path | None = None, **options: Any) -> None:
        local = _LOCAL.fullmatch(str(url))
        if local or "://" not in str(url):
            self._place: Directory | Remote = Directory(Path(local[1] if local else url))
        else:
            self._place = Remote(str(url), cache, options)

    def __repr__(self) -> str:
        return f"BlobStore({str(self._place)!r})"

    def put(self, data: bytes | Path, digest: str | None = None) -> StoredBlob:
        """Publish bytes or a file, which must not be written to afterwards. Publishing again repairs what is damaged.

        Args:
            data: The blob.
            digest: What it must have; found out where it is not given.

        Raises:
            BlobCorruptError: It has another digest.
            StoreFullError: There is no room. Nothing was changed.
            BlobStoreError: The store cannot be written.
        """
        if isinstance(data, bytes):
            expected = _checked(digest or digest_of(data))
            return StoredBlob(expected, self._place.receive(expected, [data]))
        try:
            size = data.lstat().st_size
            if digest is None:
                with open_blob(data, size) as file:
                    digest = file_digest(file)
        except OSError as error:
            raise BlobStoreError(f"{data} cannot be read: {error.strerror}") from error
        taken = self._place.take(_checked(digest), data)
        if taken is None:
            taken = self._place.receive(digest, _file_chunks(data, size))
        return StoredBlob(digest, taken)

    def adopt(self, path: Path, digest: str, *, durable: bool = True) -> None:
        """Publish a file whose digest was taken while it was written, and which is not needed any more where it is.

        It is moved where that can be done, and then not read once more.

        Args:
            path: The file.
            digest: What it has.
            durable: Whether it must be on the disk when this returns, instead of after `sync`. What a power cut damaged
                is found when it is read again, so not where it can be had from others then.

        Raises:
            As `put`.
        """
        if not self._place.adopt(_checked(digest), path, durable=durable):
            self.put(path, digest)
            path.unlink()

    def sync(self, digests: Iterable[str]) -> None:
        """Wait until blobs that were adopted without waiting are on the disk.

        Raises:
            BlobStoreError: One is gone, or the disk reports an error.
        """
        self._place.sync([_checked(digest) for digest in digests])

    def has(self, digest: str) -> bool:
        """Whether something stands under this digest; it is verified when it is read.

        Raises:
            BlobUnreachableError: The store does not answer.
        """
        return self._place.has(_checked(digest))

    def path(self, digest: str, size: int) -> Path:
        """A local file with exactly this blob.

        Raises:
            BlobMissingError: The store does not have it.
            BlobCorruptError: What it has is something else; by its size, without reading it.
            BlobUnreachableError: The store does not answer.
        """
        return self._place.path(_checked(digest), size)

    def verified(self, digest: str) -> Fingerprint | None:
        """The fingerprint of the file that `path` gives, as it was when its digest was found right."""
        return self._place.verified(_checked(digest))

    def nearby(self, digest: str, size: int) -> Path | None:
        """The file that this size and name is of in a directory that this machine reads; nobody has verified it."""
        return self._place.nearby(_checked(digest), size)

    def read(self, digest: str, size: int) -> bytes:
        """The blob itself; see `path`."""
        return self.path(digest, size).read_bytes()

    def release(self, digest: str) -> None:
        """Say that nobody is going to read this blob soon: the memory that the machine keeps its bytes in is freed.

        Otherwise every round would take fresh memory from training, for files that belong on the disk anyway: what is
        not there yet is waited for.
        """
        self._place.release(_checked(digest))

    def copy_from(self, other: BlobStore, digest: str, size: int) -> None:
        """Copy a blob from another store into this one, a block at a time, verified on the way.

        Raises:
            BlobMissingError: The other does not have it.
            BlobCorruptError: What the other has is something else.
            BlobUnreachableError: The other does not answer.
            StoreFullError: There is no room in this one.
        """
        self._place.receive(_checked(digest), other._place.chunks(digest, size))


def _checked(digest: str) -> str:
    """A digest that is none would be a path."""
    if not _DIGEST.fullmatch(digest):
        raise BlobStoreError(f"{digest[:80]!r} is no SHA-256 in lower-case hex", code="FL-BLOB-DIGEST")
    return digest


def _file_chunks(path: Path, size: int) -> Iterator[bytes]:
    with open_blob(path, size) as file:
        while chunk := file.read(CHUNK):
            yield chunk
