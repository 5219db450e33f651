"""The demo as a user starts it: to its end, and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.tff, pytest.mark.timeout(900)]


@contextmanager
def started(home: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    """Starts the demo in a process group of its own, as a terminal does, and ends it if it has not ended itself."""
    command = [sys.executable, "-m", "demo", "--home", str(home), "--output", str(output)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        try:
            yield demo
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGTERM)


def processes_about(home: Path) -> list[str]:
    """Returns the command lines of processes that name a folder, whoever started them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(home) in line:
                found.append(line)
    return found


def test_the_demo_trains_commits_pays_and_replays(tmp_path: Path) -> None:
    home = tmp_path / "network"
    with started(home, tmp_path) as demo:
        printed, _ = demo.communicate(timeout=800)
    assert demo.returncode == 0, printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["engine"] == "devnet"
    committed = [line for line in report["rounds"] if line["status"] == "committed"]
    assert len(committed) >= 8
    assert all(len(line["selected"]) == 2 and len(line["attested_by"]) >= 2 for line in committed)
    assert len({line["digest"] for line in committed}) == len(committed)
    assert report["federated"] >= max(report["alone"].values())
    assert sum(report["balances"].values()) == report["ledger"]["tokens"] == 1_000_000
    assert report["replay"] == {"rounds": len(committed), "identical": True}
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000
    assert processes_about(home) == []


@pytest.mark.parametrize("seconds", [1.0, 4.0, 12.0])
def test_an_interrupted_demo_leaves_no_process_behind(seconds: float, tmp_path: Path) -> None:
    home = tmp_path / "network"
    with started(home, tmp_path) as demo:
        time.sleep(seconds)
        os.killpg(demo.pid, signal.SIGINT)
        printed, _ = demo.communicate(timeout=60)
    # before Python has read the program's first line there is nobody yet to end it in order, and nothing to end
    assert demo.returncode in (130, -signal.SIGINT), printed
    assert processes_about(home) == []
