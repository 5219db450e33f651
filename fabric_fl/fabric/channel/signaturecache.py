"""Signatures that have been verified once.

A transaction's signature is checked when it is broadcast and again when its block is validated, an endorsement for
every namespace that it must satisfy: verification is the dearest step of both.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable

from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.fabric.msp import MSPManager

_CAPACITY = 10_000


class SignatureCache:
    """Remembers which (identity, message, signature) were good; a bad one is always verified anew.

    Args:
        msps: Turns bytes into identities and vouches for them, every time: a revocation takes effect at once.
    """

    def __init__(self, msps: MSPManager) -> None:
        self._msps = msps
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def deserialize(self, identity: bytes) -> Identity:
        """Returns the identity, vouched for by its MSP.

        Raises:
            InvalidIdentity: It is malformed, or nobody vouches for it.
        """
        return self._msps.deserialize(identity)

    def verify(self, identity: Identity, message: bytes, signature: bytes) -> bool:
        """Tells whether the identity signed the message."""
        serialized = identity.serialize()
        key = hashlib.sha256(
            b"".join(len(each).to_bytes(8, "big") + each for each in (serialized, signature, message))
        ).digest()
        with self._lock:
            if key in self._good:
                self._good.move_to_end(key)
                return True
        if not identity.verify(message, signature):
            return False
        with self._lock:
            self._good[key] = None
            if len(self._good) > _CAPACITY:
                self._good.popitem(last=False)
        return True

    def valid_identities(self, signed: Iterable[SignedData]) -> list[Identity]:
        """Returns whose signatures hold, each identity once; invalid ones are left out."""
        identities: dict[tuple[str, bytes], Identity] = {}
        for each in signed:
            try:
                identity = self.deserialize(each.identity)
            except InvalidIdentity:
                continue
            key = (identity.msp_id, identity.certificate.tbs_certificate_bytes)
            if key not in identities and self.verify(identity, each.data, each.signature):
                identities[key] = identity
        return list(identities.values())
