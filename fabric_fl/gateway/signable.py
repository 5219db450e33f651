"""What has to be signed before it may be sent: here, by a hook, or offline."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from fabric_fl.fabric import signing
from fabric_fl.fabric.identity import Identity
from fabric_fl.gateway.errors import NotSignedError

Sign = Callable[[bytes], bytes]
"""Takes a SHA-256 digest (32 bytes), returns an ECDSA signature in DER: where an HSM attaches."""


@dataclass(frozen=True)
class Signer:
    """In whose name the gateway acts, and who signs for it; without `sign`, everything is signed offline."""

    identity: Identity
    sign: Sign | None = field(repr=False)

    @property
    def creator(self) -> bytes:
        return self.identity.serialize()

    def sign_digest(self, digest: bytes) -> bytes:
        if self.sign is None:
            raise NotSignedError(f"there is no signature, and {self.identity.msp_id} has no `sign` function here")
        # HSMs know nothing of Fabric's rule that S be low, so it is applied to whatever signed.
        return signing.to_low_s(self.sign(digest), self.identity.public_key.curve)


class Signable(ABC):
    """A protocol step that carries its own signature.

    To sign elsewhere: take `get_bytes()` and `get_digest()`, have the digest signed, and hand bytes and signature
    to the gateway's matching `new_signed_…` method, in this process or another.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @abstractmethod
    def get_bytes(self) -> bytes:
        """Return the step as the official clients serialise it, so that another process can go on with it."""

    @abstractmethod
    def _message(self) -> bytes: ...

    @abstractmethod
    def _signature(self) -> bytes: ...

    @abstractmethod
    def _set_signature(self, signature: bytes) -> None: ...

    def get_digest(self) -> bytes:
        """Return the SHA-256 digest that has to be signed."""
        return hashlib.sha256(self._message()).digest()

    def with_signature(self, signature: bytes) -> Self:
        """Attach a signature that was made elsewhere and return the step itself."""
        self._set_signature(signature)
        return self

    def _sign(self) -> None:
        if not self._signature():
            self._set_signature(self._signer.sign_digest(self.get_digest()))
