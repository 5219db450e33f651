"""The ledgers that can stand below a network, and which one is taken."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fabric_fl.network.devnet import DevnetEngine
from fabric_fl.network.docker.client import Docker
from fabric_fl.network.errors import EngineError
from fabric_fl.network.fabric.engine import FabricEngine
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan
from fabric_fl.network.program import Program
from fabric_fl.network.runner import Runner

FABRIC_PROGRAMS = ("peer", "orderer", "configtxgen", "osnadmin", "fabric-ca-server", "fabric-ca-client")
# What is run once, and not by an image of Fabric's: its images hold the servers alone.
CLIENT_PROGRAMS = ("peer", "configtxgen", "osnadmin")
GET_FABRIC = "https://hyperledger-fabric.readthedocs.io/en/latest/install.html says how to get Hyperledger Fabric"


class Engine(Protocol):
    """A ledger: it renders its configuration and says which programs make it up.

    Attributes:
        name: fabric or devnet.
        runtime: native, or docker where the programs run in containers.
    """

    name: str
    runtime: str

    def check(self, plan: Plan) -> None:
        """Raises EngineError when this engine cannot run such a network."""

    def programs(self, plan: Plan, home: Home) -> list[Program]:
        """Writes the engine's configuration below `home` and returns what must run."""

    def bring_up(
        self, plan: Plan, home: Home, wanted: Sequence[Program], supervisor: Runner, tell: Callable[[str], None]
    ) -> None:
        """Makes `wanted`, what `programs` returned, run in the engine's order; `tell` is given lines for people."""


def choose_engine(asked: str | None, environ: Mapping[str, str] = os.environ) -> tuple[Engine, str]:
    """Returns the engine, and one line about what that means.

    Args:
        asked: fabric or devnet; None leaves it to the variable ENGINE and then to what is installed.
        environ: Where ENGINE, FABRIC_RUNTIME, PATH and FABRIC_BIN are read.

    Raises:
        EngineError: The engine or the runtime that was asked for is not there.
    """
    name = asked or environ.get("ENGINE") or "auto"
    if name not in ("auto", "devnet", "fabric"):
        raise EngineError(f"there is no engine {name!r}", remedy="ENGINE is fabric or devnet.")
    runtime = environ.get("FABRIC_RUNTIME") or "native"
    if runtime not in ("docker", "native"):
        raise EngineError(f"there is no runtime {runtime!r}", remedy="FABRIC_RUNTIME is native or docker.")
    if name == "devnet":
        return DevnetEngine(), "devnet: the embedded ledger, one process without fault tolerance or decentralisation."
    if runtime == "docker":
        Docker.find(environ)
    needed = CLIENT_PROGRAMS if runtime == "docker" else FABRIC_PROGRAMS
    found = {program: find_program(program, environ) for program in needed}
    binaries = {program: path for program, path in found.items() if path is not None}
    missing = [program for program in found if program not in binaries]
    if not missing:
        where = f"its programs from {binaries['peer'].parent}"
        if runtime == "docker":
            return FabricEngine(binaries, runtime), f"Hyperledger Fabric in Docker's containers, {where} around them."
        return FabricEngine(binaries), f"Hyperledger Fabric, {where}."
    if name == "fabric" or runtime == "docker":
        containers = "; there are no images of these" if runtime == "docker" else ""
        raise EngineError(
            f"{', '.join(missing)} not found on PATH or in FABRIC_BIN{containers}",
            remedy=f"{GET_FABRIC}; ENGINE=devnet starts the embedded ledger, which needs nothing.",
        )
    return DevnetEngine(), (
        "No Hyperledger Fabric was found on PATH or in FABRIC_BIN, so this is devnet: the same protocols from one "
        f"process, without fault tolerance or decentralisation; {GET_FABRIC}."
    )


def find_program(name: str, environ: Mapping[str, str]) -> Path | None:
    """Returns where a program of Fabric's lies: FABRIC_BIN (a colon-separated list) goes before PATH."""
    found = shutil.which(name, path=os.pathsep.join((environ.get("FABRIC_BIN", ""), environ.get("PATH", ""))))
    return Path(found) if found else None
