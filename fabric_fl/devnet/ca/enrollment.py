"""Enrol and re-enrol: a certificate signing request becomes a certificate."""

from __future__ import annotations

import base64
import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fabric_fl.devnet.ca import attributes
from fabric_fl.devnet.ca.authority import certificate_pem
from fabric_fl.devnet.ca.errors import (
    ATTRIBUTE_EXTENSION,
    BAD_BODY,
    BAD_CSR,
    COMMON_NAME,
    INVALID_CSR_INPUT,
    RequestRefused,
    not_authorized,
)
from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.registry import Registered
from fabric_fl.devnet.ca.request import Request
from fabric_fl.fabric.identity import CERTIFICATE_ERRORS

LIFETIME = datetime.timedelta(days=365)
_COPIED = (
    NameOID.COUNTRY_NAME,
    NameOID.STATE_OR_PROVINCE_NAME,
    NameOID.LOCALITY_NAME,
    NameOID.ORGANIZATION_NAME,
)
_LONGEST = {NameOID.COUNTRY_NAME: 2, NameOID.STATE_OR_PROVINCE_NAME: 128, NameOID.LOCALITY_NAME: 128}
_CURVES = (ec.SECP256R1, ec.SECP384R1)


def enroll(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Issues a certificate to whoever knows the secret, as often as the registration allows."""
    ca.check_name(request)
    caller = ca.authenticate_secret(request)
    certificate = _sign(ca, request, caller.identity)
    with ca.registry.transaction():
        ca.count_enrollment(caller.identity)
        ca.registry.add_certificate(caller.identity.id, certificate)
    return _answer(ca, request, certificate)


def reenroll(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Issues another certificate to the holder of a valid one."""
    ca.check_name(request)
    caller = ca.authenticate_token(request)
    certificate = _sign(ca, request, caller.identity)
    ca.registry.add_certificate(caller.identity.id, certificate)
    return _answer(ca, request, certificate)


def _answer(ca: FabricCA, request: Request, certificate: x509.Certificate) -> dict[str, Any]:
    tls = request.text("profile") == "tls"
    return {
        "Cert": base64.b64encode(certificate_pem(certificate)).decode(),
        # Whose chain the client stores as the certificate's root.
        "ServerInfo": ca.info(ca.tls_authority if tls else ca.authority),
    }


def _sign(ca: FabricCA, request: Request, identity: Registered) -> x509.Certificate:
    request.require_body()
    profile = request.text("profile")
    if profile not in ("", "tls"):
        raise RequestRefused(400, BAD_CSR, f"Invalid profile: '{profile}'")
    csr = _read_csr(request)
    key = csr.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise RequestRefused(400, BAD_CSR, "the key must be ECDSA on P-256 or P-384")
    if _values(csr.subject, NameOID.COMMON_NAME) != [identity.id]:
        raise RequestRefused(403, COMMON_NAME, "The CSR subject common name must equal the enrollment ID")
    try:
        chosen = attributes.for_certificate(identity.attributes, _attribute_requests(request))
    except attributes.AttributeRefused as error:
        raise RequestRefused(500, ATTRIBUTE_EXTENSION, f"Failed to find requested attributes: {error}") from error
    try:
        return (ca.tls_authority if profile == "tls" else ca.authority).issue(
            key,
            _subject(csr.subject, identity),
            attributes=chosen,
            hosts=_hosts(request, csr),
            tls=profile == "tls",
            not_after=datetime.datetime.now(datetime.UTC) + LIFETIME,
        )
    except ValueError as error:
        raise RequestRefused(400, INVALID_CSR_INPUT, f"CSR input validation failed: {error}") from error


def _read_csr(request: Request) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_pem_x509_csr(request.text("certificate_request").encode())
        valid = csr.is_signature_valid
        constraints = [each.value for each in csr.extensions if isinstance(each.value, x509.BasicConstraints)]
        _ = csr.subject, csr.public_key()  # parsed lazily otherwise
    except CERTIFICATE_ERRORS as error:
        raise RequestRefused(400, BAD_CSR, f"CSR Decode failed: {error}") from error
    if not valid:
        raise RequestRefused(400, BAD_CSR, "the CSR is not signed by its own key")
    if any(constraint.ca for constraint in constraints):
        raise not_authorized("the CSR asks for a CA's certificate")
    return csr


def _attribute_requests(request: Request) -> list[tuple[str, bool]] | None:
    objects = request.objects("attr_reqs")
    if objects is None:
        return None
    requests = [(each.get("name"), each.get("optional", False)) for each in objects]
    if not all(isinstance(name, str) and isinstance(optional, bool) for name, optional in requests):
        raise RequestRefused(400, BAD_BODY, "Invalid request body: attr_reqs")
    return [(str(name), bool(optional)) for name, optional in requests]


def _subject(requested: x509.Name, identity: Registered) -> x509.Name:
    """Keeps country, state, locality and organisation; the units say type and affiliation, whatever was asked for."""
    kept = [name for oid in _COPIED for name in requested.get_attributes_for_oid(oid)]
    for name in kept:
        if isinstance(name.value, bytes) or len(name.value) > _LONGEST.get(name.oid, 64):
            raise ValueError(f"{name.oid.dotted_string} of the subject is longer than its field allows")
    units = [identity.type, *identity.affiliation.split(".")]
    kept += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units if unit]
    return x509.Name([*kept, x509.NameAttribute(NameOID.COMMON_NAME, identity.id)])


def _hosts(request: Request, csr: x509.CertificateSigningRequest) -> list[str]:
    hosts = request.texts("hosts")
    if hosts:
        return hosts
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _values(name: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]
