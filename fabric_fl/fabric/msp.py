"""Membership service providers: which certificates an organisation vouches for, and in which role.

The rules are those of Fabric's X.509 MSP with NodeOUs (``msp/mspimpl*.go``). Time plays no part: a certificate
that expired stays a valid signer of what it signed, and only a peer's and an orderer's entrances refuse it.
Otherwise a block's validity would depend on when somebody looks at it.
"""

from __future__ import annotations

import datetime
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from fabric_fl.fabric.identity import (
    ATTRIBUTES_OID,
    CERTIFICATE_ERRORS,
    NODE_OUS,
    Identity,
    InvalidIdentity,
    SigningIdentity,
)
from fabric_fl.fabric.mspdir import write_msp_dir

__all__ = [
    "ATTRIBUTES_OID",
    "MSP",
    "NODE_OUS",
    "Identity",
    "InvalidIdentity",
    "MSPManager",
    "SigningIdentity",
    "write_msp_dir",
]

_CACHED_IDENTITIES = 1000
_MAX_CHAIN = 10
_UNDERSTOOD_CRITICAL = {
    ExtensionOID.KEY_USAGE,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
}


class MSP:
    """An organisation's membership service provider.

    Args:
        msp_id: Such as ``Org1MSP``.
        root_certs: The root CAs whose certificates are members.
        tls_root_certs: The roots of its servers' TLS certificates; no part in membership.
        intermediate_certs: CAs between the roots and the members.
        crls: Revocation lists; one counts only for the CA that signed it.
    """

    def __init__(
        self,
        msp_id: str,
        root_certs: Sequence[x509.Certificate],
        tls_root_certs: Sequence[x509.Certificate] = (),
        intermediate_certs: Sequence[x509.Certificate] = (),
        crls: Sequence[x509.CertificateRevocationList] = (),
    ) -> None:
        if not root_certs:
            raise ValueError(f"MSP {msp_id} needs at least one root certificate")
        for certificate in (*root_certs, *intermediate_certs, *tls_root_certs):
            if not _is_ca(certificate):
                raise ValueError(f"MSP {msp_id}: {certificate.subject.rfc4514_string()} is not a CA certificate")
        self.msp_id = msp_id
        self.root_certs = tuple(root_certs)
        self.tls_root_certs = tuple(tls_root_certs)
        self.intermediate_certs = tuple(intermediate_certs)
        self._revoked: frozenset[tuple[bytes, int]] = frozenset()
        self._cached_chain = lru_cache(_CACHED_IDENTITIES)(self._build_chain)
        self.update_crls(crls)

    def __repr__(self) -> str:
        return f"MSP({self.msp_id!r})"

    def update_crls(self, crls: Iterable[x509.CertificateRevocationList]) -> None:
        """Replaces the revocation lists, with effect on the next `validate`."""
        authorities = (*self.root_certs, *self.intermediate_certs)
        revoked: set[tuple[bytes, int]] = set()
        for crl in crls:
            for authority in authorities:
                if crl.issuer == authority.subject and crl.is_signature_valid(_ec_key(authority)):
                    revoked.update((authority.tbs_certificate_bytes, entry.serial_number) for entry in crl)
        self._revoked = frozenset(revoked)

    def validate(self, identity: Identity) -> None:
        """Checks chain, revocation and NodeOU, at whatever time.

        Raises:
            InvalidIdentity: The organisation does not vouch for it.
        """
        if identity.msp_id != self.msp_id:
            raise InvalidIdentity(f"expected MSP ID {self.msp_id}, received {identity.msp_id}")
        _ = identity.public_key
        chain = self.chain(identity)
        if self._revoked and (chain[1].tbs_certificate_bytes, chain[0].serial_number) in self._revoked:
            raise InvalidIdentity("The certificate has been revoked")
        if identity.role is None:
            raise InvalidIdentity(
                "the identity must have a client, a peer, an orderer, or an admin OU role to be valid, "
                f"exactly one of them. OUs: {list(identity.organizational_units)}, MSP: [{self.msp_id}]"
            )

    def chain(self, identity: Identity) -> tuple[x509.Certificate, ...]:
        """Returns the certificates from the identity's to the root's, revoked or not.

        Raises:
            InvalidIdentity: There is no such chain.
        """
        return self._cached_chain(identity)

    def _build_chain(self, identity: Identity) -> tuple[x509.Certificate, ...]:
        certificate = identity.certificate
        try:
            if _is_ca(certificate):
                raise InvalidIdentity("a CA's certificate cannot be used as an identity")
            _check_leaf(certificate)
        except ValueError as error:
            raise InvalidIdentity(f"the supplied identity is not valid: {error}") from error
        # One second after its start, so that expiry plays no part: Fabric's validator does the same.
        moment = certificate.not_valid_before_utc + datetime.timedelta(seconds=1)
        chain = [certificate]
        while len(chain) < _MAX_CHAIN:
            for root in self.root_certs:
                if _issued(chain[-1], root, moment):
                    return (*chain, root)
            for intermediate in self.intermediate_certs:
                if intermediate not in chain and _issued(chain[-1], intermediate, moment):
                    chain.append(intermediate)
                    break
            else:
                break
        raise InvalidIdentity("the supplied identity is not valid: certificate signed by unknown authority")

    def certifiers_identifier(self, identity: Identity) -> bytes:
        """Returns SHA-256 over the chain above the identity, by which an OU principal names its certifiers."""
        authorities = self.chain(identity)[1:]
        return hashlib.sha256(b"".join(each.public_bytes(Encoding.DER) for each in authorities)).digest()

    def satisfies(self, identity: Identity, role: str) -> bool:
        """Tells whether a valid identity has the role: member, or one of the NodeOUs."""
        try:
            self.validate(identity)
        except InvalidIdentity:
            return False
        return role in ("member", identity.role)


