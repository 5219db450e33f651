"""One organisation's Fabric CA: its keys, its registry, and who may come in."""

from __future__ import annotations

import base64
import binascii
import datetime
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fabric_fl.devnet.ca import attributes
from fabric_fl.devnet.ca.authority import CertificateAuthority
from fabric_fl.devnet.ca.errors import (
    CA_NOT_FOUND,
    NO_AUTHORIZATION,
    PASSWORD_ATTEMPTS,
    RequestRefused,
    not_authenticated,
)
from fabric_fl.devnet.ca.registry import REVOKED, Issued, Registered, Registry, authority_key_hex, serial_hex
from fabric_fl.devnet.ca.request import Request
from fabric_fl.devnet.ca.token import InvalidToken, verify_token
from fabric_fl.fabric.identity import CERTIFICATE_ERRORS, Identity

VERSION = "1.5.21"
"""Whose REST API this is: clients show it."""

_MAX_FAILURES = 10
_AFFILIATIONS = ("org1", "org1.department1", "org1.department2", "org2", "org2.department1")


@dataclass(frozen=True)
class Caller:
    """Who proved what: an identity, and (with a token) the certificate it used."""

    identity: Registered
    certificate: x509.Certificate | None = None


RevocationListener = Callable[[x509.CertificateRevocationList], None]


