"""The chaincode's package: equal bytes for everybody who runs the same rules, and no address or key in it."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.0"
_RULES = ("fl_chaincode", "fabric_ccaas")


@dataclass(frozen=True)
class Package:
    """A chaincode package.

    Attributes:
        name: The chaincode's name.
        content: The bytes that peers install.
    """

    name: str
    content: bytes

    @property
    def label(self) -> str:
        return f"{self.name}_{VERSION}"

    @property
    def id(self) -> str:
        """The id under which peers install it, and the chaincode process registers."""
        return f"{self.label}:{hashlib.sha256(self.content).hexdigest()}"


def package(name: str, source: str | None = None) -> Package:
    """Returns the package of a chaincode as a service.

    Args:
        name: The chaincode's name, by which each peer finds out where it listens.
        source: Digest of the rules, where they are ours: another digest, another package.
    """
    described = {"name": name} | ({"source": source} if source else {})
    code = _archive({"chaincode.json": _json(described)})
    metadata = {"label": f"{name}_{VERSION}", "type": "ccaas"}
    return Package(name, _archive({"metadata.json": _json(metadata), "code.tar.gz": code}))


def rules_digest() -> str:
    """Returns the digest of the contract's own source, as it is installed here."""
    digest = hashlib.sha256()
    for module in _RULES:
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        root = Path(found.origin).parent
        for path in sorted(root.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{module}/{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    """Packs files so that equal files give equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    # level 0: what a compressor makes of its input differs from one version of zlib to the next
    return gzip.compress(packed.getvalue(), compresslevel=0, mtime=0)
