"""The pytest plugin, in a project of somebody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONTRACT = Path(__file__).parents[1] / "conformance" / "kv_contract.py"

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


def test_one_line_gives_a_test_a_network_that_ends_with_the_session(tmp_path):
    (tmp_path / "test_theirs.py").write_text(THEIR_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_theirs.py"]
    result = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=90)
    assert "2 passed" in result.stdout, result.stdout + result.stderr
    (line,) = [each for each in result.stdout.splitlines() if "PIDS" in each]
    pids = line.partition("PIDS ")[2].split()
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
