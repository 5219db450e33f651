"""The private journal: what an organisation must not forget, fsynced before the ledger hears of it.

A participant that is killed between any two steps reads its journal and goes on with the same update, the same
nonce and the same scores. It never trains again for a round to which it has submitted: a second update could not
be opened, because the commitment on the ledger is to the first.

Layout, below the organisation's private folder::

    <task>/<round, eight digits>/update.safetensors   the blob, before anybody else may read it
    <task>/<round, eight digits>/update.json          its digest, size, num_examples, nonce
    <task>/<round, eight digits>/scores-<attempt>.json   scores, metrics, nonce, and the result that they belong to
    <task>/<round, eight digits>/model.safetensors    what this organisation computed, until it is committed
    <task>/<round, eight digits>/state.safetensors    and the server step's state
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fabric_fl.aggregation import UpdateBlob, write
from fabric_fl.aggregation.files import sync_directory
from fabric_fl.errors import FabricFLError

__all__ = ["MODEL", "STATE", "Journal", "JournalError", "ScoreEntry", "UpdateEntry"]

MODEL, STATE = "model.safetensors", "state.safetensors"


class JournalError(FabricFLError):
    """The private folder cannot be read or written."""

    code = "FL-JOURNAL"
    remedy = "Free space, or see that this process may write there; then run again, it goes on where it stopped."


@dataclass(frozen=True)
class UpdateEntry:
    """An update that was trained, and what is needed to submit and to reveal it."""

    base: str
    digest: str
    size: int
    num_examples: int
    nonce: str

    def __repr__(self) -> str:
        return f"UpdateEntry(digest={self.digest[:12]}…, size={self.size}, num_examples={self.num_examples})"


@dataclass(frozen=True)
class ScoreEntry:
    """Scores that were committed to, and the nonce that opens them."""

    result: str
    nonce: str
    scores: dict[str, int]
    metrics: dict[str, int]

    def __repr__(self) -> str:
        return f"ScoreEntry(result={self.result[:12]}…, scores of {len(self.scores)})"


def new_nonce() -> str:
    """Returns 32 random bytes from the operating system, as 64 hexadecimal digits."""
    return secrets.token_hex(32)


class Journal:
    """The journal of one organisation for one task.

    Args:
        folder: the organisation's private folder; created, readable by its owner alone.
        task: the task's id.

    Raises:
        JournalError: the folder cannot be created.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self._folder = folder / task
        _create(self._folder)

    def folder(self, round_number: int) -> Path:
        """Returns the folder of one round, created when it is missing."""
        path = self._path(round_number)
        _create(path)
        return path

    def _path(self, round_number: int) -> Path:
        return self._folder / f"{round_number:08d}"

    def computed(self, rounds: Iterable[int]) -> list[int]:
        """Returns those of the rounds of which a model or a state lies here that this organisation computed."""
        return [number for number in rounds if any((self._path(number) / name).exists() for name in (MODEL, STATE))]

    def forget_computed(self, round_number: int) -> None:
        """Removes the model and the state that this organisation computed in a round that is not going to commit."""
        for name in (MODEL, STATE):
            (self._path(round_number) / name).unlink(missing_ok=True)

    def update_path(self, round_number: int) -> Path:
        return self.folder(round_number) / "update.safetensors"

    def update(self, round_number: int) -> UpdateEntry | None:
        """Returns the round's update, or None when none was completed."""
        fields = _read(self.folder(round_number) / "update.json")
        return None if fields is None else UpdateEntry(**fields)

    def record_update(self, round_number: int, base: str, blob: UpdateBlob) -> UpdateEntry:
        """Records an update with a new nonce; blob and nonce are on the disk when this returns.

        The JSON file is written last, so its presence says that the blob is complete.
        """
        path = self.update_path(round_number)
        with _writing(path):
            file = write(blob, path)
        entry = UpdateEntry(base, file.digest, file.size, blob.header.num_examples, new_nonce())
        _write(path.with_name("update.json"), asdict(entry))
        return entry

    def scores(self, round_number: int, attempt: int) -> ScoreEntry | None:
        """Returns the scores that were committed to in this attempt, or None."""
        fields = _read(self.folder(round_number) / f"scores-{attempt}.json")
        return None if fields is None else ScoreEntry(**fields)

    def record_scores(self, round_number: int, attempt: int, entry: ScoreEntry) -> None:
        """Records scores and their nonce; they are on the disk when this returns."""
        _write(self.folder(round_number) / f"scores-{attempt}.json", asdict(entry))

    def forget_blob(self, round_number: int) -> None:
        """Removes the round's blob, which is by now in the organisation's store, and keeps the record."""
        self.update_path(round_number).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}") from error
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        remedy = "Restore it from a backup, or remove the round's folder: the others go on without what it held."
        raise JournalError(f"{path} does not hold a JSON object", remedy=remedy)
    return fields


def _write(path: Path, fields: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all: a new file, synced, renamed, the folder synced."""
    temporary = path.with_suffix(".tmp")
    with _writing(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(fields, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)


def _create(folder: Path) -> None:
    """Creates a folder, readable by its owner alone, that survives a power cut as the files in it do."""
    if folder.is_dir():
        return
    _create(folder.parent)
    with _writing(folder):
        folder.mkdir(exist_ok=True, mode=0o700)
        sync_directory(folder.parent)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}") from error
