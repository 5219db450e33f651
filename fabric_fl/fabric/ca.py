"""A client of Fabric CA, over fabric-sdk-py's ``hfc.fabric_ca`` (the extra ``[ca]``).

What that library (1.0.0) gets wrong is corrected here: it authenticates in a way that Fabric CA 1.4 gave up, sends
no CA name with some requests, never gives up waiting, and reports failures as text.
"""

from __future__ import annotations

import base64
import datetime
import importlib
import ipaddress
import logging
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fabric_fl.errors import FabricFLError
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.profile import Authority

__all__ = ["CAClient", "CAError", "CAMissing", "CAUnavailable", "Revocation"]


class CAError(FabricFLError):
    """The CA refused.

    Attributes:
        number: Fabric CA's own error code.
    """

    code = "FL-CA-REFUSED"
    remedy = "The CA's log says more than it tells its clients."

    def __init__(self, message: str, *, number: int = 0) -> None:
        code, remedy = _REFUSALS.get(number, (None, None))
        super().__init__(message, code=code, remedy=remedy)
        self.number = number


class CAUnavailable(FabricFLError):  # noqa: N818 -- the CA's state, in its own words
    """The CA does not answer, or something else answers in its place."""

    code = "FL-CA-UNAVAILABLE"
    remedy = "See that the CA runs, and that the profile's url and tlsCACerts are its own."


class CAMissing(FabricFLError):  # noqa: N818 -- what is the matter
    """The library that speaks to Fabric CA is not installed."""

    code = "FL-CA-EXTRA"
    remedy = "Install it: uv pip install 'fabric-fl[ca]' --overrides overrides.txt"


_REFUSALS: dict[int, tuple[str | None, str | None]] = {
    20: ("FL-CA-AUTHENTICATION", "Check enrolment id and secret, or whether the certificate is expired or revoked."),
    71: ("FL-CA-AUTHORIZATION", "Ask a registrar with the role, affiliation and attributes that this takes."),
    73: ("FL-CA-LOCKED", "Too many wrong secrets: a registrar must set a new one."),
    74: ("FL-CA-REGISTERED", "The identity exists already: enrol it, or choose another id."),
}


@dataclass(frozen=True)
class Revocation:
    """What was revoked.

    Attributes:
        certificates: Serial number and authority key identifier of each, in hex.
        crl: The revocation list in PEM, where it was asked for. On Fabric it takes effect once it is in the
            channel's configuration.
    """

    certificates: tuple[tuple[str, str], ...]
    crl: bytes | None


