"""The token that authenticates a caller: its certificate, and its signature over the request."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fabric_fl.fabric import signing
from fabric_fl.fabric.identity import CERTIFICATE_ERRORS


class InvalidToken(ValueError):  # noqa: N818 -- what it is
    """A token that proves nothing."""


def verify_token(token: str, method: str, uri: str, body: bytes) -> x509.Certificate:
    """Returns the certificate whose key signed the request; does not judge the certificate.

    Older clients sign the body alone; Fabric CA accepts that too by default.

    Raises:
        InvalidToken: The token is malformed, or its signature is not over this request.
    """
    encoded, _, signature64 = token.partition(".")
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(encoded, validate=True))
        signature = base64.b64decode(signature64, validate=True)
        key = certificate.public_key()
        _ = certificate.subject, certificate.issuer, certificate.extensions  # parsed lazily otherwise
    except CERTIFICATE_ERRORS as error:
        raise InvalidToken(f"malformed token: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidToken("the token's certificate has no ECDSA key")
    body64 = base64.b64encode(body).decode()
    current = f"{method}.{base64.b64encode(uri.encode()).decode()}.{body64}.{encoded}"
    former = f"{body64}.{encoded}"
    if not any(signing.verify(key, message.encode(), signature) for message in (current, former)):
        raise InvalidToken("Token signature validation failed")
    return certificate
