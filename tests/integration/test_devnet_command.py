"""``python -m fabric_fl.devnet``: how it starts, what it says, how it ends; and who may come in."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fabric_fl.devnet.__main__ import main
from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import EvaluateError, connect

DEVNET = (sys.executable, "-m", "fabric_fl.devnet")


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """Runs a devnet; yields what it announced, and the process."""
    process = subprocess.Popen(
        [*DEVNET, "--home", str(home), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield json.loads(line or "null"), process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def refused(home: Path, *arguments: str) -> str:
    """Returns the one line with which a devnet that cannot start ends."""
    result = subprocess.run(
        [*DEVNET, "--home", str(home), "--log-level", "ERROR", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def chain_info(folder: Path, **options: Any) -> bytes:
    """Asks an organisation's peer how long the chain is: needs no chaincode."""
    with connect(folder, **options) as gateway:
        return gateway.network("fl").contract("qscc").evaluate("GetChainInfo", "fl")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_in_one_line_and_ends_orderly(tmp_path, number):
    with running(tmp_path, "--orgs", "3") as (ready, process):
        assert ready["ready"] is True
        assert ready["pid"] == process.pid
        assert ready["channel"] == "fl"
        assert [each["msp_id"] for each in ready["organisations"]] == ["Org1MSP", "Org2MSP", "Org3MSP"]
        for each in ready["organisations"]:
            profile = ConnectionProfile.load(each["directory"])
            assert (profile.peer.address, profile.authority.url) == (each["peer"], each["ca"])
            assert chain_info(Path(each["directory"]))
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "no fault tolerance and no decentralisation" in err
    assert len(err.splitlines()) == 1


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a devnet that has run and ended, and what it had announced."""
    home = tmp_path_factory.mktemp("ended")
    with running(home, "--chaincode", "kv@org1=127.0.0.1:1") as (ready, _):
        assert chain_info(home / "org1")
    return home, ready


@pytest.fixture
def kept(ended: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of that folder, for a test that changes it."""
    return Path(shutil.copytree(ended[0], tmp_path / "kept"))


def test_it_is_found_again_where_it_was(ended):
    home, first = ended
    info = None
    for _ in range(2):
        with running(home) as (again, _):
            assert {**again, "pid": first["pid"]} == first
            assert info in (None, chain_info(home / "org1"))
            info = chain_info(home / "org1")


def test_the_state_is_rebuilt_from_the_blocks_with_the_same_hash(kept, capsys):
    def rebuilt() -> dict[str, Any]:
        assert main(["--home", str(kept), "--rebuild-dbs"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    first = rebuilt()
    assert (first["height"], first["unchanged"]) == (2, True)  # the genesis block, and one definition
    (database,) = kept.rglob("ledger.sqlite3")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute("DELETE FROM state").rowcount > 0
    assert rebuilt() == {**first, "unchanged": False}
    assert rebuilt() == first


def test_blocks_that_were_changed_are_not_rebuilt_from(kept, capsys):
    (database,) = kept.rglob("ledger.sqlite3")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        (data,) = connection.execute("SELECT data FROM blocks WHERE number = 1").fetchone()
        connection.execute("UPDATE blocks SET data = ? WHERE number = 1", (data.replace(b"1.0", b"2.0"),))
    assert main(["--home", str(kept), "--rebuild-dbs"]) == 1
    assert "block 1: its transactions are not those that its header names" in capsys.readouterr().err


def test_what_is_not_there_is_not_rebuilt(tmp_path):
    assert "there is no ledger in" in refused(tmp_path / "elsewhere", "--rebuild-dbs")


def test_in_memory_nothing_is_left_but_the_clients_files(tmp_path):
    with running(tmp_path, "--memory"):
        assert chain_info(tmp_path / "org1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["org1", "org2"]


def test_private_keys_are_their_owners_alone(ended):
    home, _ = ended
    keys = [path for path in home.rglob("*") if path.name.endswith((".key", "_sk")) or "keystore" in str(path)]
    assert len(keys) > 10
    for path in keys:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_port_that_is_taken_is_named(ended):
    home, ready = ended
    for address, who in ((ready["orderer"], "orderer"), (ready["organisations"][1]["ca"], "ca.org2")):
        port = int(address.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            line = refused(home)
        assert line == f"devnet: port {port} on localhost, which {who} should listen on, is taken"


def test_two_devnets_cannot_have_the_same_files(kept):
    with running(kept):
        (kept / "devnet" / "ports.json").unlink()  # so that not even a port is in the way
        line = refused(kept)
        assert f"another process has the ledger in {kept / 'devnet' / 'ledger'} open" in line
        assert "another process has the ledger" in refused(kept, "--rebuild-dbs")


def test_other_organisations_need_another_folder(ended):
    assert "the channel that is stored has Org1MSP, Org2MSP" in refused(ended[0], "--orgs", "3")


def test_another_definition_under_the_same_sequence_is_refused(kept):
    line = refused(kept, "--chaincode", "kv@org1=127.0.0.1:1", "--endorsement", "any")
    assert "kv is defined on the channel as version 1.0, sequence 1, with another version or endorsement policy" in line
    with running(kept, "--chaincode", "kv@org1=127.0.0.1:2") as (ready, _):
        assert ready["ready"]


def test_without_a_configuration_or_a_home_it_says_what_it_needs():
    result = subprocess.run(DEVNET, check=False, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (1, "devnet: a configuration file or --home is needed\n")


def test_what_the_ca_revokes_is_refused_at_once_and_after_a_restart(tmp_path):
    with running(tmp_path):
        profile = ConnectionProfile.load(tmp_path / "org1")
        ca = CAClient(profile.authority, profile.msp_id)
        registrar = ca.enroll(*profile.authority.registrar)
        secret = ca.register(registrar, "mallory", attributes={})
        mallory = ca.enroll("mallory", secret)
        assert chain_info(tmp_path / "org1", identity=mallory)
        ca.revoke(registrar, "mallory")
        with pytest.raises(EvaluateError, match="access denied"):
            chain_info(tmp_path / "org1", identity=mallory)
        assert chain_info(tmp_path / "org1")
    with running(tmp_path):
        with pytest.raises(EvaluateError, match="access denied"):
            chain_info(tmp_path / "org1", identity=mallory)
        assert chain_info(tmp_path / "org1")
