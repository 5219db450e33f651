"""Blobs: what organisations exchange beside the ledger, as canonical bytes with a digest.

The type carries the boundary: an `UpdateHeader` may go on the ledger, an `UpdateBlob` never does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from fabric_fl.aggregation.errors import HEADER, SIZE, BlobError
from fabric_fl.aggregation.header import ITEM_SIZE, Header, decode_header, header_length
from fabric_fl.aggregation.tensors import Array, Layout, Tensors

SCHEMA = "1"
_SLOT = re.compile(r"[a-z]{1,8}")
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
}


@dataclass(frozen=True)
class UpdateHeader:
    """What is public about an update: who made it, in which round, from which model, on how many examples."""

    task: str
    round: int
    participant: str
    base: str
    num_examples: int
    f: int

    def metadata(self) -> dict[str, str]:
        return {
            "kind": "update",
            "schema": SCHEMA,
            "task": self.task,
            "round": str(self.round),
            "participant": self.participant,
            "base": self.base,
            "num_examples": str(self.num_examples),
            "f": str(self.f),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> UpdateHeader:
        """Read it back, refusing whatever would not be written the same way.

        Raises:
            BlobError: A field is missing, surplus, or no decimal integer.
        """
        try:
            header = cls(
                task=metadata["task"],
                round=int(metadata["round"]),
                participant=metadata["participant"],
                base=metadata["base"],
                num_examples=int(metadata["num_examples"]),
                f=int(metadata["f"]),
            )
        except (KeyError, ValueError) as error:
            raise BlobError(f"the update's header is incomplete: {error}", code=HEADER) from error
        if header.metadata() != dict(metadata):
            raise BlobError("the update's header is not in canonical form", code=HEADER)
        return header


@dataclass(frozen=True)
class UpdateBlob:
    """A participant's quantised update, int32: read by the task's validators, never written to the ledger."""

    header: UpdateHeader
    tensors: Tensors

    def __post_init__(self) -> None:
        _require(self.tensors, np.int32)


@dataclass(frozen=True)
class MaskedUpdateBlob:
    """An update under a mask, int64: num_examples * q + mask, modulo 2^64. Alone it says nothing about q."""

    header: UpdateHeader
    tensors: Tensors

    def __post_init__(self) -> None:
        _require(self.tensors, np.int64)


@dataclass(frozen=True)
class ModelBlob:
    """A model's weights, float32 and finite."""

    tensors: Tensors

    def __post_init__(self) -> None:
        _require(self.tensors, np.float32)

    @property
    def layout(self) -> Layout:
        return self.tensors.layout


@dataclass(frozen=True)
class StateBlob:
    """The server's state, float64 and finite: the weights `w`, and whatever else a server step remembers, by slot."""

    slots: Mapping[str, Tensors]

    def __post_init__(self) -> None:
        ordered = {name: self.slots[name] for name in sorted(self.slots)}
        object.__setattr__(self, "slots", MappingProxyType(ordered))
        if "w" not in ordered or not all(map(_SLOT.fullmatch, ordered)):
            raise BlobError("a state has a slot w, and names of one to eight letters", code="FL-BLOB-NAMES")
        for tensors in ordered.values():
            _require(tensors, np.float64)
            if tensors.layout != self.layout:
                raise BlobError("the state's slots are laid out differently", code="FL-BLOB-SHAPE")

    @property
    def layout(self) -> Layout:
        return self.slots["w"].layout


Blob = UpdateBlob | MaskedUpdateBlob | ModelBlob | StateBlob
_B = TypeVar("_B", UpdateBlob, MaskedUpdateBlob, ModelBlob, StateBlob)


def model_header(layout: Layout) -> Header:
    return Header("F32", tuple(zip(layout.names, layout.shapes, strict=True)), {"kind": "model", "schema": SCHEMA})


def state_header(layout: Layout, slots: tuple[str, ...]) -> Header:
    """Slot by slot in the order of their names, each laid out as the model is."""
    entries = (
        (f"{slot}/{name}", shape)
        for slot in sorted(slots)
        for name, shape in zip(layout.names, layout.shapes, strict=True)
    )
    return Header("F64", tuple(entries), {"kind": "state", "schema": SCHEMA})


def update_header(header: UpdateHeader, layout: Layout) -> Header:
    """The only header that an update with these facts can have."""
    return Header("I32", tuple(zip(layout.names, layout.shapes, strict=True)), header.metadata())


def masked_update_header(header: UpdateHeader, layout: Layout) -> Header:
    """The only header that a masked update with these facts can have."""
    metadata = header.metadata() | {"kind": "masked-update"}
    return Header("I64", tuple(zip(layout.names, layout.shapes, strict=True)), metadata)


def update_size(header: UpdateHeader, layout: Layout) -> int:
    """Bytes of an update with this header for a model of this layout: no other size is worth fetching."""
    return update_header(header, layout).file_size


def model_size(layout: Layout) -> int:
    """Bytes of every model of this layout."""
    return model_header(layout).file_size


