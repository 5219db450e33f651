"""Who somebody is on a channel: an MSP id and an X.509 certificate, with or without its private key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID
from fabric_protos.msp import identities_pb2
from google.protobuf.message import DecodeError

from fabric_fl.fabric import signing

ATTRIBUTES_OID = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")
"""The extension in which Fabric CA puts attributes: raw JSON, not wrapped in DER."""

CERTIFICATE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,  # where warnings are errors
)
"""All that the parser raises on certificates that somebody made up; it has no common base for them."""

NODE_OUS = ("client", "peer", "admin", "orderer")

_REMEMBERED, _REMEMBERED_BYTES = 1024, 8192


class InvalidIdentity(ValueError):  # noqa: N818 -- Fabric's own words for it
    """An identity that cannot be read, or that its MSP does not accept."""


@dataclass(frozen=True)
class Identity:
    """An MSP id and a certificate, in the exact bytes that travel as creator and endorser."""

    msp_id: str
    certificate_pem: bytes = field(repr=False)

    @classmethod
    def deserialize(cls, data: bytes) -> Identity:
        """Reads a ``SerializedIdentity``; the certificate is parsed, but not judged.

        Raises:
            InvalidIdentity: The bytes are no identity, or hold no certificate.
        """
        return _remembered(data) if len(data) <= _REMEMBERED_BYTES else _deserialize(data)

    def serialize(self) -> bytes:
        return self._serialized

    @cached_property
    def _serialized(self) -> bytes:
        message = identities_pb2.SerializedIdentity(mspid=self.msp_id, id_bytes=self.certificate_pem)
        serialized: bytes = message.SerializeToString()
        return serialized

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The parsed certificate.

        Raises:
            InvalidIdentity: It is no certificate in PEM.
        """
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate_pem)
            # Parsed lazily otherwise, and then anything might be raised at any later place.
            _ = certificate.subject, certificate.issuer, certificate.extensions
            if certificate.serial_number < 0:
                raise ValueError("negative serial number")  # as Go's parser does
        except CERTIFICATE_ERRORS as error:
            raise InvalidIdentity(f"the identity of {self.msp_id!r} holds no certificate in PEM: {error}") from error
        return certificate

    @cached_property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The certificate's key.

        Raises:
            InvalidIdentity: It is not an elliptic curve's.
        """
        try:
            key = self.certificate.public_key()
        except CERTIFICATE_ERRORS as error:
            raise InvalidIdentity("the certificate holds a public key that cannot be read") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidIdentity("the certificate's public key is not ECDSA")
        return key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tells whether this identity signed ``message`` (high S counts as no)."""
        return signing.verify(self.public_key, message, signature)

    @property
    def common_name(self) -> str:
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @cached_property
    def organizational_units(self) -> tuple[str, ...]:
        names = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        return tuple(str(name.value) for name in names)

    @cached_property
    def role(self) -> str | None:
        """The identity's one NodeOU (client, peer, admin or orderer); None with none or several."""
        roles = [unit for unit in self.organizational_units if unit in NODE_OUS]
        return roles[0] if len(roles) == 1 else None

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Fabric CA's attributes; empty when the certificate has none.

        Raises:
            InvalidIdentity: The extension is there but malformed.
        """
        try:
            extension = self.certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID).value
            assert isinstance(extension, x509.UnrecognizedExtension)
            attributes = json.loads(extension.value)["attrs"]
        except x509.ExtensionNotFound:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidIdentity("the certificate's attribute extension is malformed") from error
        if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
            raise InvalidIdentity("the certificate's attribute extension is malformed")
        return attributes


def _deserialize(data: bytes) -> Identity:
    message = identities_pb2.SerializedIdentity()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InvalidIdentity("could not deserialize a SerializedIdentity") from error
    identity = Identity(message.mspid, message.id_bytes)
    _ = identity.certificate
    return identity


# A few identities sign nearly everything on a channel, each transaction several times over.
_remembered = lru_cache(_REMEMBERED)(_deserialize)


@dataclass(frozen=True)
class SigningIdentity:
    """An identity together with its private key, which appears in no repr."""

    identity: Identity
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_msp_dir(cls, path: str | Path, msp_id: str) -> SigningIdentity:
        """Reads ``signcerts`` and the key in ``keystore`` that belongs to it, as Fabric's programs do.

        Raises:
            InvalidIdentity: The directory lacks a certificate or its key.
        """
        directory = Path(path)
        certificates = sorted((directory / "signcerts").glob("*"))
        if not certificates:
            raise InvalidIdentity(f"{directory / 'signcerts'} holds no certificate")
        identity = Identity(msp_id, certificates[0].read_bytes())
        for key_file in sorted((directory / "keystore").glob("*")):
            try:
                key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            except (ValueError, TypeError):
                continue  # another program's file; a key that fits may follow
            if isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == identity.public_key:
                return cls(identity, key)
        raise InvalidIdentity(f"{directory / 'keystore'} holds no key for the certificate of {identity.common_name!r}")

    @classmethod
    def from_pem(
        cls, msp_id: str, certificate: str | Path, key: str | Path, password: bytes | None = None
    ) -> SigningIdentity:
        """Reads a certificate and its private key from files in PEM, wherever they lie.

        Args:
            msp_id: The organisation's.
            certificate: The certificate's file.
            key: The key's file, PKCS#8 or SEC 1.
            password: Of the key's file, where it is encrypted.

        Raises:
            InvalidIdentity: A file cannot be read, or the key is not the certificate's.
        """
        try:
            identity = Identity(msp_id, Path(certificate).read_bytes())
            private = serialization.load_pem_private_key(Path(key).read_bytes(), password)
        except (OSError, ValueError, TypeError) as error:
            # what the library says of a key's file tells nothing of the key
            raise InvalidIdentity(f"{certificate} and {key} are no identity: {error}") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != identity.public_key:
            raise InvalidIdentity(f"the key in {key} does not belong to the certificate in {certificate}")
        return cls(identity, private)

    @property
    def msp_id(self) -> str:
        return self.identity.msp_id

    def serialize(self) -> bytes:
        return self.identity.serialize()

    def sign(self, message: bytes) -> bytes:
        return signing.sign(self.private_key, message)

    def sign_digest(self, digest: bytes) -> bytes:
        return signing.sign_digest(self.private_key, digest)