class CAClient:
    """One Fabric CA.

    Args:
        authority: Where it is, as a connection profile describes it.
        msp_id: The MSP of the identities that it issues.
        timeout: Seconds to wait for a connection, and then for an answer.

    Raises:
        CAMissing: ``hfc`` is not installed.
    """

    def __init__(self, authority: Authority, msp_id: str, *, timeout: float = 10.0) -> None:
        try:
            hfc = importlib.import_module("hfc.fabric_ca.caservice")
            transport = importlib.import_module("fabric_fl.fabric.catransport")
        except ModuleNotFoundError as error:
            raise CAMissing(f"fabric-sdk-py is not installed (no module {error.name!r})") from error
        # It logs whole answers at DEBUG, and with them the secrets of registered identities.
        logging.getLogger("hfc").setLevel(logging.WARNING)
        verify = _certificates_file(self, authority.tls_ca_certs) if authority.tls_ca_certs else None
        crypto = hfc.ecies()
        crypto.curve = ec.SECP256R1()  # the library keeps the class, which cryptography refuses
        self._service = hfc.CAService(authority.url, verify, crypto, authority.ca_name)
        self._service._ca_client = transport.Transport(
            authority.url, verify, ca_name=authority.ca_name, timeout=timeout
        )
        self._enrollment = hfc.Enrollment
        self.msp_id = msp_id

    def ca_certificates(self) -> bytes:
        """Returns the CA's certificate chain in PEM.

        Raises:
            CAUnavailable: It does not answer.
        """
        return base64.b64decode(self._service._ca_client.call("GET", "cainfo")["CAChain"])

    def enroll(
        self,
        enrollment_id: str,
        secret: str,
        *,
        attributes: Iterable[str] | None = None,
        profile: str = "",
        hosts: Iterable[str] = (),
    ) -> SigningIdentity:
        """Makes a key and gets a certificate for it.

        Args:
            enrollment_id: Who was registered.
            secret: What the registrar was told.
            attributes: Which attributes the certificate shall carry; None for those registered for it.
            profile: ``tls`` for a TLS certificate.
            hosts: DNS names and IP addresses that the certificate shall carry.

        Raises:
            CAError: The CA refused.
            CAUnavailable: It does not answer.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, enrollment_id)])
        )
        names = [_alternative_name(host) for host in hosts]
        if names:
            csr = csr.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = csr.sign(key, hashes.SHA256())
        enrolled = self._service.enroll(enrollment_id, secret, signed, profile, _requests(attributes))
        return SigningIdentity(Identity(self.msp_id, enrolled.cert), key)

    def reenroll(self, identity: SigningIdentity, *, attributes: Iterable[str] | None = None) -> SigningIdentity:
        """Gets a new certificate for a new key, while the present certificate is valid.

        Raises:
            CAError: The CA refused.
            CAUnavailable: It does not answer.
        """
        enrolled = self._service.reenroll(self._credentials(identity), _requests(attributes))
        return SigningIdentity(Identity(self.msp_id, enrolled.cert), enrolled.private_key)

    def register(
        self,
        registrar: SigningIdentity,
        enrollment_id: str,
        *,
        secret: str | None = None,
        role: str = "client",
        affiliation: str = "",
        attributes: Mapping[str, str] | None = None,
        max_enrollments: int = -1,
    ) -> str:
        """Registers an identity and returns the secret with which it enrols.

        Args:
            registrar: Who registers it.
            enrollment_id: Its name, the common name of its certificates.
            secret: Its secret; None lets the CA choose one.
            role: client, peer, admin or orderer.
            affiliation: Dotted path; empty for the registrar's own.
            attributes: Go into its certificates, such as ``{"fl.roles": "trainer,validator"}``.
            max_enrollments: How often the secret works; -1 for always.

        Raises:
            CAError: The CA refused.
            CAUnavailable: It does not answer.
        """
        given = [{"name": name, "value": value, "ecert": True} for name, value in (attributes or {}).items()]
        answer: str = self._service.register(
            enrollment_id, secret, role, affiliation, max_enrollments, given, self._credentials(registrar)
        )
        return answer

    def revoke(
        self,
        registrar: SigningIdentity,
        enrollment_id: str | None = None,
        *,
        certificate: x509.Certificate | None = None,
        reason: str = "unspecified",
        crl: bool = False,
    ) -> Revocation:
        """Revokes an identity with all of its certificates, or one certificate alone.

        Raises:
            CAError: The CA refused.
            CAUnavailable: It does not answer.
        """
        serial = aki = None
        if certificate is not None:
            serial = f"{certificate.serial_number:x}"
            extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
            aki = (extension.value.key_identifier or b"").hex()
        revoked, encoded = self._service.revoke(
            enrollment_id or "", aki or "", serial or "", reason, crl, self._credentials(registrar)
        )
        pairs = tuple((each["Serial"], each["AKI"]) for each in revoked or ())
        return Revocation(pairs, base64.b64decode(encoded) if encoded else None)

    def generate_crl(
        self,
        registrar: SigningIdentity,
        *,
        revoked_after: datetime.datetime | None = None,
        revoked_before: datetime.datetime | None = None,
    ) -> bytes:
        """Returns the revocation list in PEM; limits need a time zone.

        Raises:
            ValueError: A limit has no time zone.
            CAError: The CA refused.
            CAUnavailable: It does not answer.
        """
        limits = []
        for limit in (revoked_before, revoked_after):
            if limit is not None and limit.tzinfo is None:
                raise ValueError(f"{limit} has no time zone")
            limits.append(limit.isoformat() if limit else None)
        crl = self._service.generateCRL(*limits, None, None, self._credentials(registrar))
        return base64.b64decode(crl)

    def _credentials(self, identity: SigningIdentity) -> Any:
        return self._enrollment(identity.private_key, identity.identity.certificate_pem, service=self._service)


class _AttributeRequest(dict[str, str]):
    """Both forms that the library asks for: a dictionary when enrolling, an object when enrolling again."""

    @property
    def name(self) -> str:
        return self["name"]


def _requests(attributes: Iterable[str] | None) -> list[_AttributeRequest] | None:
    return None if attributes is None else [_AttributeRequest(name=name) for name in attributes]


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificates_file(owner: object, pem: bytes) -> str:
    """Writes the roots where ``requests`` can read them: a file that lives as long as ``owner``."""
    with tempfile.NamedTemporaryFile(prefix="fabric-fl-ca-", suffix=".pem", delete=False) as file:
        file.write(pem)
    weakref.finalize(owner, Path(file.name).unlink, missing_ok=True)
    return file.name
