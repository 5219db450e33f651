"""A file that a command makes: whole under its name, or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fabric_fl.errors import FabricFLError


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Gives the name of an empty file to write to; when that was done it is synced and gets its own name.

    What stood there before stays until then. Enter it before any work: whether there is a place to write to is found
    out at once.

    Raises:
        FabricFLError: The file cannot be written (FL-OUTPUT-FILE). Nothing was changed.
    """
    target = Path(os.path.realpath(path))  # what a link leads to is written, and not the link
    temporary = target.with_name(f".{secrets.token_hex(8)}-{target.name}")  # Keras goes by how a name ends
    try:
        _check_plain(target)
        temporary.touch(exist_ok=False)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)  # without it the rename itself may be lost with the power
    except OSError as error:
        raise FabricFLError(
            f"cannot write {path}: {error.strerror or error}",
            code="FL-OUTPUT-FILE",
            remedy="Name a file in a folder that exists, may be written to and has room; nothing was changed.",
        ) from error
    finally:
        with suppress(OSError):  # it was told already, or is there under its own name
            temporary.unlink()


def _check_plain(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise OSError("it is no plain file")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
