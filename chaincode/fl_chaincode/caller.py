"""Who calls: an organisation (its MSP id), and what its certificate allows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

ROLES = ("admin", "auditor", "coordinator", "trainer", "validator")
NODE_OUS = ("client", "peer", "admin", "orderer")
ROLES_ATTRIBUTE = "fl.roles"
_ATTRIBUTES_OID = "1.2.3.4.5.6.7.8.1"  # where Fabric CA puts attributes: JSON {"attrs": {name: text}}


@dataclass(frozen=True)
class Caller:
    """The identity behind a call. Keys are no part of it: certificates may be renewed at any time."""

    msp_id: str
    common_name: str = ""
    role: str = "client"  # Fabric's node OU: client | peer | admin | orderer, or "" for none
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles in the attribute fl.roles, sorted; unknown words there mean nothing."""
        words = [word.strip() for word in self.attributes.get(ROLES_ATTRIBUTE, "").split(",")]
        return tuple(role for role in ROLES if role in words)

    @classmethod
    def from_creator(cls, creator: bytes) -> Self:
        """Read a serialised identity, as a proposal carries it.

        Raises:
            ValueError: if it is no X.509 identity.
        """
        from fabric_protos.msp import identities_pb2
        from google.protobuf.message import DecodeError

        try:
            identity = identities_pb2.SerializedIdentity.FromString(creator)
        except DecodeError as error:
            raise ValueError("the creator is no serialised identity") from error
        return cls.from_certificate(identity.mspid, identity.id_bytes)

    @classmethod
    def from_certificate(cls, msp_id: str, pem: bytes) -> Self:
        """Read a certificate in PEM.

        Raises:
            ValueError: if it is none, or its attributes are malformed.
        """
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        try:
            certificate = x509.load_pem_x509_certificate(pem)
            extensions = list(certificate.extensions)
        except (ValueError, x509.DuplicateExtension) as error:
            raise ValueError("the creator is no X.509 certificate in PEM") from error
        units = [
            str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        ]
        names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        attributes: dict[str, str] = {}
        for extension in extensions:
            if extension.oid.dotted_string == _ATTRIBUTES_OID:
                attributes = _attributes(extension.value.public_bytes())
        return cls(
            msp_id=msp_id,
            common_name=names[0] if names else "",
            role=next((unit for unit in units if unit in NODE_OUS), ""),
            attributes=attributes,
        )


def _attributes(data: bytes) -> dict[str, str]:
    try:
        value = json.loads(data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ones
        raise ValueError("the certificate's attributes are malformed") from error
    attributes = value.get("attrs", {}) if isinstance(value, dict) else None
    if not isinstance(attributes, dict) or not all(isinstance(text, str) for text in attributes.values()):
        raise ValueError("the certificate's attributes are malformed")
    return attributes
