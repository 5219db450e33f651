"""Fabric's programs: there, and of one version."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fabric_fl.network.docker.client import Docker
from fabric_fl.network.doctor.finding import Finding
from fabric_fl.network.engine import FABRIC_PROGRAMS, GET_FABRIC, find_program
from fabric_fl.network.errors import DockerError

_VERSION_ARGUMENT = {"configtxgen": "-version", "osnadmin": None}
_SECONDS = 10.0


def missing(environ: Mapping[str, str], needed: Sequence[str] = FABRIC_PROGRAMS) -> list[Finding]:
    """Finds programs that are neither on PATH nor in FABRIC_BIN."""
    remedy = f"{GET_FABRIC}; put its bin directory on PATH or into FABRIC_BIN."
    return [
        Finding(f"the program {name} was not found", remedy) for name in needed if find_program(name, environ) is None
    ]


def silent_docker(environ: Mapping[str, str]) -> list[Finding]:
    """Finds a Docker that does not answer, or has no Compose."""
    try:
        Docker.find(environ)
    except DockerError as error:
        return [Finding(error.message, error.remedy)]
    return []


def versions_apart(environ: Mapping[str, str]) -> list[Finding]:
    """Finds programs of Fabric's that are of another version than the peer, or too old."""
    found = {name: version(path) for name in FABRIC_PROGRAMS if (path := find_program(name, environ)) is not None}
    own = {name: said for name, said in found.items() if said and not name.startswith("fabric-ca-")}
    findings = [
        Finding(f"{name} is of Fabric {_text(said)}, which is too old", "Fabric 2.5 and newer are supported.")
        for name, said in own.items()
        if said[:2] < (2, 5)
    ]
    peer = own.get("peer")
    findings += [
        Finding(f"{name} is of Fabric {_text(said)}, and peer of {_text(peer)}", "Use programs of one release.")
        for name, said in own.items()
        if peer and said[:2] != peer[:2]
    ]
    return findings


def version(path: Path) -> tuple[int, ...]:
    """Returns the version that a program says; empty where it says none."""
    argument = _VERSION_ARGUMENT.get(path.name, "version")
    if argument is None:
        return ()
    try:
        done = subprocess.run([path, argument], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    said = re.search(r"Version: v?(\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    return tuple(map(int, said.groups())) if said else ()


def _text(version_: tuple[int, ...]) -> str:
    return ".".join(map(str, version_))
