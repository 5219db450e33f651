"""A store behind a URL, over fsspec: s3, gcs, http, sftp, whatever has a driver installed."""

from __future__ import annotations

import errno
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from fabric_fl.aggregation.files import Fingerprint
from fabric_fl.blobs.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobStoreError,
    BlobUnreachableError,
    StoreFullError,
)
from fabric_fl.blobs.local import CHUNK, Directory


class Remote:
    """A remote folder of blobs. Files that are read, and all that is written, pass through a local directory."""

    def __init__(self, url: str, cache: Path | None, options: dict[str, Any]) -> None:
        self._url = url
        self._given_cache = cache
        self._options = options

    def __str__(self) -> str:
        return self._url.rpartition("@")[2]  # a URL may carry a password

    @cached_property
    def _place(self) -> tuple[Any, str]:
        with self._reaching():
            filesystem, root = fsspec.core.url_to_fs(self._url, **self._options)
            return filesystem, root.rstrip("/")

    @cached_property
    def _cache(self) -> Directory:
        if self._given_cache is not None:
            return Directory(self._given_cache)
        path = tempfile.mkdtemp(prefix="fabric-fl-")
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return Directory(Path(path))

    def has(self, digest: str) -> bool:
        filesystem, root = self._place
        with self._reaching():
            return bool(filesystem.exists(f"{root}/{digest}"))

    def path(self, digest: str, size: int) -> Path:
        """A local copy of the blob, its digest checked; a copy that was damaged since is replaced."""
        if self._cache.has(digest):
            with suppress(BlobCorruptError):  # which says nothing of what lies behind the URL
                return self._cache.path(digest, size)
        self._cache.receive(digest, self.chunks(digest, size))
        return self._cache.path(digest, size)

    def verified(self, digest: str) -> Fingerprint | None:
        """The fingerprint of the local copy when its digest was found right."""
        return self._cache.verified(digest)

    def nearby(self, digest: str, size: int) -> Path | None:
        """Nothing behind a URL is near."""
        return None

    def chunks(self, digest: str, size: int) -> Iterator[bytes]:
        """The blob's bytes, never more than `size`; whoever receives them checks the digest."""
        filesystem, root = self._place
        with self._reaching(digest):
            found = filesystem.info(f"{root}/{digest}").get("size")
            file = filesystem.open(f"{root}/{digest}", "rb")
        with file:
            if found is not None and found != size:
                raise BlobCorruptError(f"{self} has {found} bytes under {digest}, not {size}")
            left = size
            while True:
                with self._reaching(digest):
                    chunk = file.read(CHUNK)
                if not chunk:
                    break
                left -= len(chunk)
                if left < 0:
                    raise BlobCorruptError(f"{self} has more than {size} bytes under {digest}")
                yield chunk
            if left:
                raise BlobCorruptError(f"{self} ends {digest} after {size - left} of {size} bytes")

    def receive(self, digest: str, chunks: Iterable[bytes]) -> int:
        """Write a blob and return its size; nothing stands under its digest before all of it does.

        Raises:
            BlobCorruptError: The chunks have another digest; nothing was kept.
            StoreFullError: There is no room; nothing was kept.
        """
        size = self._cache.receive(digest, chunks)
        filesystem, root = self._place
        temporary = f"{root}/.{digest[:16]}-{secrets.token_hex(8)}.part"
        with self._writing():
            filesystem.makedirs(root, exist_ok=True)
            try:
                filesystem.put_file(str(self._cache.path(digest, size)), temporary)
                filesystem.mv(temporary, f"{root}/{digest}")
            except BaseException:
                if filesystem.exists(temporary):
                    filesystem.rm_file(temporary)
                raise
        return size

    def adopt(self, digest: str, path: Path, *, durable: bool) -> bool:
        """Never: a remote store always gets a copy."""
        return False

    def take(self, digest: str, path: Path) -> int | None:
        """Never: a remote store always gets a copy."""
        return None

    def sync(self, digests: Sequence[str]) -> None:
        """Nothing to wait for: what was sent has arrived."""

    def release(self, digest: str) -> None:
        """Of the local copy, where there is one."""
        self._cache.release(digest)

    @contextmanager
    def _reaching(self, digest: str = "") -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise BlobMissingError(f"{self} does not have the blob {digest}") from error
        except Exception as error:  # drivers raise whatever their libraries do
            raise BlobUnreachableError(f"{self} does not answer: {type(error).__name__}: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFullError(f"the blob store {self} is full") from error
            raise BlobStoreError(f"the blob store {self} cannot be written: {type(error).__name__}: {error}") from error
