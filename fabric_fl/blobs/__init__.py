"""Blob stores: content-addressed, verified, one of its own for each organisation."""

from fabric_fl.blobs.errors import (
    BlobCorruptError,
    BlobMissingError,
    BlobStoreError,
    BlobUnavailableError,
    BlobUnreachableError,
    StoreFullError,
)
from fabric_fl.blobs.reader import BlobReader
from fabric_fl.blobs.store import BlobStore, StoredBlob

__all__ = [
    "BlobCorruptError",
    "BlobMissingError",
    "BlobReader",
    "BlobStore",
    "BlobStoreError",
    "BlobUnavailableError",
    "BlobUnreachableError",
    "StoreFullError",
    "StoredBlob",
]
