"""The pytest plugin, in a project of somebody else's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONTRACT = Path(__file__).parents[1] / "conformance" / "kv_contract.py"
SESSION = (sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_theirs.py")

THEIR_TEST = f"""
COMMAND = [{sys.executable!r}, {str(CONTRACT)!r}]

def test_first(fabric_devnet):
    network = fabric_devnet(organizations=1, chaincode="kv", command=COMMAND)
    with network.gateway("org1") as gateway:
        gateway.network("fl").contract("kv").submit("Put", "a", "1")

def test_second_sees_the_same_network(fabric_devnet):
    network = fabric_devnet(organizations=1, chaincode="kv", command=COMMAND)
    with network.gateway("org1") as gateway:
        assert gateway.network("fl").contract("kv").evaluate("Get", "a") == b"1"
    print("PIDS", *(network.pid(name) for name in network.processes))
"""

THEIR_LONG_TEST = f"""
import time

def test_long(fabric_devnet):
    network = fabric_devnet(organizations=1, chaincode="kv", command=[{sys.executable!r}, {str(CONTRACT)!r}])
    print("PIDS", *(network.pid(name) for name in network.processes), flush=True)
    time.sleep(60)
"""


def ended(line: str) -> bool:
    """Tells whether the two processes that a line names have ended."""
    pids = line.partition("PIDS ")[2].split()
    assert len(pids) == 2
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_one_line_gives_a_test_a_network_that_ends_with_the_session(tmp_path):
    (tmp_path / "test_theirs.py").write_text(THEIR_TEST)
    result = subprocess.run(SESSION, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=90)
    assert "2 passed" in result.stdout, result.stdout + result.stderr
    (line,) = [each for each in result.stdout.splitlines() if "PIDS" in each]
    assert ended(line)


def test_a_session_that_is_told_to_end_leaves_no_process_behind(tmp_path):
    (tmp_path / "test_theirs.py").write_text(THEIR_LONG_TEST)
    with subprocess.Popen(SESSION, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        line = next(each for each in session.stdout if "PIDS" in each)
        session.send_signal(signal.SIGTERM)
        rest, _ = session.communicate(timeout=60)
    assert session.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert ended(line)
