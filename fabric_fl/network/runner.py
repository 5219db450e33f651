"""What starts, watches and ends the programs of a network: supervisord, or Docker Compose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fabric_fl.network.docker.compose import Compose
from fabric_fl.network.home import Home
from fabric_fl.network.processstatus import ProcessStatus
from fabric_fl.network.program import Program
from fabric_fl.network.supervision import Supervisor


class Runner(Protocol):
    """Runs programs; both of its kinds do the same."""

    def is_running(self) -> bool:
        """Whether anything was started and not ended."""

    def processes(self) -> list[ProcessStatus]:
        """Returns the state of every program; none when the network is down."""

    def what_cannot_start(self) -> str:
        """Returns a sentence about a program that ends as soon as it is started, "" while there is none."""

    def prepare(self, programs: Sequence[Program], tell: Callable[[str], None]) -> None:
        """Fetches what the programs consist of; `tell` is given lines for people."""

    def run(self, programs: Sequence[Program]) -> None:
        """Makes exactly `programs` run."""

    def restart(self, name: str) -> None:
        """Ends a program and starts it again."""

    def shutdown(self) -> None:
        """Ends every program."""

    def log_command(self, name: str | None, lines: int, *, follow: bool) -> list[str]:
        """Returns the command that prints the last lines of what the programs said."""


def runner_of(home: Home, runtime: str | None = None) -> Runner:
    """Returns what runs the network in `home`.

    Args:
        home: The network's directory.
        runtime: native or docker; None for what its last `up` took.
    """
    in_docker = Compose.file(home).exists() if runtime is None else runtime == "docker"
    return Compose(home) if in_docker else Supervisor(home)
