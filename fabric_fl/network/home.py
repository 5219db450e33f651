"""The directory of a network, .network by default, and what lies where in it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network.private import private_directory

# A Unix socket's path has room for 107 bytes, of which supervisord takes some for a temporary name.
_LONGEST_SOCKET_PATH = 90


@dataclass(frozen=True)
class Home:
    root: Path

    @classmethod
    def at(cls, path: str | Path) -> Home:
        return cls(Path(path).resolve())

    @property
    def record(self) -> Path:
        """What was asked for and what was chosen, written by the first `up`."""
        return self.root / "network.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def supervisor_config(self) -> Path:
        return self.root / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        beside = self.root / "supervisor.sock"
        if len(os.fsencode(beside)) <= _LONGEST_SOCKET_PATH:
            return beside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return private_directory() / f"{name}.sock"

    def organisation(self, name: str) -> Path:
        return self.root / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one `up`, `down` or `restart` at a time work on this network."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
