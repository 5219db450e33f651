"""Blobs as files: opened with care, verified before use, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import numpy as np

from fabric_fl.aggregation.codec import Blob, ModelBlob, StateBlob, chunks, decode_model, decode_state
from fabric_fl.aggregation.errors import SIZE, BlobError

_PIECE = 1 << 20  # bytes that are hashed while they are in the processor's cache
_AHEAD = 1 << 24  # bytes, for each of which the disk is set to work while the rest is hashed

Fingerprint = tuple[int, int, int, int]
"""What changes when a file's content does: its change time cannot be set back by its owner."""


def fingerprint(status: os.stat_result) -> Fingerprint:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True)
class BlobFile:
    """A local file and what it must contain.

    Attributes:
        verified: The file's fingerprint when its digest was found right; then it is not taken again while it is used.
    """

    path: Path
    digest: str
    size: int
    verified: Fingerprint | None = field(default=None, compare=False)


def open_blob(path: Path, size: int) -> FileIO:
    """Open a regular file of exactly `size` bytes; nothing is read yet.

    Raises:
        BlobError: It is a link, a pipe or anything else, or of another size.
        OSError: It cannot be opened.
    """
    # O_NONBLOCK: a named pipe put in the file's place must not make us wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        os.close(descriptor)
        raise BlobError(f"{path} is not a file of {size} bytes", code=SIZE)
    return FileIO(descriptor, "rb")


def file_digest(file: FileIO) -> str:
    """SHA-256 of a file from its present position on, in constant memory."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def read_verified(file: BlobFile) -> memoryview:
    """A blob's bytes, after their digest was found right; now, or before if the file has not changed since.

    They lie in memory of numpy's, for which the kernel gives huge pages: a page fault for every 4 KB of a large model
    takes longer than reading it.

    Raises:
        BlobError: Size or digest differ, or the file cannot be read.
    """
    try:
        with open_blob(file.path, file.size) as opened:
            memory = np.empty(file.size, np.uint8)
            whole = read_into(opened, memory.data)
            unchanged = fingerprint(os.fstat(opened.fileno())) == file.verified
    except OSError as error:
        raise BlobError(f"{file.path} cannot be read: {error.strerror}", code="FL-BLOB-UNREADABLE") from error
    if not (whole and (unchanged or hashlib.sha256(memory.data).hexdigest() == file.digest)):
        raise BlobError(f"{file.path} does not have the digest {file.digest}", code="FL-BLOB-DIGEST")
    memory.flags.writeable = False
    return memory.data


def read_model(path: Path, digest: str, size: int, verified: Fingerprint | None = None) -> ModelBlob:
    """Read a model's weights; see `BlobFile`, `read_verified` and `codec.decode`."""
    return decode_model(read_verified(BlobFile(path, digest, size, verified)))


def read_state(path: Path, digest: str, size: int) -> StateBlob:
    """Read a server state; see `read_verified` and `codec.decode`."""
    return decode_state(read_verified(BlobFile(path, digest, size)))


def write(blob: Blob, path: Path) -> BlobFile:
    """Write a blob whole or not at all, readable by its owner only, and on the disk when this returns."""
    hasher, size = hashlib.sha256(), 0
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with FileIO(descriptor, "wb") as file, ThreadPoolExecutor(1) as disk:
            begun: list[Future[None]] = []
            for piece in _pieces(blob):
                write_all(file, piece)
                hasher.update(piece)
                size += len(piece)
                if size >= _AHEAD * (len(begun) + 1):
                    begun.append(disk.submit(os.fsync, descriptor))
            for one in begun:
                one.result()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return BlobFile(path, hasher.hexdigest(), size)


def read_into(file: FileIO, view: memoryview) -> bool:
    """Fill a block with a file's next bytes; returns whether there were so many."""
    done = file.readinto(view)
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            return False
        done += count
    return True


def write_all(file: FileIO, view: memoryview) -> None:
    """Write all bytes to an unbuffered file, however few it takes at a time."""
    done = 0
    while done < len(view):
        done += file.write(view[done:])


def _pieces(blob: Blob) -> Iterator[memoryview]:
    for chunk in chunks(blob):
        view = memoryview(chunk)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]


def sync_directory(path: Path) -> None:
    """Make a rename in this directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
