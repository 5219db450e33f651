"""The network's processes under supervisord, which starts, restarts (with back-off) and ends them."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from fabric_fl.network import leftovers
from fabric_fl.network.errors import NetworkError, NoNetworkError
from fabric_fl.network.home import Home
from fabric_fl.network.processstatus import ProcessStatus
from fabric_fl.network.program import Program, program_environment
from fabric_fl.network.supervisorconf import STOP_SECONDS, render

_START_SECONDS = 10.0
_ENDED = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


class Supervisor:
    """Talks to the supervisord of one network over its Unix socket."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def is_running(self) -> bool:
        try:
            with self._rpc() as rpc:
                rpc.getPID()
        except xmlrpc.client.Fault:  # it is shutting down
            return True
        except _ENDED:
            return False
        return True

    def processes(self) -> list[ProcessStatus]:
        """Returns the state of every program; none when supervisord does not run."""
        try:
            with self._rpc() as rpc:
                infos: list[dict[str, Any]] = rpc.getAllProcessInfo()
        except (*_ENDED, xmlrpc.client.Fault):  # a Fault: it is shutting down
            return []
        return [
            ProcessStatus(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                uptime_s=max(0, info["now"] - info["start"]) if info["pid"] else 0,
                detail=info["spawnerr"] or info["description"],
            )
            for info in infos
        ]

    def what_cannot_start(self) -> str:
        """Returns a sentence about a program that ends as soon as it is started, "" while there is none."""
        for process in self.processes():
            if process.state in ("BACKOFF", "FATAL"):
                return f"{process.name} ended as soon as it was started: {self._last_line(process.name)}"
        return ""

    def prepare(self, programs: Sequence[Program], tell: Callable[[str], None]) -> None:
        """Does nothing: what runs natively is here, or was not found."""

    def run(self, programs: Sequence[Program]) -> None:
        """Makes exactly `programs` run: starts what is missing or was given up, ends what is no longer wanted."""
        self._home.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._home.supervisor_config.write_text(render(self._home, programs))
        if not self.is_running():
            self._start_supervisord()
            return
        # also when the file says nothing new: an `up` that was interrupted may have written it and got no further
        self._reload()
        self._start_given_up()

    def restart(self, name: str) -> None:
        """Ends the program and starts it again.

        Raises:
            NoNetworkError: There is no such program.
        """
        known = [process.name for process in self.processes()]
        if name not in known:
            listed = f"known are {', '.join(known)}" if known else "the network is down"
            raise NoNetworkError(f"there is no program {name}: {listed}")
        with self._rpc() as rpc:
            with suppress(xmlrpc.client.Fault):  # it does not run
                rpc.stopProcess(name)
            rpc.startProcess(name, False)

    def shutdown(self) -> None:
        """Ends every program, then supervisord, and returns when all are gone."""
        with suppress(*_ENDED), self._rpc() as rpc:
            rpc.shutdown()
        deadline = time.monotonic() + STOP_SECONDS + 5
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.05)
        # also what outlived a supervisord that was killed
        leftovers.end(self._home, grace_s=STOP_SECONDS)

    def log_command(self, name: str | None, lines: int, *, follow: bool) -> list[str]:
        """Returns the command that prints what the programs said.

        Raises:
            NoNetworkError: There is no such log.
        """
        wanted = [path for path in sorted(self._home.logs.glob("*.log")) if name in (None, path.stem)]
        if not wanted:
            raise NoNetworkError(f"there is no log of {name or 'a network'} in {self._home.logs}")
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, wanted)]

    def _start_supervisord(self) -> None:
        leftovers.end(self._home, grace_s=STOP_SECONDS)
        log = self._home.logs / "supervisord.log"
        with log.open("ab") as output:
            started = subprocess.run(
                [sys.executable, "-m", "supervisor.supervisord", "-c", self._home.supervisor_config.name],
                cwd=self._home.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**program_environment(os.environ), **leftovers.mark(self._home)},
                check=False,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_running():
            if started.returncode or time.monotonic() > deadline:
                raise NetworkError(f"supervisord did not start; {log} says why")
            time.sleep(0.02)

    def _last_line(self, name: str) -> str:
        try:
            lines = (self._home.logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it said nothing"
        return lines[-1] if lines else "it said nothing"

    def _reload(self) -> None:
        with self._rpc() as rpc:
            ((added, changed, removed),) = rpc.reloadConfig()
            for group in [*changed, *removed]:
                rpc.stopProcessGroup(group)
                rpc.removeProcessGroup(group)
            for group in [*added, *changed]:
                rpc.addProcessGroup(group)

    def _start_given_up(self) -> None:
        idle = [process.name for process in self.processes() if process.state in ("STOPPED", "EXITED", "FATAL")]
        with self._rpc() as rpc:
            for name in idle:
                with suppress(xmlrpc.client.Fault):  # it has started by itself since
                    rpc.startProcess(name, False)

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(serverurl=f"unix://{self._home.supervisor_socket}")
        # the address here is a formality: the transport knows the socket
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            yield proxy.supervisor
