"""The canonical safetensors header: one set of bytes for one meaning.

A file is the header's length (8 bytes, little-endian), the header, and the tensors' bytes one after the other. The
header is JSON with sorted keys and no spaces, padded with spaces to a multiple of 8; every tensor has the same dtype,
offsets follow from the order of names, and `__metadata__` says what kind of blob it is. Any safetensors library reads
such a file. We write our own because libraries are free to order and pad as they like, and digests are not.

References:
    https://huggingface.co/docs/safetensors (format)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NoReturn

from fabric_fl.aggregation.errors import HEADER, BlobError

HEADER_LIMIT = 1 << 20
"""Bytes. Ten thousand tensors have room in it; reading one costs nobody's memory."""

MAX_RANK = 16
"""Axes of a tensor. Bounded before lengths are multiplied, which would be slow for a hostile thousand of them."""

ITEM_SIZE: dict[str, int] = {"F32": 4, "F64": 8, "I32": 4, "I64": 8}
_VALUE = re.compile(r"[ !#-\[\]-~]{0,256}")

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What a file says about itself: `entries` are names and shapes in the order of the data."""

    dtype: str
    entries: tuple[tuple[str, Shape], ...]
    metadata: Mapping[str, str]

    @property
    def data_size(self) -> int:
        return ITEM_SIZE[self.dtype] * sum(prod(shape) for _, shape in self.entries)

    @property
    def file_size(self) -> int:
        return len(self.encode()) + self.data_size

    def encode(self) -> bytes:
        """The length prefix and the header, padded."""
        before, after = _described(self.dtype, self.entries)
        metadata = f'"__metadata__":{_CANONICAL.encode(dict(self.metadata))}'
        text = f"{{{','.join(filter(None, (before, metadata, after)))}}}".encode()
        text += b" " * (-len(text) % 8)
        if len(text) > HEADER_LIMIT:
            raise BlobError(f"a header of {len(text)} bytes is over the limit of {HEADER_LIMIT}", code=HEADER)
        return len(text).to_bytes(8, "little") + text


@lru_cache(maxsize=16)  # every update of a task describes the same tensors
def _described(dtype: str, entries: tuple[tuple[str, Shape], ...]) -> tuple[str, str]:
    """The members of the header's JSON that sort before `__metadata__`, and those that sort after it."""
    parts, start = {}, 0
    for name, shape in entries:
        stop = start + ITEM_SIZE[dtype] * prod(shape)
        parts[name] = _CANONICAL.encode({"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]})
        start = stop
    texts = [(name < "__metadata__", f"{_CANONICAL.encode(name)}:{parts[name]}") for name in sorted(parts)]
    before, after = (",".join(text for first, text in texts if first is side) for side in (True, False))
    return before, after


def header_length(prefix: bytes, size: int) -> int:
    """Length in bytes of the header that a file of `size` bytes begins with.

    Raises:
        BlobError: The file is too short for it, or it is over the limit.
    """
    if len(prefix) < 8:
        raise BlobError(f"{size} bytes are too few for a blob", code="FL-BLOB-SIZE")
    length = int.from_bytes(prefix[:8], "little")
    if length > HEADER_LIMIT or length % 8:
        raise BlobError(f"a header cannot be {length} bytes long", code=HEADER)
    if 8 + length > size:
        raise BlobError(f"the header's {length} bytes end after the file's {size}", code="FL-BLOB-SIZE")
    return length


def decode_header(text: bytes) -> Header:
    """Read a header, refusing all but the bytes that `Header.encode` makes.

    Raises:
        BlobError: It is not JSON, not canonical, or states what no blob of ours states.
    """
    fields = _parse(text)
    metadata = fields.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) and _VALUE.fullmatch(key) and _VALUE.fullmatch(value) for key, value in metadata.items()
    ):
        raise BlobError("__metadata__ is missing or holds other things than short texts", code=HEADER)
    entries, dtypes = [], set()
    for name, entry in fields.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise BlobError(f"tensor {name[:80]!r} is not described by dtype, shape and data_offsets", code=HEADER)
        shape = entry["shape"]
        if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(type(n) is int and n >= 0 for n in shape):
            raise BlobError(f"tensor {name[:80]!r} has no shape", code="FL-BLOB-SHAPE")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in ITEM_SIZE:
            raise BlobError(f"tensor {name[:80]!r} is of a type that blobs do not hold", code="FL-BLOB-DTYPE")
        dtypes.add(entry["dtype"])
        entries.append((name, tuple(shape)))
    if len(dtypes) != 1:
        raise BlobError("a blob holds tensors of one type", code="FL-BLOB-DTYPE")
    header = Header(dtypes.pop(), tuple(entries), metadata)
    if header.encode()[8:] != text:
        raise BlobError("the header is not in canonical form, or its offsets leave gaps or overlap", code=HEADER)
    return header


def _parse(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(
            text.decode("ascii"),
            object_pairs_hook=_unique,
            parse_float=_refuse,
            parse_constant=_refuse,
            parse_int=_small,
        )
    except (ValueError, RecursionError) as error:
        raise BlobError(f"the header is not JSON: {str(error)[:120]}", code=HEADER) from error
    if not isinstance(fields, dict):
        raise BlobError("the header is no JSON object", code=HEADER)
    return fields


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key appears twice")
    return fields


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is no integer")


def _small(text: str) -> int:
    if len(text) > 16:
        raise ValueError("an integer out of range")
    return int(text)
