"""Processes of a network that outlived their supervisord.

Everything that a network starts inherits one environment variable that names the network's directory. A process that
carries it belongs to that network and to no other, however its parents ended.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from fabric_fl.network.home import Home

_VARIABLE = "FABRIC_FL_NETWORK_HOME"


def mark(home: Home) -> dict[str, str]:
    """Returns the environment by which the network's processes are known."""
    return {_VARIABLE: str(home.root)}


def find(home: Home) -> list[int]:
    """Returns the ids of this user's processes that belong to the network."""
    wanted = f"{_VARIABLE}={home.root}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # not ours, or gone by now
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def end(home: Home, grace_s: float) -> None:
    """Ends the network's processes: SIGTERM, and SIGKILL for who is still there after `grace_s` seconds."""
    asked = find(home)
    _signal(asked, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    # a process that is ending has no environment any more, and still holds its ports
    while (left := [*find(home), *filter(_is_ending, asked)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(left, signal.SIGKILL)


def _is_ending(pid: int) -> bool:
    try:
        entry = Path(f"/proc/{pid}")
        state = (entry / "stat").read_text().rpartition(") ")[2][0]
        return state not in "ZX" and not (entry / "environ").read_bytes()
    except OSError:
        return False


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
