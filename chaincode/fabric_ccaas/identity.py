"""Who proposed a transaction."""

import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from cryptography import x509
from fabric_protos.msp import identities_pb2
from google.protobuf.message import DecodeError

from fabric_ccaas.errors import InvalidArgumentError

ATTRIBUTES_OID = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")  # where a Fabric CA puts them


@dataclass(frozen=True)
class ClientIdentity:
    """The creator of a proposal: an MSP and a certificate that the peer has already checked.

    Attributes:
        msp_id: The MSP that vouches for the certificate.
        certificate_pem: The certificate as the client sent it.
    """

    msp_id: str
    certificate_pem: bytes = field(repr=False)

    @classmethod
    def parse(cls, creator: bytes) -> "ClientIdentity":
        """Read a serialized identity, as `Stub.creator` holds it.

        Raises:
            InvalidArgumentError: The bytes are no serialized identity, or name no MSP.
        """
        try:
            message = identities_pb2.SerializedIdentity.FromString(creator)
        except DecodeError:
            raise InvalidArgumentError("the creator of the proposal is no serialized identity") from None
        if not message.mspid:
            raise InvalidArgumentError("the creator of the proposal names no MSP")
        return cls(message.mspid, message.id_bytes)

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The certificate.

        Raises:
            InvalidArgumentError: It is no X.509 certificate in PEM.
        """
        return _load(self.certificate_pem)

    @property
    def common_name(self) -> str:
        names = self.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @cached_property
    def attributes(self) -> dict[str, str]:
        """The attributes that a Fabric CA wrote into the certificate; none is no error.

        Raises:
            InvalidArgumentError: The extension is there and holds no attributes.
        """
        try:
            extension = self.certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID)
        except x509.ExtensionNotFound:
            return {}
        except ValueError:
            raise InvalidArgumentError("the extensions of the creator's certificate cannot be read") from None
        value = extension.value
        if not isinstance(value, x509.UnrecognizedExtension):
            raise InvalidArgumentError("the creator's certificate holds no Fabric CA attributes where they belong")
        return _parse_attributes(value.value)


@lru_cache(maxsize=256)
def _load(certificate_pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        raise InvalidArgumentError("the creator's certificate is no X.509 certificate in PEM") from None


def _parse_attributes(value: bytes) -> dict[str, str]:
    try:
        attributes = json.loads(value)["attrs"]
    except (ValueError, KeyError, TypeError):
        attributes = None
    if not isinstance(attributes, dict) or not all(isinstance(v, str) for v in attributes.values()):
        raise InvalidArgumentError("the Fabric CA attributes in the creator's certificate cannot be read")
    return attributes