def chunks(blob: Blob) -> Iterator[bytes | memoryview]:
    """The blob's bytes, a tensor at a time and not copied."""
    if isinstance(blob, StateBlob):
        header = state_header(blob.layout, tuple(blob.slots))
        arrays = [array for tensors in blob.slots.values() for array in tensors.arrays()]
    elif isinstance(blob, ModelBlob):
        header, arrays = model_header(blob.tensors.layout), blob.tensors.arrays()
    else:
        make = update_header if isinstance(blob, UpdateBlob) else masked_update_header
        header, arrays = make(blob.header, blob.tensors.layout), blob.tensors.arrays()
    yield header.encode()
    for array in arrays:
        yield array.astype(DTYPES[header.dtype], copy=False).reshape(-1).view(np.uint8).data


def encode(blob: Blob) -> bytes:
    """The blob's canonical bytes."""
    return b"".join(chunks(blob))


def digest(data: bytes) -> str:
    """SHA-256 in hex: what `sha256sum` says of the same file."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes | memoryview) -> Blob:
    """Read a blob without copying its tensors.

    Raises:
        BlobError: The bytes are anything else than `encode` makes.
    """
    length = header_length(bytes(data[:8]), len(data))
    header = decode_header(bytes(data[8 : 8 + length]))
    if 8 + length + header.data_size != len(data):
        raise BlobError(f"{len(data)} bytes, where header and tensors need {8 + length + header.data_size}", code=SIZE)
    parts, start = {}, 8 + length
    for name, shape in header.entries:
        count = prod(shape)
        parts[name] = np.frombuffer(data, DTYPES[header.dtype], count, start).reshape(shape)
        start += count * ITEM_SIZE[header.dtype]
    return _blob(header, parts)


def decode_model(data: bytes | memoryview) -> ModelBlob:
    """Read a model; see `decode`."""
    return _expect(decode(data), ModelBlob)


def decode_state(data: bytes | memoryview) -> StateBlob:
    """Read a state; see `decode`."""
    return _expect(decode(data), StateBlob)


def decode_update(data: bytes | memoryview) -> UpdateBlob:
    """Read an update; see `decode`."""
    return _expect(decode(data), UpdateBlob)


def decode_masked_update(data: bytes | memoryview) -> MaskedUpdateBlob:
    """Read a masked update; see `decode`."""
    return _expect(decode(data), MaskedUpdateBlob)


def read_layout(header: Header) -> tuple[Layout, tuple[str, ...]]:
    """Layout and slots (none but for a state) that a header states.

    Raises:
        BlobError: Kind and tensors do not fit together.
    """
    kind = header.metadata.get("kind")
    if kind == "state":
        slots = tuple(dict.fromkeys(name.partition("/")[0] for name, _ in header.entries))
        first = [(name.partition("/")[2], shape) for name, shape in header.entries[: len(header.entries) // len(slots)]]
        layout = Layout(tuple(name for name, _ in first), tuple(shape for _, shape in first))
        expected = state_header(layout, slots)
    else:
        slots = ()
        layout = Layout(tuple(name for name, _ in header.entries), tuple(shape for _, shape in header.entries))
        if kind == "model":
            expected = model_header(layout)
        elif kind == "update":
            expected = update_header(UpdateHeader.from_metadata(header.metadata), layout)
        elif kind == "masked-update":
            expected = masked_update_header(_masked_facts(header), layout)
        else:
            raise BlobError(f"a blob of the kind {str(kind)[:40]!r} is unknown here", code=HEADER)
    if header.dtype != expected.dtype:
        raise BlobError(f"a blob of the kind {kind} does not hold {header.dtype}", code="FL-BLOB-DTYPE")
    if header != expected:
        raise BlobError(f"this is not the header of a blob of the kind {kind}", code=HEADER)
    return layout, slots


def _blob(header: Header, parts: dict[str, Array]) -> Blob:
    layout, slots = read_layout(header)
    if slots:
        return StateBlob(
            {slot: Tensors({name: parts[f"{slot}/{name}"] for name in layout.names}) for slot in slots},
        )
    if header.metadata["kind"] == "model":
        return ModelBlob(Tensors(parts))
    if header.metadata["kind"] == "masked-update":
        return MaskedUpdateBlob(_masked_facts(header), Tensors(parts))
    return UpdateBlob(UpdateHeader.from_metadata(header.metadata), Tensors(parts))


def _masked_facts(header: Header) -> UpdateHeader:
    return UpdateHeader.from_metadata({**header.metadata, "kind": "update"})


def _expect(blob: Blob, kind: type[_B]) -> _B:
    if not isinstance(blob, kind):
        raise BlobError(f"a {type(blob).__name__}, where a {kind.__name__} is needed", code=HEADER)
    return blob


def _require(tensors: Tensors, dtype: type[np.generic]) -> None:
    if tensors.dtype != np.dtype(dtype):
        raise BlobError(f"tensors of {tensors.dtype}, where {np.dtype(dtype)} is needed", code="FL-BLOB-DTYPE")
    if np.issubdtype(dtype, np.floating):
        for name, array in tensors.items():
            if not np.isfinite(array).all():
                raise BlobError(f"{name} holds NaN or infinity", code="FL-BLOB-NOT-FINITE")
