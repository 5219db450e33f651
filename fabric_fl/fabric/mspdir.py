"""The MSP directory that Fabric's programs read: certificates, a key, and which OU means which role."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from fabric_fl.fabric.identity import SigningIdentity

CONFIG_YAML = """NodeOUs:
  Enable: true
  ClientOUIdentifier:
    OrganizationalUnitIdentifier: client
  PeerOUIdentifier:
    OrganizationalUnitIdentifier: peer
  AdminOUIdentifier:
    OrganizationalUnitIdentifier: admin
  OrdererOUIdentifier:
    OrganizationalUnitIdentifier: orderer
"""


def write_msp_dir(
    path: str | Path,
    *,
    ca_certs: Sequence[bytes],
    tls_ca_certs: Sequence[bytes] = (),
    signer: SigningIdentity | None = None,
    crls: Sequence[bytes] = (),
) -> Path:
    """Writes an MSP directory; without a signer it is an organisation's verifying MSP. All contents are PEM."""
    directory = Path(path)
    _write_all(directory / "cacerts", "ca", ca_certs)
    _write_all(directory / "tlscacerts", "tlsca", tls_ca_certs)
    _write_all(directory / "crls", "crl", crls)
    (directory / "config.yaml").write_text(CONFIG_YAML)
    if signer is not None:
        _write_all(directory / "signcerts", "cert", [signer.identity.certificate_pem])
        key = signer.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(directory / "keystore" / "priv_sk", key)
    return directory


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that its owner alone can read, from the first byte on."""
    make_private(path.parent)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def make_private(directory: Path) -> None:
    """Makes a directory that its owner alone can enter; those above it that are missing, too."""
    if not directory.is_dir():
        make_private(directory.parent)
        directory.mkdir(exist_ok=True, mode=0o700)


def _write_all(directory: Path, name: str, contents: Sequence[bytes]) -> None:
    for number, content in enumerate(contents):
        make_private(directory)
        suffix = "" if number == 0 else f"-{number}"
        (directory / f"{name}{suffix}.pem").write_bytes(content)
    if not contents:
        make_private(directory.parent)
