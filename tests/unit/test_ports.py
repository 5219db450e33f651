"""Ports for servers that start later: no two processes are given the same ones."""

import socket
import subprocess
import sys
import tempfile
from contextlib import closing

import pytest

from fabric_fl.network import ports
from fabric_fl.network.errors import NetworkError
from fabric_fl.network.ports import free_ports, is_free

FEW = 40
"""As many ports as these tests choose from, so that two processes would meet."""


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with closing(socket.create_server(("127.0.0.1", 0))) as somewhere:
        first = somewhere.getsockname()[1] % 10_000 + 15_000
    monkeypatch.setattr(ports, "_RANGE", range(first, first + FEW))


@pytest.fixture
def other():
    """Another process that was given 10 of them; it ends when its input does."""
    program = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]; from fabric_fl.network import ports; "
        "ports._RANGE = range(*map(int, sys.argv[2:])); print(*ports.free_ports(10), flush=True); sys.stdin.read()"
    )
    limits = (str(ports._RANGE.start), str(ports._RANGE.stop))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tempfile.tempdir), *limits],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.ports = set(map(int, process.stdout.readline().split()))
    assert len(process.ports) == 10
    yield process
    process.kill()
    process.communicate()


def free_here() -> set[int]:
    """All that this process can be given."""
    for count in range(FEW, 0, -1):
        try:
            return set(free_ports(count))
        except OSError:
            continue
    return set()


def test_free_ports_are_free_and_differ():
    found = free_ports(20)

    assert len(set(found)) == 20
    assert all(is_free("localhost", port) for port in found)


def test_a_port_that_somebody_listens_on_is_not_free():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        assert not is_free("localhost", server.getsockname()[1])


def test_what_another_process_was_given_is_not_given_as_long_as_it_lives(other, monkeypatch):
    monkeypatch.setattr(ports, "_PROMISED_S", 0)

    assert not free_here() & other.ports

    other.communicate()
    assert free_here() & other.ports


def test_what_a_process_that_has_ended_was_given_is_kept_for_the_servers_that_it_started(other):
    other.communicate()

    assert not free_here() & other.ports


def test_a_process_may_be_given_its_own_again_and_more_than_there_are_is_an_error():
    everything = free_here()

    assert free_here() == everything
    with pytest.raises(OSError, match=rf"{FEW + 1} free ports were asked for and \d+ found"):
        free_ports(FEW + 1)


def test_a_record_that_was_not_written_to_its_end_promises_nothing(tmp_path):
    free_ports(3)
    (record,) = tmp_path.glob("fabric-fl-*/ports.json")
    record.write_text(record.read_text()[:-5])

    assert len(free_ports(3)) == 3


def test_a_directory_that_others_may_enter_is_refused(tmp_path):
    free_ports(1)
    (directory,) = tmp_path.glob("fabric-fl-*")
    directory.chmod(0o755)

    with pytest.raises(NetworkError, match="not a directory of your own"):
        free_ports(1)


def test_who_asks_for_no_port_leaves_nothing_behind(tmp_path):
    assert free_ports(0) == []
    assert list(tmp_path.iterdir()) == []
