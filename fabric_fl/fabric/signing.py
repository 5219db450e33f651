"""ECDSA signatures as Fabric writes and accepts them: SHA-256, DER, low S.

Fabric refuses the larger of the two values of S that verify (``bccsp/sw``), because otherwise anybody could
turn one valid signature into another one.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

_GROUP_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}
_SHA256 = ec.ECDSA(hashes.SHA256())
_SHA256_PREHASHED = ec.ECDSA(Prehashed(hashes.SHA256()))


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Signs the SHA-256 of ``message``; returns DER with low S."""
    return to_low_s(key.sign(message, _SHA256), key.curve)


def sign_digest(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """Signs a SHA-256 digest (32 bytes) that somebody else computed; returns DER with low S."""
    return to_low_s(key.sign(digest, _SHA256_PREHASHED), key.curve)


def verify(public_key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    """Tells whether ``signature`` is a low-S signature over ``message``."""
    try:
        if not is_low_s(signature, public_key.curve):
            return False
        public_key.verify(signature, message, _SHA256)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_low_s(signature: bytes, curve: ec.EllipticCurve | None = None) -> bool:
    """Tells whether S is at most half the group order (of P-256 unless ``curve`` says otherwise).

    Raises:
        ValueError: The signature is not DER, or the curve is not one that Fabric's certificates use.
    """
    _, s = decode_dss_signature(signature)
    return s <= _group_order(curve) // 2


def to_low_s(signature: bytes, curve: ec.EllipticCurve | None = None) -> bytes:
    """Returns the signature of the same message whose S is low.

    Raises:
        ValueError: The signature is not DER, or the curve is not one that Fabric's certificates use.
    """
    r, s = decode_dss_signature(signature)
    order = _group_order(curve)
    if s <= order // 2:
        return signature
    return encode_dss_signature(r, order - s)


def _group_order(curve: ec.EllipticCurve | None) -> int:
    name = "secp256r1" if curve is None else curve.name
    if name not in _GROUP_ORDERS:
        raise ValueError(f"curve {name} is not supported: use P-256 or P-384")
    return _GROUP_ORDERS[name]
