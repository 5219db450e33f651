"""Blob files read and written a block at a time, so that memory does not grow with the model."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from functools import lru_cache
from io import FileIO

import numpy as np

from fabric_fl.aggregation import ring
from fabric_fl.aggregation.codec import DTYPES, read_layout, update_header
from fabric_fl.aggregation.errors import BOUND, HEADER, SIZE, AggregationError, BlobError
from fabric_fl.aggregation.files import BlobFile, Fingerprint, fingerprint, open_blob, read_into
from fabric_fl.aggregation.header import Header, decode_header, header_length
from fabric_fl.aggregation.output import CopyFile
from fabric_fl.aggregation.ring import Float64, Int32
from fabric_fl.aggregation.rounds import RoundInputs, UpdateInput
from fabric_fl.aggregation.server import ServerStep, State
from fabric_fl.aggregation.tensors import Layout

_CHUNK = 1 << 18  # bytes


class UpdateStream:
    """One update, hashed, copied and checked in the same pass that reads it.

    Attributes:
        update: Where to read it.
        refused: Why its content is invalid, the same for every validator, once known.
        missing: Whether the file is not there or not what the ledger names.

    Raises:
        AggregationError: Its copy cannot be written.
    """

    def __init__(self, update: UpdateInput, inputs: RoundInputs, layout: Layout) -> None:
        self.update = update
        self.refused: str | None = None
        self.missing = False
        self._inputs = inputs
        self._trusted = False
        self._found: Fingerprint | None = None
        self._copied: Fingerprint | None = None
        self._hash = hashlib.sha256()
        self._file: FileIO | None = None
        self._copy: CopyFile | None = None
        try:
            self._open(layout)
        except BaseException:
            self.close()
            raise

    def _open(self, layout: Layout) -> None:
        update, inputs = self.update, self._inputs
        if not 1 <= update.num_examples <= inputs.max_examples:
            self.refused = HEADER
            return
        # Only one header and one size are right: a hostile header is compared, never parsed.
        expected = update_header(inputs.header(update), layout)
        header = expected.encode()
        if update.size != len(header) + expected.data_size:
            self.refused = SIZE
            return
        try:
            self._file = open_blob(update.path, update.size) if update.path is not None else None
        except (OSError, BlobError):
            self._file = None
        if self._file is None:
            self.missing = True
            return
        self._found = fingerprint(os.fstat(self._file.fileno()))
        self._trusted = update.verified == self._found
        if update.copy is not None:
            self._copy = CopyFile(update.copy)
        found = self._file.read(len(header))
        self._take(found)
        if found != header:
            self.refused = HEADER

    @property
    def usable(self) -> bool:
        return self.refused is None and not self.missing

    def read(self, block: memoryview) -> None:
        """Fill a block with the next values' bytes; `refused` or `missing` tells whether they may be used."""
        if self._file is None:
            return
        if read_into(self._file, block):
            self._take(block)
        else:
            self.missing = True

    def _take(self, data: bytes | memoryview) -> None:
        if not self._trusted:
            self._hash.update(data)
        if self._copy is not None:
            self._copy.write(data)

    def check(self, block: Int32) -> None:
        """Refuse the update where values that were read of it are out of bounds."""
        if self.usable and ring.largest(block) > self._inputs.bound:
            self.refused = BOUND

    def finish(self) -> None:
        """Now `missing` is final, because the digest is known."""
        if self._file is None:
            return
        self.missing = self.missing or not (self._trusted or self._hash.hexdigest() == self.update.digest)
        if self._copy is not None and not self.missing:
            self._copied = self._copy.finish()

    def verified(self) -> UpdateInput:
        """The update, where it need not be hashed again; after `finish`."""
        if self._copied is not None:
            return replace(self.update, path=self.update.copy, copy=None, verified=self._copied)
        return self.update if self.missing else replace(self.update, verified=self._found)

    def close(self) -> None:
        """Close the files. What was copied is kept only after `finish` found it right."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._copy is not None:
            self._copy.discard()
            self._copy = None


class StartStream:
    """Where the server step starts: the committed state, or the initial model in its place.

    Its digest is taken in the same pass that uses it; what was computed from it counts only after `require_verified`.

    Attributes:
        trusted: Whether its digest was found right before, and the file has not changed since.

    Raises:
        AggregationError: The file is missing or not what the ledger names.
        BlobError: The right bytes, but no state, or no model.
    """

    def __init__(self, inputs: RoundInputs) -> None:
        self._blob = inputs.state if inputs.state is not None else inputs.model
        self._hash, self._hashed = hashlib.sha256(), 0
        self._file = _open(self._blob)
        self.trusted = self._blob.verified == fingerprint(os.fstat(self._file.fileno()))
        try:
            self._read_header("model" if inputs.state is None else "state")
        except BlobError:
            try:
                self.require_verified()  # what is wrong with the bytes matters only where they are the right ones
            finally:
                self._file.close()
            raise

    def _read_header(self, kind: str) -> None:
        length = header_length(self._file.read(8), self._blob.size)
        header, self.layout, self.slots = _understood(self._file.read(length))
        self._dtype = DTYPES[header.dtype]
        self._data = 8 + length
        if self._data + header.data_size != self._blob.size:
            raise BlobError(f"{self._blob.path} is not as long as its header says", code=SIZE)
        if header.metadata["kind"] != kind:
            message = f"{self._blob.path} is of the kind {header.metadata['kind']}, not what is needed"
            raise BlobError(message, code=HEADER)

    def verify(self, part: int, parts: int) -> None:
        """Hash the file up to the end of one of equal parts, from where the last call stopped."""
        stop = self._blob.size * (part + 1) // parts
        while self._hashed < stop:
            data = os.pread(self._file.fileno(), min(_CHUNK, stop - self._hashed), self._hashed)
            if not data:
                return
            self._hash.update(data)
            self._hashed += len(data)

    def require_verified(self) -> None:
        """Refuse what was read so far, if the file is not what the ledger names."""
        if self.trusted:
            return
        self.verify(0, 1)
        if self._hash.hexdigest() != self._blob.digest:
            raise _unavailable(self._blob, "its digest is another")

    def state(self, step: ServerStep, offset: int, count: int) -> State:
        """A block of the state before the step, as float64."""
        slots = self._read(offset, count)
        return slots if self.slots else step.init(slots["w"])

    def _read(self, start: int, count: int) -> dict[str, Float64]:
        found = {}
        for index, slot in enumerate(self.slots or ("w",)):
            block = np.empty(count, self._dtype)
            position = self._data + self._dtype.itemsize * (index * self.layout.size + start)
            if os.preadv(self._file.fileno(), [block.view(np.uint8).data], position) != block.nbytes:
                raise AggregationError("the committed state changed while it was read", code="FL-AGGREGATE-UNAVAILABLE")
            found[slot] = block.astype(np.float64, copy=False)
        return found

    def close(self) -> None:
        self._file.close()


@lru_cache(maxsize=4)  # a task's models, and its states, all begin with the same bytes
def _understood(text: bytes) -> tuple[Header, Layout, tuple[str, ...]]:
    header = decode_header(text)
    return header, *read_layout(header)


def _open(blob: BlobFile) -> FileIO:
    try:
        return open_blob(blob.path, blob.size)
    except OSError as error:
        raise _unavailable(blob, error.strerror or "it cannot be opened") from error
    except BlobError as error:
        raise _unavailable(blob, "it is of another size") from error


def _unavailable(blob: BlobFile, why: str) -> AggregationError:
    message = f"{blob.path} is not the blob {blob.digest[:16]}…: {why}"
    return AggregationError(message, code="FL-AGGREGATE-UNAVAILABLE", remedy="Fetch the blob again.")
