"""Root certificates: those that a channel has had, and those that a reader has from elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from fabric_fl.audit.finding import Finding
from fabric_fl.errors import FabricFLError


def read_roots(path: Path) -> list[x509.Certificate]:
    """Reads the certificates of a PEM file, or of all files ``*.pem`` of a folder.

    Raises:
        FabricFLError: There is none, or something else (FL-AUDIT-ROOTS). To go on without them would be to trust
            whoever made the export.
    """
    try:
        files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
        if not files:
            raise _refusal(f"the folder {path} has no file *.pem")
        return [certificate for file in files for certificate in _certificates(file)]
    except OSError as error:
        raise _refusal(f"cannot read {error.filename or path}: {error.strerror}") from error


def root_certificates(roots: Mapping[str, Collection[x509.Certificate]]) -> dict[str, bytes]:
    """Each organisation's root certificates, PEM, as the archive's members that hold them.

    They are those of every configuration that the channel has had, for blocks are judged by the one of their time.
    """
    return {
        f"certificates/{msp_id}.pem": b"".join(sorted(each.public_bytes(Encoding.PEM) for each in roots[msp_id]))
        for msp_id in sorted(roots)
    }


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate in DER, hex, as ``openssl x509 -fingerprint -sha256`` has it with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def compared(
    roots: Mapping[str, Mapping[x509.Certificate, int]], trusted: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    """Holds a channel's root certificates to those that its reader trusts, which are to be its and no others.

    For where one of the reader's is missing, the channel is not of the organisation that he takes to be in it.

    Args:
        roots: Of each MSP id, with the block since which each counts.
        trusted: The reader's.
    """
    for msp_id in sorted(roots):
        for root, block in roots[msp_id].items():
            if root not in trusted:
                message = f"its root certificate {fingerprint(root)} is not among those that were given"
                yield Finding("certificate", msp_id, message, f"block {block}")
    known = {root for of_one in roots.values() for root in of_one}
    for root in dict.fromkeys(trusted):
        if root not in known:
            name = root.subject.rfc4514_string() or "without a name"
            yield Finding(
                "certificate", None, f"no organisation of the channel has the given {fingerprint(root)}", name
            )


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError as error:
        raise _refusal(f"{file} holds no certificate in PEM") from error


def _refusal(message: str) -> FabricFLError:
    remedy = "Name a PEM file, or a folder of files *.pem, with the root certificates of the channel's organisations."
    return FabricFLError(message, code="FL-AUDIT-ROOTS", remedy=remedy)
