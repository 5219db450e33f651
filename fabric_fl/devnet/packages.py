"""Chaincode packages: what an organisation installs on its peer, and where the chaincode in it listens."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.devnet.chaincode import ChaincodeServer

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_MAX_UNPACKED = 16 * 1024 * 1024
"""A package of a chaincode that runs elsewhere is an address and perhaps indexes: more is a mistake or an attack."""

_ONLY_CCAAS = (
    "devnet runs chaincode as a service only: package the address of a running chaincode with type 'ccaas', "
    "or use Hyperledger Fabric"
)


class InvalidPackage(ValueError):  # noqa: N818 -- what it is
    """A package that cannot be installed here."""


@dataclass(frozen=True)
class ChaincodePackage:
    """An installed package.

    Attributes:
        label: What people call it.
        package_id: ``label:hash``, the CHAINCODE_ID of its process.
        server: Where its process listens.
    """

    label: str
    package_id: str
    server: ChaincodeServer

    @classmethod
    def parse(cls, data: bytes) -> ChaincodePackage:
        """Reads a package.

        Raises:
            InvalidPackage: It is none, or not one of chaincode as a service.
        """
        files = _untar(data)
        metadata = _json_object(files, "metadata.json")
        label, kind = metadata.get("label"), metadata.get("type")
        if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
            raise InvalidPackage(
                f"invalid label '{label}'. Label must be non-empty, can only consist of alphanumerics, symbols from "
                "'.+-_', and can only begin with alphanumerics"
            )
        if "code.tar.gz" not in files:
            raise InvalidPackage("did not find a code package inside the package")
        if not isinstance(kind, str) or kind.lower() not in ("ccaas", "external"):
            raise InvalidPackage(f"could not build chaincode of type {kind!r}: {_ONLY_CCAAS}")
        package_id = f"{label}:{hashlib.sha256(data).hexdigest()}"
        connection = _json_object(_untar(files["code.tar.gz"]), "connection.json")
        return cls(label, package_id, server_of(connection, package_id))


def server_of(connection: dict[str, object], package_id: str | None) -> ChaincodeServer:
    """Reads the words of a ``connection.json``.

    Raises:
        InvalidPackage: It lacks what it needs.
    """

    def text(key: str) -> str:
        value = connection.get(key, "")
        if not isinstance(value, str):
            raise InvalidPackage(f"connection.json: {key} must be text")
        return value

    if not text("address"):
        raise InvalidPackage("chaincode address not provided")
    if not connection.get("tls_required", bool(text("root_cert"))):
        return ChaincodeServer(text("address"), package_id)
    if not text("root_cert"):
        raise InvalidPackage("chaincode tls root cert not provided")
    client = connection.get("client_auth_required", bool(text("client_key")))
    if client and not (text("client_key") and text("client_cert")):
        raise InvalidPackage("chaincode tls key and cert not provided")
    return ChaincodeServer(
        text("address"),
        package_id,
        root_cert=text("root_cert"),
        client_cert=text("client_cert") if client else None,
        client_key=text("client_key") if client else None,
    )


class ChaincodeStore:
    """The packages that one organisation installed; on disk, or (directory None) in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._packages: dict[str, tuple[ChaincodePackage, bytes]] = {}
        for file in sorted(directory.glob("*.tar.gz")) if directory is not None else ():
            data = file.read_bytes()
            package = ChaincodePackage.parse(data)
            self._packages[package.package_id] = (package, data)

    def save(self, data: bytes) -> ChaincodePackage:
        """Installs a package.

        Raises:
            InvalidPackage: It cannot be read, or is installed already.
        """
        package = ChaincodePackage.parse(data)
        if package.package_id in self._packages:
            raise InvalidPackage(f"chaincode already successfully installed (package ID '{package.package_id}')")
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{package.package_id.replace(':', '.')}.tar.gz"
            temporary = path.with_suffix(".part")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        self._packages[package.package_id] = (package, data)
        return package

    def get(self, package_id: str) -> ChaincodePackage | None:
        found = self._packages.get(package_id)
        return found[0] if found is not None else None

    def data(self, package_id: str) -> bytes | None:
        """Returns the package as it was installed."""
        found = self._packages.get(package_id)
        return found[1] if found is not None else None

    def packages(self) -> list[ChaincodePackage]:
        return [package for _, (package, _) in sorted(self._packages.items())]


def _untar(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(_MAX_UNPACKED + 1)
        if len(unpacked) > _MAX_UNPACKED:
            raise InvalidPackage(f"the package unpacks to more than {_MAX_UNPACKED} bytes")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            for member in archive:
                if not member.isreg() and not member.isdir():
                    raise InvalidPackage(f"tar entry {member.name} is not a regular file")
                file = archive.extractfile(member)
                if file is not None:
                    files[member.name.removeprefix("./")] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise InvalidPackage(f"error reading as gzip stream: {error}") from error
    return files


def _json_object(files: dict[str, bytes], name: str) -> dict[str, object]:
    if name not in files:
        raise InvalidPackage(f"did not find file '{name}' in package")
    try:
        content = json.loads(files[name])
    except (ValueError, RecursionError) as error:
        raise InvalidPackage(f"could not unmarshal {name} as json: {error}") from error
    if not isinstance(content, dict):
        raise InvalidPackage(f"could not unmarshal {name} as json: it is no object")
    return content
