import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from fabric_fl.fabric import signing

# SEC 2, section 2.4.2 (P-256) and 2.5.1 (P-384)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER = int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16)
KEY = ec.derive_private_key(1234567, ec.SECP256R1())
KEY_384 = ec.derive_private_key(7654321, ec.SECP384R1())


@pytest.mark.parametrize("key", [KEY, KEY_384], ids=["P-256", "P-384"])
def test_every_signature_has_a_low_s_and_verifies(key):
    order = P256_ORDER if key is KEY else P384_ORDER
    for number in range(40):
        message = bytes([number])
        signature = signing.sign(key, message)
        assert decode_dss_signature(signature)[1] <= order // 2
        assert signing.verify(key.public_key(), message, signature)


def test_the_other_s_of_a_valid_signature_is_refused_though_openssl_takes_it():
    r, s = decode_dss_signature(signing.sign(KEY, b"message"))
    twin = encode_dss_signature(r, P256_ORDER - s)
    KEY.public_key().verify(twin, b"message", ec.ECDSA(hashes.SHA256()))
    assert not signing.verify(KEY.public_key(), b"message", twin)
    assert not signing.is_low_s(twin)
    assert signing.to_low_s(twin) == encode_dss_signature(r, s)


def test_half_the_order_is_still_low_and_one_more_is_not():
    half = P256_ORDER // 2
    assert signing.is_low_s(encode_dss_signature(1, half))
    assert not signing.is_low_s(encode_dss_signature(1, half + 1))


def test_a_signature_over_a_digest_verifies_over_the_message():
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"offline")
    assert signing.verify(KEY.public_key(), b"offline", signing.sign_digest(KEY, digest.finalize()))


@pytest.mark.parametrize("signature", [b"", b"0", b"\x30\x00", b"\xff" * 70, bytes(1000)])
def test_garbage_is_no_signature(signature):
    assert not signing.verify(KEY.public_key(), b"message", signature)


def test_another_message_or_key_does_not_verify():
    signature = signing.sign(KEY, b"message")
    other = ec.derive_private_key(99, ec.SECP256R1()).public_key()
    assert not signing.verify(KEY.public_key(), b"massage", signature)
    assert not signing.verify(other, b"message", signature)


def test_a_curve_that_fabric_does_not_use_is_refused():
    key = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(ValueError, match="secp256k1 is not supported"):
        signing.sign(key, b"message")
    assert not signing.verify(key.public_key(), b"message", key.sign(b"message", ec.ECDSA(hashes.SHA256())))
