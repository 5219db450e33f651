"""The file that an export is: a POSIX tar archive in exactly one possible form.

Every byte of it follows from the contents: members in the order of the manifest, which is the first, headers without
owner, time or mode, padding of zeros, two empty blocks at the end. So whatever byte is changed, it either no longer
fits the manifest or no longer is what the form demands; `read` says where.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fabric_fl.audit.finding import Finding
from fabric_fl.errors import FabricFLError
from fl_chaincode import canonical

BLOCK = 512
END = bytes(2 * BLOCK)
MANIFEST = "manifest.json"
SUM = "manifest.sha256"
_LARGEST_MANIFEST = 1 << 25
"""Room for 200,000 files; JSON takes up to twenty times its length once it is read."""
_LARGEST_WHOLE = 1 << 27
"""Of a member that is read at once; gRPC brings no block of more than 100 MiB to any peer."""
_STREAMED = "blobs/"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file in the archive.

    Attributes:
        offset: Where its bytes begin.
        size: Bytes.
        sha256: Hex.
    """

    name: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Archive:
    """An archive that was read.

    Attributes:
        about: The manifest without its list of files.
        findings: What does not fit; then members may be missing.
    """

    path: Path
    about: Mapping[str, Any]
    members: Mapping[str, Member]
    findings: tuple[Finding, ...]

    def content(self, name: str) -> bytes:
        """Reads a member at once, which of a blob may be much.

        Raises:
            KeyError: There is none of that name.
        """
        member = self.members[name]
        with self.path.open("rb") as file:
            file.seek(member.offset)
            return file.read(member.size)

    def extract(self, name: str, target: Path) -> None:
        """Copies a member into a file.

        Raises:
            KeyError: There is none of that name.
            OSError: The file cannot be written.
        """
        member = self.members[name]
        with self.path.open("rb") as file, target.open("wb") as copy:
            file.seek(member.offset)
            for chunk in _chunks(file, member.size):
                copy.write(chunk)

    def names(self, folder: str) -> list[str]:
        """Names of the members in a folder, in the archive's order."""
        return [name for name in self.members if name.startswith(f"{folder}/")]


def write(path: Path, about: Mapping[str, Any], files: Mapping[str, bytes | Path]) -> None:
    """Writes an archive; equal contents give equal bytes.

    Args:
        path: Where to; replaced if it is there.
        about: Goes into the manifest.
        files: Contents by name, in the order that they are to have.

    Raises:
        FabricFLError: It is more than `read` takes (FL-AUDIT-EXPORT-SIZE).
    """
    listed = []
    for name, content in files.items():
        with _opened(content) as source:
            digest = hashlib.sha256()
            for chunk in iter(lambda: source.read(_CHUNK), b""):
                digest.update(chunk)
            listed.append({"name": name, "sha256": digest.hexdigest(), "size": source.tell()})
    manifest = canonical.encode({**about, "files": listed})
    if len(manifest) > _LARGEST_MANIFEST:
        raise FabricFLError(
            f"the list of {len(listed)} files is longer than any reader takes",
            code="FL-AUDIT-EXPORT-SIZE",
            remedy="A channel of so many blocks goes into no export: audit it with `fabric-fl audit TASK`.",
        )
    with path.open("wb") as target:
        _add(target, MANIFEST, manifest)
        _add(target, SUM, _sum(manifest))
        for name, content in files.items():
            _add(target, name, content)
        target.write(END)


def read(path: Path) -> Archive:
    """Reads an archive and checks every byte of its form, and every member against the manifest."""
    with path.open("rb") as file:
        return _read(path, file)


