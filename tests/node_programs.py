"""Node programs for tests: their packages from npm, installed once for each lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

# What npm says when there is no way to the registry: nothing of ours is broken then.
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")


def needs_node(what: str) -> pytest.MarkDecorator:
    """Returns the mark of tests that run Node, naming what was not tried where it is missing."""
    return pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")),
        reason=f"node and npm are not on PATH: {what} was not tried",
    )


def node_environment(folder: Path, what: str) -> dict[str, str]:
    """Returns the environment in which the folder's programs find their packages."""
    return {**os.environ, "NODE_PATH": str(_modules(folder, what))}


def _modules(folder: Path, what: str) -> Path:
    """Returns a node_modules folder with the locked packages; skips where npm does not reach its registry."""
    lock = (folder / "package-lock.json").read_bytes()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fabric-fl"
    installed = home / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    done = installed / "installed"
    if not done.exists():
        installed.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, installed / name)
        _install(installed, what)
        done.touch()
    return installed / "node_modules"


def _install(folder: Path, what: str) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
    finished = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
    if finished.returncode and any(reason in finished.stderr for reason in UNREACHABLE):
        pytest.skip(f"npm does not reach its registry: {what} was not tried")
    assert finished.returncode == 0, finished.stderr
