"""Blob stores that lie or fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fabric_fl.blobs import BlobMissingError, BlobStore


class KeepsToItself(BlobStore):
    """Publishes nothing."""

    def adopt(self, path: Path, digest: str, *, durable: bool = True) -> None:
        if not durable:  # a copy of what another organisation published: lies are about the own
            super().adopt(path, digest, durable=durable)

    def has(self, digest: str) -> bool:
        return True


class Damaging(BlobStore):
    """Serves something else under the right name."""

    @staticmethod
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.chmod(0o600)
        path.write_bytes(bytes(content))

    def adopt(self, path: Path, digest: str, *, durable: bool = True) -> None:
        size = path.stat().st_size
        super().adopt(path, digest, durable=durable)
        if durable:  # not a copy of what another organisation published
            self.damage(self.path(digest, size))


class Cutting(Damaging):
    @staticmethod
    def damage(path: Path) -> None:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:100])


class Swelling(Damaging):
    """A file that does not end, so to speak: 1 GiB that takes no room."""

    @staticmethod
    def damage(path: Path) -> None:
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.truncate(1 << 30)


class Linking(Damaging):
    @staticmethod
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to("/etc/hostname")


class Withholding(BlobStore):
    """A store as it shows itself to a reader from whom it withholds blobs.

    Args:
        first: What the others see.
        withholds: Whether it withholds the blob of a digest.

    Attributes:
        withheld: The digests that the reader asked for and was not given.
    """

    def __init__(self, first: BlobStore, withholds: Callable[[str], bool]) -> None:
        self.withheld: set[str] = set()
        self._place = _Withheld(first, withholds, self.withheld)  # type: ignore[assignment]


class _Withheld:
    def __init__(self, first: BlobStore, withholds: Callable[[str], bool], withheld: set[str]) -> None:
        self._first = first
        self._withholds = withholds
        self._withheld = withheld

    def _denied(self, digest: str) -> bool:
        if not self._withholds(digest):
            return False
        self._withheld.add(digest)
        return True

    def nearby(self, digest: str, size: int) -> Path | None:
        return None if self._denied(digest) else self._first.nearby(digest, size)

    def chunks(self, digest: str, size: int) -> Iterator[bytes]:
        if self._denied(digest):
            raise BlobMissingError(f"it does not have the blob {digest}")
        yield from self._first._place.chunks(digest, size)


class SecondFace(BlobStore):
    """A store as it shows itself to one of its readers: everything is there, and nothing as it is.

    Args:
        first: What the others see.
        folder: Where the other face of what is read lies.
    """

    def __init__(self, first: BlobStore, folder: Path) -> None:
        super().__init__(folder)
        self._place = _Turned(first, folder)  # type: ignore[assignment]


class _Turned:
    def __init__(self, first: BlobStore, folder: Path) -> None:
        self._first = first
        self._folder = folder

    def nearby(self, digest: str, size: int) -> Path | None:
        if self._first.nearby(digest, size) is None:
            return None
        self._folder.mkdir(exist_ok=True)
        path = self._folder / digest
        path.write_bytes(b"".join(self.chunks(digest, size)))
        return path

    def chunks(self, digest: str, size: int) -> Iterator[bytes]:
        for chunk in self._first._place.chunks(digest, size):
            yield chunk[:-1] + bytes([chunk[-1] ^ 1])
