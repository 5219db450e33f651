"""Node programs of the suite: their packages from npm, installed once for each lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("node")
# What npm says when there is no way to the registry: nothing of ours is broken then.
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")


needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")),
    reason="node and npm are not on PATH: the official gateway client was not tried",
)


def modules() -> Path:
    """Return a node_modules folder with the locked packages; skip where npm does not reach its registry."""
    lock = (FOLDER / "package-lock.json").read_bytes()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fabric-fl"
    folder = home / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / name, folder / name)
        install(folder)
        done.touch()
    return folder / "node_modules"


def install(folder):
    command = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
    finished = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
    if finished.returncode and any(reason in finished.stderr for reason in UNREACHABLE):
        pytest.skip("npm does not reach its registry: the official gateway client was not tried")
    assert finished.returncode == 0, finished.stderr


def run(script, settings_json, timeout=90):
    """Run a program of the folder with settings on its standard input; return its output."""
    finished = subprocess.run(
        ["node", FOLDER / script],
        check=False,
        input=settings_json,
        env=os.environ | {"NODE_PATH": str(modules())},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
