"""What goes wrong with blob stores.

FabricFLError
└── BlobStoreError
    ├── BlobMissingError        a store does not have it
    ├── BlobCorruptError        a store has something else under this digest
    ├── BlobUnreachableError    a store does not answer
    ├── BlobUnavailableError    none of several stores could give it
    └── StoreFullError          no room in the own store
"""

from __future__ import annotations

from collections.abc import Mapping

from fabric_fl.errors import FabricFLError


class BlobStoreError(FabricFLError):
    """A store that cannot do what it was asked."""

    code = "FL-STORE-FAILED"
    remedy = "See that the store's directory or URL is right and that this process may write to it; nothing is lost."


class BlobMissingError(BlobStoreError):
    """The store does not have this blob."""

    code = "FL-BLOB-MISSING"
    remedy = "It may not be published yet, or its horizon has passed; ask the organisation that made it."


class BlobCorruptError(BlobStoreError):
    """What lies under this digest is not the blob: it has other bytes, another size, or is no plain file."""

    code = "FL-BLOB-CORRUPT"
    remedy = "The store's owner removes the file; it is then fetched again or published again."


class BlobUnreachableError(BlobStoreError):
    """The store does not answer, so nobody knows whether it has the blob."""

    code = "FL-BLOB-UNREACHABLE"
    remedy = "See that the store is mounted or online and that its credentials are valid, then try again."


class BlobUnavailableError(BlobStoreError):
    """No store that was tried could give the blob.

    Attributes:
        reasons: The code of what went wrong, by store: an MSP id, or `own`.
    """

    code = "FL-BLOB-UNAVAILABLE"
    remedy = "See that the stores of these organisations are configured, online and readable from here."

    def __init__(self, digest: str, reasons: Mapping[str, str]) -> None:
        tried = ", ".join(f"{store}: {code}" for store, code in reasons.items())
        super().__init__(f"nobody could give the blob {digest} ({tried})")
        self.reasons = dict(reasons)


class StoreFullError(BlobStoreError):
    """There is no room left in the store. Nothing was published and nothing was lost."""

    code = "FL-STORE-FULL"
    remedy = "Free space where the store lies, or raise its quota; then run again, it goes on where it stopped."