def _read(path: Path, file: BinaryIO) -> Archive:
    size = _size(file, MANIFEST)
    if size is None or size > _LARGEST_MANIFEST:
        return _broken(path, f"the header of {MANIFEST}", 0)
    manifest = file.read(size)
    if len(manifest) != size or file.read(-size % BLOCK).strip(b"\0"):
        return _broken(path, f"the padding after {MANIFEST}", BLOCK + size)
    start = file.tell()
    if _size(file, SUM) != len(_sum(b"")):
        return _broken(path, f"the header of {SUM}", start)
    if file.read(len(_sum(b""))) != _sum(manifest):
        return _broken(path, f"{MANIFEST}, or its digest that follows it from byte {start + BLOCK} on,", BLOCK)
    if file.read(-len(_sum(b"")) % BLOCK).strip(b"\0"):
        return _broken(path, f"the padding after {SUM}", start + BLOCK + len(_sum(b"")))
    try:
        about = json.loads(manifest)
        listed = _listed(about.pop("files"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _broken(path, f"{MANIFEST}, which is no manifest", BLOCK)
    return _members(path, file, about, listed)


def _listed(files: Any) -> list[Member]:
    """Reads a manifest's list.

    Raises:
        ValueError: It says what nobody could have written into an archive.
    """
    members = []
    if not isinstance(files, list):
        raise ValueError("it has no list of files")  # noqa: TRY004 -- what its reader is told by is the value
    for one in files:
        if {name: type(value) for name, value in one.items()} != {"name": str, "size": int, "sha256": str}:
            raise ValueError(f"{one} describes no file")
        _header(one["name"], one["size"])
        if one["size"] > _LARGEST_WHOLE and not one["name"].startswith(_STREAMED):
            raise ValueError(f"{one} is larger than anything of its kind")
        members.append(Member(one["name"], 0, one["size"], one["sha256"]))
    if len({member.name for member in members}) != len(members):
        raise ValueError("a file is listed twice")
    return members


def _members(path: Path, file: BinaryIO, about: Mapping[str, Any], listed: list[Member]) -> Archive:
    findings, members = [], {}
    for one in listed:
        start = file.tell()
        if file.read(BLOCK) != _header(one.name, one.size):
            findings.append(_finding(f"the header of {one.name}", start))
        member = Member(one.name, start + BLOCK, one.size, one.sha256)
        digest = hashlib.sha256()
        for chunk in _chunks(file, one.size):
            digest.update(chunk)
        if digest.hexdigest() != one.sha256:
            last = member.offset + one.size - 1
            findings.append(_finding(f"{one.name}, which ends at byte {last}", member.offset))
        else:
            members[one.name] = member
        if file.read(-one.size % BLOCK) != bytes(-one.size % BLOCK):
            findings.append(_finding(f"the padding after {one.name}", member.offset + one.size))
    end = file.tell()
    if file.read(len(END) + 1) != END:
        findings.append(_finding("the archive's end", end))
    return Archive(path, about, members, tuple(findings))


def _broken(path: Path, part: str, offset: int) -> Archive:
    return Archive(path, {}, {}, (_finding(part, offset),))


def _finding(part: str, offset: int) -> Finding:
    return Finding("file", None, f"{part} is not what it was", f"byte {offset}")


def _size(file: BinaryIO, name: str) -> int | None:
    """Reads a header; returns the size that it states, None if it is not the one header for that name and size."""
    header = file.read(BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(header, "ascii", "strict").size
    except (tarfile.HeaderError, UnicodeDecodeError):
        return None
    return size if size >= 0 and header == _header(name, size) else None


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _add(target: BinaryIO, name: str, content: bytes | Path) -> None:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    target.write(_header(name, size))
    with _opened(content) as source:
        for chunk in _chunks(source, size):
            target.write(chunk)
    target.write(bytes(-size % BLOCK))


def _opened(content: bytes | Path) -> BinaryIO:
    if isinstance(content, Path):
        return content.open("rb")
    return io.BytesIO(content)


def _chunks(source: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = source.read(min(size, _CHUNK))
        if not chunk:
            return
        size -= len(chunk)
        yield chunk


def _sum(manifest: bytes) -> bytes:
    """What `sha256sum --check` reads."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()
