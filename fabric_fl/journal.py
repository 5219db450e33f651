"""The private journal: what an organisation must not forget, fsynced before the ledger hears of it.

A participant that is killed between any two steps reads its journal and goes on with the same update, the same
nonce and the same scores. It never trains again for a round to which it has submitted: a second update could not
be opened, because the commitment on the ledger is to the first.

Layout, below the organisation's private folder::

    <task>/<round, eight digits>/update.safetensors   the blob, before anybody else may read it
    <task>/<round, eight digits>/update.json          its digest, size, num_examples, nonce
    <task>/<round, eight digits>/scores-<attempt>.json   scores, metrics, nonce, and the result that they belong to
    <task>/<round, eight digits>/model.safetensors    what this organisation computed, until it is committed
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fabric_fl.errors import FabricFLError

__all__ = ["Journal", "JournalError", "ScoreEntry", "UpdateEntry"]


class JournalError(FabricFLError):
    """The private folder cannot be read or written."""


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
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise JournalError(f"the private folder {self._folder} cannot be created: {error.strerror}") from error

    def folder(self, round_number: int) -> Path:
        """Returns the folder of one round, created when it is missing."""
        path = self._folder / f"{round_number:08d}"
        try:
            path.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise JournalError(f"the private folder {path} cannot be created: {error.strerror}") from error
        return path

    def update_path(self, round_number: int) -> Path:
        return self.folder(round_number) / "update.safetensors"

    def update(self, round_number: int) -> UpdateEntry | None:
        """Returns the round's update, or None when none was completed."""
        fields = _read(self.folder(round_number) / "update.json")
        return None if fields is None else UpdateEntry(**fields)

    def record_update(self, round_number: int, entry: UpdateEntry) -> None:
        """Records an update whose blob was written to `update_path`; both are on the disk when this returns.

        The JSON file is written last, so its presence says that the blob is complete.
        """
        _sync(self.update_path(round_number))
        _write(self.folder(round_number) / "update.json", asdict(entry))

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
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise JournalError(f"{path} does not hold a JSON object; restore it from a backup or remove the round's folder")
    return fields


def _write(path: Path, fields: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all: a new file, synced, renamed, the folder synced."""
    temporary = path.with_suffix(".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(fields, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}; free space, then start again") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

