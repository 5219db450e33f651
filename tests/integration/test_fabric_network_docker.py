"""Fabric's programs as compose.yaml says, run by a stand-in that starts processes instead of containers.

Docker itself runs in no test: this shows that the commands, environments and files of compose.yaml are all that the
programs need, in the order in which `network up` asks for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from docker_programs import StandIn, put_on_path
from docker_stand_in import UNSHARE
from fabric_programs import needs_fabric

from fabric_fl import network
from fabric_fl.cli.session import open_session
from fabric_fl.network import Consortium
from fabric_fl.network.docker.compose import Compose
from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.fabric import containers
from fabric_fl.network.fabric import engine as fabric_engine
from fabric_fl.network.home import Home

pytestmark = needs_fabric

COMMAND = Path(sys.executable).with_name("fabric-fl")


@pytest.fixture
def docker(tmp_path, monkeypatch) -> StandIn:
    """The stand-in is `docker`; Fabric's programs are found whatever the PATH becomes."""
    folders = {str(path.parent) for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))}
    monkeypatch.setenv("FABRIC_BIN", os.pathsep.join(folders))
    monkeypatch.setenv("FABRIC_RUNTIME", "docker")
    stand_in = put_on_path(tmp_path / "docker", monkeypatch)
    if can_mount():
        stand_in.mark("mounts")
    return stand_in


def can_mount() -> bool:
    """Whether a process may have a file system of its own here; what is needed of this one lies outside /tmp."""
    programs = [find_program(name, os.environ) for name in FABRIC_PROGRAMS]
    if any(path is None or path.resolve().is_relative_to("/tmp") for path in [*programs, Path(sys.prefix)]):
        return False
    command = [*UNSHARE, "sh", "-euc", "mount -t tmpfs tmpfs /mnt; exec setpriv --bounding-set=-all true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def verbs(docker: StandIn) -> list[str]:
    """Returns what was asked for, but for the looking."""
    verbs = [call[5] if len(call) > 5 and call[0] == "compose" else call[0] for call in docker.calls()]
    return [verb for verb in verbs if verb not in ("ps", "inspect", "info", "compose", "image", "logs")]


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_a_network_in_compose_comes_up_is_upgraded_restarted_and_ended(tmp_path, docker, monkeypatch, record_property):
    record_property("file_systems_of_their_own", can_mount())
    home = tmp_path / ".network"
    consortium = Consortium.default(2).on_free_ports()
    try:
        running = network.up(consortium, home=home, engine="fabric")

        assert running.plan.runtime == "docker"
        assert verbs(docker) == ["pull", "pull", "pull", "build", "up", "up"], "images, then the CAs, then everything"
        shown = json.loads(call(tmp_path, "network", "status", "--format", "json").stdout)
        assert [one["endorses"] for one in shown["organisations"]] == [True, True]
        assert {one["state"] for one in shown["processes"]} == {"RUNNING"}
        if can_mount():
            sees_its_own_alone(home)
        healthchecks = [healthcheck(one) for one in services(home)]
        for command in healthchecks:
            wait_until_healthy(command)
        with open_session(running.profiles()[0]) as session:
            session.ledger.register("Hospital 1")

        docker.forget()
        before = pids(home)
        network.up(consortium, home=home, engine="fabric")
        assert pids(home) == before, "a second up changes nothing"

        assert call(tmp_path, "network", "restart", "peer0-org2").returncode == 0
        assert pids(home)["peer0-org2"] != before["peer0-org2"]
        said = call(tmp_path, "network", "logs", "fl-org1", "--lines", "3")
        assert "listens on localhost:" in said.stdout

        before = pids(home)
        monkeypatch.setattr(fabric_engine, "rules_digest", lambda: "of other rules")
        monkeypatch.setattr(containers, "rules_digest", lambda: "0123456789abcdef0123")
        network.up(consortium, home=home, engine="fabric")
        changed = {name for name, pid in pids(home).items() if pid != before[name]}
        assert changed == {"fl-org1", "fl-org2"}
        with open_session(running.profiles()[1]) as session:
            assert [one.name for one in session.ledger.participants()] == ["Hospital 1"]
    finally:
        network.down(home, wipe=True)
    assert verbs(docker)[-1] == "down"
    assert not home.exists()
    assert all(subprocess.run(one, capture_output=True, check=False).returncode for one in healthchecks)


def pids(home: Path) -> dict[str, int]:
    return {one.name: one.pid for one in Compose(Home.at(home)).processes()}


def sees_its_own_alone(home: Path) -> None:
    """Checks that the stand-in did what compose.yaml asks of Docker, so that all above happened under it."""
    running = pids(home)
    seen = {
        name: sorted(one.name for one in Path(f"/proc/{pid}/root{home}/fabric").iterdir())
        for name, pid in running.items()
    }
    assert seen["peer0-org1"] == ["ccaas_builder", "chaincode", "peer0-org1"]
    assert seen["orderer1"] == ["orderer1"]
    assert seen["fl-org2"] == ["chaincode"]
    for pid in running.values():
        status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert (int(status["CapEff"], 16), status["NoNewPrivs"]) == (0, "1")
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        assert [one[5].split(",")[0] for one in mounts if one[4] == "/"] == ["ro"]


def services(home: Path) -> list[dict]:
    return list(yaml.safe_load((home / "compose.yaml").read_text())["services"].values())


def healthcheck(service: dict) -> list[str]:
    _, program, *arguments = service["healthcheck"]["test"]
    return [sys.executable if program.endswith("python") else program, *arguments]


def wait_until_healthy(command: list[str]) -> None:
    deadline = time.monotonic() + 10
    while subprocess.run(command, capture_output=True, check=False, timeout=5).returncode:
        assert time.monotonic() < deadline, command
        time.sleep(0.2)
