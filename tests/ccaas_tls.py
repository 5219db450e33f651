"""Certificates for the adapter's tests, each from an authority of its own."""

import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FABRIC_CA_ATTRIBUTES = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")


@dataclass
class Issued:
    key_pem: bytes
    cert_pem: bytes
    ca_pem: bytes
    folder: Path

    @property
    def key_file(self):
        return self.folder / "key.pem"

    @property
    def cert_file(self):
        return self.folder / "cert.pem"

    @property
    def ca_file(self):
        return self.folder / "ca.pem"


def issue(tmp_path, name, attributes=None, unit=None):
    """Issue a certificate for localhost and write it, its key and its authority's certificate to files."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = f"ca of {name}"
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = _builder(name, ca_name, key.public_key(), unit).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )
    if attributes is not None:
        raw = json.dumps({"attrs": attributes}).encode()
        builder = builder.add_extension(x509.UnrecognizedExtension(FABRIC_CA_ATTRIBUTES, raw), critical=False)
    issued = Issued(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        ca.public_bytes(serialization.Encoding.PEM),
        tmp_path / name,
    )
    issued.folder.mkdir()
    issued.key_file.write_bytes(issued.key_pem)
    issued.cert_file.write_bytes(issued.cert_pem)
    issued.ca_file.write_bytes(issued.ca_pem)
    return issued


def _builder(name, issuer, public_key, unit=None):
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
    if unit:
        subject.append(x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