class FabricCA:
    """A certificate authority with Fabric CA's rules; `create_app` puts its REST API in front.

    Args:
        name: The CA's name, by which requests may address it.
        authority: Signs members' certificates and revocation lists.
        tls_authority: Signs certificates of the profile ``tls``.
        registry: Where it remembers.
    """

    def __init__(
        self, name: str, authority: CertificateAuthority, tls_authority: CertificateAuthority, registry: Registry
    ) -> None:
        self.name = name
        self.authority = authority
        self.tls_authority = tls_authority
        self.registry = registry
        self._listeners: list[RevocationListener] = []
        # A revocation list that was made earlier must not be announced later.
        self._announcing = threading.Lock()
        if not registry.affiliations():
            registry.add_affiliations(_AFFILIATIONS)

    def add_registrar(self, identity: str, secret: str) -> None:
        """Registers the first registrar, who may do everything; leaves one that is already there as it is."""
        if self.registry.identity(identity) is None:
            given = attributes.standard_attributes(identity, "client", "") + attributes.registrar_attributes()
            self.registry.put_identity(Registered(identity, "client", "", given, max_enrollments=-1), secret)

    def adopt(self, identity: Identity) -> None:
        """Makes known an identity whose certificate this authority issued by other means.

        It has no secret: it can re-enrol with its certificate, and be revoked.
        """
        given = tuple(
            attributes.Attribute(name, value, ecert=True) for name, value in sorted(identity.attributes.items())
        )
        with self.registry.transaction():
            if self.registry.identity(identity.common_name) is None:
                known = Registered(identity.common_name, identity.role or "client", "", given, max_enrollments=-1)
                self.registry.put_identity(known)
            self.registry.add_certificate(identity.common_name, identity.certificate)

    def on_revocation(self, listener: RevocationListener) -> None:
        """Calls ``listener`` with the whole revocation list: now, and from any thread after each revocation."""
        with self._announcing:
            self._listeners.append(listener)
            listener(self.crl())

    def announce_revocations(self) -> None:
        with self._announcing:
            crl = self.crl()
            for listener in self._listeners:
                listener(crl)

    def crl(self, chosen: Iterable[Issued] | None = None) -> x509.CertificateRevocationList:
        """Signs the list of all revoked member certificates, or of the chosen ones."""
        ours = authority_key_hex_of(self.authority)
        if chosen is None:
            chosen = self.registry.certificates([("revoked > ?", 0)])
        return self.authority.sign_crl(
            (int(each.serial, 16), datetime.datetime.fromtimestamp(each.revoked or 0, datetime.UTC))
            for each in chosen
            if each.aki == ours
        )

    def info(self, authority: CertificateAuthority | None = None) -> dict[str, str]:
        """Returns what ``cainfo`` answers; Idemix, which this CA does not offer, has empty keys."""
        chain = (authority or self.authority).certificate_pem
        return {
            "CAName": self.name,
            "CAChain": base64.b64encode(chain).decode(),
            "IssuerPublicKey": "",
            "IssuerRevocationPublicKey": "",
            "Version": VERSION,
        }

    def check_name(self, request: Request) -> None:
        """Refuses a request that is addressed to another CA."""
        name = request.query.get("ca") or request.text("caname") or self.name
        if name != self.name:
            raise RequestRefused(404, CA_NOT_FOUND, f"CA '{name}' does not exist")

    def authenticate_secret(self, request: Request) -> Caller:
        """Checks enrolment id and secret; counts wrong ones, and refuses everybody after ten."""
        self._require_authorization(request)
        id_, secret = _basic(request.authorization)
        self._unlocked(id_)
        matches = self.registry.secret_matches(id_, secret)  # slow on purpose, so outside of the transaction
        with self.registry.transaction():
            identity = self._unlocked(id_)
            failures = 0 if matches else identity.failures + 1
            if failures != identity.failures:
                identity = replace(identity, failures=failures)
                self.registry.put_identity(identity)
        if not matches:
            raise not_authenticated(f"wrong secret for {id_!r}")
        _check_enrollments(identity)
        return Caller(identity)

    def count_enrollment(self, identity: Registered) -> None:
        """Uses up one of the identity's enrolments; the secret may have been used elsewhere meanwhile."""
        with self.registry.transaction():
            current = self.registry.identity(identity.id)
            if current is None:
                raise not_authenticated(f"{identity.id!r} is no longer registered")
            _check_enrollments(current)
            self.registry.put_identity(replace(current, state=current.state + 1))

    def authenticate_token(self, request: Request) -> Caller:
        """Checks a token: signature, certificate, expiry, revocation, registration."""
        self._require_authorization(request)
        try:
            certificate = verify_token(request.authorization, request.method, request.uri, request.body)
            certificate.verify_directly_issued_by(self.authority.certificate)
        except (InvalidToken, *CERTIFICATE_ERRORS, InvalidSignature) as error:
            raise not_authenticated(f"untrusted token or certificate: {error}") from error
        now = datetime.datetime.now(datetime.UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise not_authenticated("the certificate has expired")
        key = [("serial = ?", serial_hex(certificate.serial_number)), ("aki = ?", authority_key_hex(certificate))]
        issued = self.registry.certificates(key)
        if not issued or issued[0].revoked is not None:
            raise not_authenticated("the certificate was revoked, or is not of this CA")
        identity = self.registry.identity(issued[0].id)
        if identity is None or identity.state == REVOKED:
            raise not_authenticated(f"{issued[0].id!r} is not registered, or was revoked")
        return Caller(identity, certificate)

    def _unlocked(self, id_: str) -> Registered:
        identity = self.registry.identity(id_)
        if identity is None:
            raise not_authenticated(f"{id_!r} is not registered")
        if identity.failures >= _MAX_FAILURES:
            message = (
                f"Incorrect password entered {identity.failures} times, "
                f"max incorrect password limit of {_MAX_FAILURES} reached"
            )
            raise RequestRefused(401, PASSWORD_ATTEMPTS, message)
        return identity

    def _require_authorization(self, request: Request) -> None:
        if not request.authorization:
            raise RequestRefused(401, NO_AUTHORIZATION, "No authorization header")


def authority_key_hex_of(authority: CertificateAuthority) -> str:
    """Returns the key identifier that certificates of this authority name."""
    own = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return own.digest.hex().lstrip("0")


def _check_enrollments(identity: Registered) -> None:
    if identity.state == REVOKED:
        raise not_authenticated(f"{identity.id!r} is revoked")
    if identity.max_enrollments != -1 and identity.state >= identity.max_enrollments:
        raise not_authenticated(f"{identity.id!r} has used up its {identity.max_enrollments} enrolments")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        user, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise not_authenticated("malformed basic authorization") from error
    if scheme.lower() != "basic" or not separator:
        raise not_authenticated("no user and password in the authorization header")
    return user, password
