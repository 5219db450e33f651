"""A store that is a directory: a file a blob, named by its digest."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fabric_fl.aggregation.errors import BlobError
from fabric_fl.aggregation.files import Fingerprint, file_digest, fingerprint, open_blob, sync_directory, write_all
from fabric_fl.blobs.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobStoreError,
    BlobUnreachableError,
    StoreFullError,
)

CHUNK = 1 << 20
MODE = 0o640
"""Blobs are readable by the owner's group, so that an operator can let others read them, and by nobody else."""


class Directory:
    """A directory of blobs.

    Files appear whole or not at all, and are on the disk when a call returns, unless `durable` says else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[str, Fingerprint] = {}

    def __str__(self) -> str:
        return str(self.root)

    def has(self, digest: str) -> bool:
        path = self.root / digest
        return path.is_file() and not path.is_symlink()

    def path(self, digest: str, size: int) -> Path:
        """The blob's file, after its digest was found right; once, as long as the file does not change."""
        path = self.root / digest
        with self._reading(digest), open_blob(path, size) as file:
            found = fingerprint(os.fstat(file.fileno()))
            if self._verified.get(digest) != found:
                if file_digest(file) != digest:
                    raise BlobCorruptError(f"{path} does not have the digest that it is named by")
                self._verified[digest] = found
        return path

    def verified(self, digest: str) -> Fingerprint | None:
        """The fingerprint of the blob's file when its digest was found right."""
        return self._verified.get(digest)

    def nearby(self, digest: str, size: int) -> Path | None:
        """The blob's file as it lies there, if it is of this size: for whoever checks its digest while reading it."""
        path = self.root / digest
        try:
            status = path.lstat()
        except OSError:
            return None
        return path if stat.S_ISREG(status.st_mode) and status.st_size == size else None

    def chunks(self, digest: str, size: int) -> Iterator[bytes]:
        """The blob's bytes, at most `size` of them; whoever receives them checks the digest."""
        with self._reading(digest), open_blob(self.root / digest, size) as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def receive(self, digest: str, chunks: Iterable[bytes]) -> int:
        """Write a blob and return its size.

        Raises:
            BlobCorruptError: The chunks have another digest; nothing was kept.
            StoreFullError: There is no room; nothing was kept.
        """
        hasher, size = hashlib.sha256(), 0
        with self._new(digest) as temporary:
            with temporary.open("wb", buffering=0) as file:
                for chunk in chunks:
                    with self._writing():
                        write_all(file, memoryview(chunk))
                    hasher.update(chunk)
                    size += len(chunk)
                if hasher.hexdigest() != digest:
                    raise BlobCorruptError(f"what was sent as {digest} has the digest {hasher.hexdigest()}")
                with self._writing():
                    os.fsync(file.fileno())
            self._adopt(temporary, digest)
        return size

    def take(self, digest: str, path: Path) -> int | None:
        """Publish a local file without copying it, where both lie on one file system; None where they do not.

        Raises:
            BlobCorruptError: The file has another digest; nothing was kept.
        """
        with self._new(digest, create=False) as temporary:
            try:
                os.link(path, temporary, follow_symlinks=False)
            except OSError:
                return None
            size = temporary.lstat().st_size
            with self._reading(digest), open_blob(temporary, size) as file:
                if file_digest(file) != digest:
                    raise BlobCorruptError(f"{path} does not have the digest {digest}")
                with self._writing():
                    os.fchmod(file.fileno(), MODE)
                    os.fsync(file.fileno())
            self._adopt(temporary, digest)
        return size

    def adopt(self, digest: str, path: Path, *, durable: bool) -> bool:
        """Move a file here that has this digest, without reading it; False where it lies on another file system."""
        with self._writing():
            self.root.mkdir(parents=True, exist_ok=True)
        with self._reading(digest), open_blob(path, path.lstat().st_size) as file, self._writing():
            os.fchmod(file.fileno(), MODE)
            if durable:
                os.fsync(file.fileno())
        try:
            self._name(path, digest, durable=durable)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise
        return True

    def sync(self, digests: Sequence[str]) -> None:
        """Wait until these blobs, and their names, are on the disk."""
        for digest in digests:
            with self._writing():
                descriptor = os.open(self.root / digest, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        if digests:
            with self._writing():
                sync_directory(self.root)

    def release(self, digest: str) -> None:
        """Let the operating system forget what it holds of a blob, when it is on the disk."""
        if not hasattr(os, "posix_fadvise"):  # macOS
            return
        with suppress(OSError):
            descriptor = os.open(self.root / digest, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

    def _adopt(self, temporary: Path, digest: str) -> None:
        with self._writing():
            self._name(temporary, digest)

    def _name(self, path: Path, digest: str, *, durable: bool = True) -> None:
        path.replace(self.root / digest)
        if durable:
            sync_directory(self.root)
        self._verified[digest] = fingerprint((self.root / digest).lstat())

    @contextmanager
    def _new(self, digest: str, *, create: bool = True) -> Iterator[Path]:
        """A name for a file that is not a blob yet; whatever has it at the end is removed."""
        with self._writing():
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.root, prefix=f".{digest[:16]}-", suffix=".part")
        temporary = Path(name)
        os.fchmod(descriptor, MODE)
        os.close(descriptor)
        if not create:
            temporary.unlink()
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StoreFullError(f"the blob store {self.root} is full ({error.strerror})") from error
            raise BlobStoreError(f"the blob store {self.root} cannot be written: {error.strerror}") from error

    @contextmanager
    def _reading(self, digest: str) -> Iterator[None]:
        try:
            yield
        except BlobError as error:
            raise BlobCorruptError(error.message) from error
        except FileNotFoundError as error:
            if not self.root.is_dir():
                raise BlobUnreachableError(f"there is no directory {self.root}") from error
            raise BlobMissingError(f"{self.root} does not have the blob {digest}") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise BlobCorruptError(f"{self.root / digest} is a symbolic link") from error
            raise BlobUnreachableError(f"{self.root / digest} cannot be read: {error.strerror}") from error
