"""A root certificate authority as Fabric's tools make them: ECDSA P-256, SKI over the public point."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fabric_fl.fabric import signing
from fabric_fl.fabric.identity import ATTRIBUTES_OID
from fabric_fl.fabric.mspdir import write_private

# As Fabric CA does: clocks of other machines may lag by some minutes.
BACKDATE = datetime.timedelta(minutes=5)
AUTHORITY_LIFETIME = datetime.timedelta(days=15 * 365)
LIFETIME = datetime.timedelta(days=10 * 365)


@dataclass(frozen=True)
class CertificateAuthority:
    """A root certificate with its key, which appears in no repr."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @classmethod
    def create(cls, common_name: str, organization: str) -> CertificateAuthority:
        """Makes a new key and its self-signed certificate, valid for 15 years."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        name = subject_name(common_name, (), organization)
        builder = (
            _builder(key.public_key(), name, name, now - 2 * BACKDATE, now + AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(_key_identifier(key.public_key()), critical=False)
        )
        return cls(_sign(builder, key), key)

    @classmethod
    def load(cls, folder: Path) -> CertificateAuthority:
        """Reads what `save` wrote."""
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError(f"{folder}: the key is not the certificate's")
        return cls(certificate, key)

    def save(self, folder: Path) -> None:
        """Writes ``cert.pem`` and ``key.pem``, the key readable by its owner alone."""
        write_private(folder / "key.pem", private_key_pem(self.private_key))
        (folder / "cert.pem").write_bytes(self.certificate_pem)

    @property
    def certificate_pem(self) -> bytes:
        return certificate_pem(self.certificate)

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        *,
        attributes: Mapping[str, str] | None = None,
        hosts: Iterable[str] = (),
        tls: bool = False,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> x509.Certificate:
        """Signs an end entity's certificate.

        Args:
            public_key: The subject's.
            subject: Who it is; `subject_name` makes one.
            attributes: For Fabric CA's attribute extension, which is left out when None.
            hosts: Subject alternative names: IP addresses and DNS names.
            tls: For a TLS server or client rather than an MSP identity.
            not_before: Five minutes ago unless given; never before the authority's own start.
            not_after: In ten years unless given; never after the authority's own end.
        """
        now = datetime.datetime.now(datetime.UTC)
        start = max(not_before or now - BACKDATE, self.certificate.not_valid_before_utc)
        end = min(not_after or now + LIFETIME, self.certificate.not_valid_after_utc)
        authority_key = x509.AuthorityKeyIdentifier(_key_identifier(self.private_key.public_key()).digest, None, None)
        builder = (
            _builder(public_key, subject, self.certificate.subject, start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True, key_encipherment=tls, key_agreement=tls), critical=True)
            .add_extension(_key_identifier(public_key), critical=False)
            .add_extension(authority_key, critical=False)
        )
        if tls:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        names = [_general_name(host) for host in hosts]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if attributes is not None:
            value = json.dumps({"attrs": dict(attributes)}, separators=(",", ":"), sort_keys=True).encode()
            builder = builder.add_extension(x509.UnrecognizedExtension(ATTRIBUTES_OID, value), critical=False)
        return _sign(builder, self.private_key)

    def sign_crl(
        self,
        revoked: Iterable[tuple[int, datetime.datetime]],
        lifetime: datetime.timedelta = datetime.timedelta(days=1),
    ) -> x509.CertificateRevocationList:
        """Signs a list of revoked (serial number, time of revocation)."""
        now = datetime.datetime.now(datetime.UTC)
        authority_key = x509.AuthorityKeyIdentifier(_key_identifier(self.private_key.public_key()).digest, None, None)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now)
            .next_update(now + lifetime)
            .add_extension(authority_key, critical=False)
        )
        for serial, moment in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.private_key, hashes.SHA256())


def subject_name(common_name: str, units: Sequence[str], organization: str | None = None) -> x509.Name:
    """Returns a subject: organisation where given, then the organisational units, then the common name."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    attributes += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns PKCS#8, the one form that all of Fabric's programs read."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    public_key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    start: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # Fabric's MSP rewrites a certificate with high S before it serialises it, and so sends other creator bytes
    # than the file's. Half of all signatures are low: sign until one is.
    while True:
        certificate = builder.sign(key, hashes.SHA256())
        if signing.is_low_s(certificate.signature):
            return certificate


def _key_identifier(public_key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    point = public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return x509.SubjectKeyIdentifier(hashlib.sha256(point).digest())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