class MSPManager:
    """The MSPs of a channel, by MSP id; turns creator and endorser bytes into identities."""

    def __init__(self, msps: Mapping[str, MSP]) -> None:
        self.msps = dict(msps)
        self._cache: OrderedDict[bytes, Identity] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, msp_id: str) -> MSP:
        """Returns the organisation's MSP.

        Raises:
            InvalidIdentity: The channel has none of that id.
        """
        try:
            return self.msps[msp_id]
        except KeyError:
            raise InvalidIdentity(f"MSP {msp_id} is not defined on channel") from None

    def deserialize(self, data: bytes) -> Identity:
        """Returns the identity, validated by its MSP; parsed once for equal bytes.

        Raises:
            InvalidIdentity: It is malformed, or no MSP of the channel vouches for it (any more).
        """
        with self._lock:
            identity = self._cache.get(data)
        if identity is None:
            identity = Identity.deserialize(data)
        self[identity.msp_id].validate(identity)
        with self._lock:
            identity = self._cache.setdefault(data, identity)
            self._cache.move_to_end(data)
            if len(self._cache) > _CACHED_IDENTITIES:
                self._cache.popitem(last=False)
        return identity

    def satisfies(self, identity: Identity, msp_id: str, role: str) -> bool:
        """Tells whether the identity is the organisation's and has the role there."""
        return identity.msp_id == msp_id and msp_id in self.msps and self.msps[msp_id].satisfies(identity, role)


def _ec_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(f"{certificate.subject.rfc4514_string()}: the CA's key is not ECDSA")  # noqa: TRY004
    return key


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _check_leaf(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD_CRITICAL:
            raise ValueError(f"unhandled critical extension {extension.oid.dotted_string}")
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            # Go's verifier, asked for nothing particular, wants serverAuth where usages are listed.
            usages = set(extension.value)
            if not usages & {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}:
                raise ValueError("certificate specifies an incompatible key usage")


def _issued(certificate: x509.Certificate, authority: x509.Certificate, moment: datetime.datetime) -> bool:
    if not authority.not_valid_before_utc <= moment <= authority.not_valid_after_utc:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (*CERTIFICATE_ERRORS, InvalidSignature):
        return False
    return True
