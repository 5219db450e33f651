"""A network for tests and benchmarks: devnet and one chaincode process for each organisation, real processes all.

    with Network(organizations=3) as network:
        with network.gateway("org1") as gateway:
            gateway.network("fl").contract("fl").submit("consortium:Init")
        network.kill("devnet")
        network.start("devnet")

Everything listens on free ports of loopback and lies in one directory; whatever was started is ended in the end,
each process by its own id.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.config import ChaincodeConfig, DevnetConfig, OrdererConfig, OrganizationConfig
from fabric_fl.devnet.control import request_fault
from fabric_fl.errors import FabricFLError
from fabric_fl.gateway import Contract, EvaluateError, Gateway, connect
from fabric_fl.network.ports import free_ports

DEVNET = "devnet"
FL_CHAINCODE = (sys.executable, "-m", "fl_chaincode")
ALL_ROLES = {"fl.roles": "trainer,validator,coordinator,auditor,admin"}

_PAUSE = 0.05
_STOP_SECONDS = 10.0


class NetworkError(RuntimeError):
    """A process did not start, or ended by itself; the text holds the end of its log."""


class Network:
    """Devnet and its chaincodes, started on entry and ended on exit.

    Args:
        organizations: How many: org1, org2, … with Org1MSP, Org2MSP, ….
        endorsing: How many of them, from org1 on, run the chaincode; a majority of these endorses. The others' peers
            run none, and their gateways ask those that do. None for all.
        directory: Where everything lies; None for a temporary one that is removed in the end.
        chaincode: The chaincode's name.
        command: Starts one organisation's chaincode process.
        environment: Added to each chaincode process's environment.
        settings: Changes to devnet's configuration, such as ``endorsement="any"`` or ``execution="once"``.
        time_limit: Seconds until everything must be ready.
    """

    def __init__(
        self,
        organizations: int = 2,
        *,
        endorsing: int | None = None,
        directory: Path | None = None,
        chaincode: str = "fl",
        command: Sequence[str] = FL_CHAINCODE,
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        time_limit: float = 30.0,
    ) -> None:
        self.names = tuple(f"org{number}" for number in range(1, organizations + 1))
        self.msp_ids = tuple(f"Org{number}MSP" for number in range(1, organizations + 1))
        self._endorsing = dict(list(zip(self.names, self.msp_ids, strict=True))[:endorsing])
        self.chaincode = chaincode
        self.channel = "fl"
        self._time_limit = time_limit
        self._temporary = tempfile.TemporaryDirectory(prefix="fabric-fl-") if directory is None else None
        self.directory = Path(self._temporary.name) if self._temporary is not None else Path(directory or ".").resolve()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = iter(free_ports(2 * organizations + len(self._endorsing) + 1))
        addresses = {msp_id: f"127.0.0.1:{next(ports)}" for msp_id in self._endorsing.values()}
        self.config = DevnetConfig(
            **{
                "organizations": tuple(
                    OrganizationConfig(name, msp_id, peer_port=next(ports), ca_port=next(ports))
                    for name, msp_id in zip(self.names, self.msp_ids, strict=True)
                ),
                "orderer": OrdererConfig(port=next(ports)),
                "output": self.directory,
                "control_port": 0,
                "state": self.directory / DEVNET,
                "client_attributes": ALL_ROLES,
                "endorsement": "majority" if endorsing is None else _majority(addresses),
                "chaincodes": (
                    ChaincodeConfig(chaincode, {msp_id: ChaincodeServer(at) for msp_id, at in addresses.items()}),
                ),
                **(settings or {}),
            }
        )
        self._commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
            DEVNET: ((sys.executable, "-m", "fabric_fl.devnet", "devnet.json", "--ready-file", "ready.json"), {})
        }
        for name, msp_id in self._endorsing.items():
            self._commands[f"{chaincode}-{name}"] = (
                command,
                {
                    "CHAINCODE_ID": f"{chaincode}_1.0",
                    "CHAINCODE_SERVER_ADDRESS": addresses[msp_id],
                    "FL_CONSORTIUM": ",".join(self.msp_ids),
                    **(environment or {}),
                },
            )

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of all processes: ``devnet`` and ``<chaincode>-<organisation>``."""
        return tuple(self._commands)

    def organization(self, name: str) -> Path:
        """Returns the folder with an organisation's connection profile, identities and TLS roots."""
        return self.directory / name

    def gateway(self, name: str = "org1") -> AbstractContextManager[Gateway]:
        """Connects as an organisation's client to its own gateway."""
        return connect(self.organization(name))

    def pid(self, name: str) -> int:
        """Returns the id of a running process."""
        return self._processes[name].pid

    def log(self, name: str) -> Path:
        """Returns where a process writes what it has to say."""
        return self.directory / "logs" / f"{name}.log"

    def start(self, name: str) -> None:
        """Starts a process that does not run; devnet serves when this returns, a chaincode soon after.

        Raises:
            NetworkError: It ended again at once.
        """
        if name in self._processes:
            raise NetworkError(f"{name} runs already")
        command, environment = self._commands[name]
        ready = self.directory / "ready.json"
        if name == DEVNET:
            ready.unlink(missing_ok=True)
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if name == DEVNET:
            self._wait(ready.is_file)

    def fault(self, name: str, **arguments: Any) -> Any:
        """Asks devnet for a fault, such as ``fault("lag", msp_id="Org2MSP")``: see `fabric_fl.devnet.faults`.

        Raises:
            ValueError: There is no such fault, or it has other arguments.
        """
        port = json.loads((self.directory / "ready.json").read_text())["control"]
        return request_fault(port, name, **arguments)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Ends a process with a signal, by default the one that it cannot see, and waits for its end."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(_STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Kills a process and starts it again."""
        self.kill(name)
        self.start(name)

    def wait_until_ready(self) -> None:
        """Returns when every endorsing organisation's gateway has its own peer execute the chaincode.

        Raises:
            NetworkError: A process ended, or time is up.
        """
        for name, msp_id in self._endorsing.items():
            server = self.config.chaincodes[0].servers[msp_id]
            self._wait(lambda: _listens(server.address))  # noqa: B023 -- called at once
            with self.gateway(name) as gateway:
                contract = gateway.network(self.channel).contract(self.chaincode)
                self._wait(lambda: _executes(contract, msp_id))  # noqa: B023 -- called at once

    def __enter__(self) -> Self:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / "devnet.json").write_text(self.config.to_json())
            for name in reversed(self._commands):  # devnet, for which one has to wait, last
                self.start(name)
            self._write_participant_files()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process that runs, gently at first, and removes a temporary directory."""
        processes = dict(self._processes)
        self._processes.clear()
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._time_limit
        while not condition():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise NetworkError(f"{name} ended with status {process.returncode}:\n{self._tail(name)}")
            if time.monotonic() > deadline:
                tails = "\n".join(f"{name}:\n{self._tail(name)}" for name in self._processes)
                raise NetworkError(f"the network is not ready after {self._time_limit:.0f} s\n{tails}")
            time.sleep(_PAUSE)

    def _tail(self, name: str) -> str:
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-20:])

    def _write_participant_files(self) -> None:
        for name, msp_id in zip(self.names, self.msp_ids, strict=True):
            others = zip(self.names, self.msp_ids, strict=True)
            record = {
                "schema": 1,
                "msp_id": msp_id,
                "channel": self.channel,
                "chaincode": self.chaincode,
                "private": "private",
                "store": "blobs",
                "stores": {other: f"../{folder}/blobs" for folder, other in others if other != msp_id},
            }
            (self.organization(name) / "participant.json").write_text(json.dumps(record, indent=2) + "\n")


def _majority(msp_ids: Collection[str]) -> str:
    peers = ", ".join(f"'{msp_id}.peer'" for msp_id in msp_ids)
    return f"OutOf({len(msp_ids) // 2 + 1}, {peers})"


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def _executes(contract: Contract, msp_id: str) -> bool:
    try:
        contract.new_proposal("", endorsing_organizations=[msp_id]).evaluate()
    except EvaluateError as error:
        # A chaincode that refuses has been executed: that is all we want to know.
        return any(detail.message.startswith("chaincode response") for detail in error.details)
    except FabricFLError:
        return False
    return True
