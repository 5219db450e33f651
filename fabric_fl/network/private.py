"""A short directory of this user's own, for what concerns this machine and no network in particular."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from fabric_fl.network.errors import NetworkError


def private_directory() -> Path:
    """Returns it, made if it was not there.

    Raises:
        NetworkError: What has its name is somebody else's, or open to others.
    """
    path = Path(tempfile.gettempdir()) / f"fabric-fl-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise NetworkError(
            f"{path} is not a directory of your own that nobody else may enter",
            remedy="Remove it, or set TMPDIR to a directory of your own with a short path.",
        )
    return path
