"""The network's programs under Docker Compose, which starts, restarts (with back-off) and ends them."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fabric_fl.fabric.mspdir import make_private, write_private
from fabric_fl.network.docker.client import Docker
from fabric_fl.network.docker.composefile import project, render
from fabric_fl.network.errors import DockerError, NoNetworkError
from fabric_fl.network.home import Home
from fabric_fl.network.processstatus import ProcessStatus
from fabric_fl.network.program import Program
from fabric_fl.network.supervisorconf import STOP_SECONDS

_IMAGE_SECONDS = 900.0  # an image comes over the network
_UP_SECONDS = 120.0
_SERVICE = "com.docker.compose.service"
_PROJECT = "com.docker.compose.project"
# in supervisord's words, which `status` shows
_STATES = {"running": "RUNNING", "restarting": "BACKOFF", "created": "STARTING", "paused": "STOPPED"}


class Compose:
    """Talks to Docker about one network.

    Args:
        home: The network's directory.
        docker: The program; None finds it at the first call.
    """

    def __init__(self, home: Home, docker: Docker | None = None) -> None:
        self._home = home
        self._found = docker

    @staticmethod
    def file(home: Home) -> Path:
        """Where compose.yaml lies: there is one exactly where a network runs in Docker."""
        return home.root / "compose.yaml"

    def is_running(self) -> bool:
        return bool(self._ids())

    def processes(self) -> list[ProcessStatus]:
        """Returns the state of every container; none when the network is down.

        Raises:
            DockerError: Docker does not answer.
        """
        ids = self._ids()
        containers: list[dict[str, Any]] = json.loads(self._docker.run("inspect", *ids)) if ids else []
        return sorted(map(_status, containers), key=lambda one: one.name)

    def what_cannot_start(self) -> str:
        """Returns a sentence about a program that ends as soon as it is started, "" while there is none."""
        for process in self.processes():
            if process.state in ("BACKOFF", "EXITED"):
                return f"{process.name} ended as soon as it was started: {self._last_line(process.name)}"
        return ""

    def prepare(self, programs: Sequence[Program], tell: Callable[[str], None]) -> None:
        """Has every image here before anything is started; `tell` is given a line for each that takes time.

        Raises:
            DockerError: An image can be neither built nor pulled.
        """
        images = {one.container.image: one.container.build for one in programs if one.container is not None}
        for image, source in images.items():
            if self._docker.has_image(image):
                continue
            if source is not None:
                tell(f"Building the image {image} from {source}.")
                self._docker.run("build", "--tag", image, str(source), seconds=_IMAGE_SECONDS)
            elif "/" not in image:
                raise DockerError(
                    f"the image {image} of the chaincode is not here, and its Dockerfile is not beside the package",
                    remedy=f"In a checkout of this version: docker build --tag {image} chaincode",
                )
            else:
                tell(f"Pulling the image {image}.")
                self._docker.run("pull", "--quiet", image, seconds=_IMAGE_SECONDS)

    def run(self, programs: Sequence[Program]) -> None:
        """Makes exactly `programs` run: starts what is missing, ends what is no longer wanted.

        Raises:
            DockerError: Docker refused.
        """
        for one in programs:
            for path in one.container.writes if one.container is not None else ():
                # made by Docker it would be root's
                make_private(self._home.root / path)
        temporary = self.file(self._home).with_suffix(".tmp")
        write_private(temporary, render(self._home, list(programs)).encode())
        temporary.replace(self.file(self._home))
        self._compose("up", "--detach", "--no-build", "--remove-orphans", seconds=_UP_SECONDS)

    def restart(self, name: str) -> None:
        """Ends the program and starts it again.

        Raises:
            NoNetworkError: There is no such program.
        """
        known = [process.name for process in self.processes()]
        if name not in known:
            listed = f"known are {', '.join(known)}" if known else "the network is down"
            raise NoNetworkError(f"there is no program {name}: {listed}")
        self._compose("restart", "--timeout", str(STOP_SECONDS), name, seconds=_UP_SECONDS)

    def shutdown(self) -> None:
        """Ends every container and removes it; what they wrote lies in the network's directory and stays."""
        self._compose("down", "--timeout", str(STOP_SECONDS), "--remove-orphans", seconds=_UP_SECONDS)

    def log_command(self, name: str | None, lines: int, *, follow: bool) -> list[str]:
        """Returns the command that prints what the programs said.

        Raises:
            NoNetworkError: There is no such program.
        """
        if name is not None and name not in [process.name for process in self.processes()]:
            raise NoNetworkError(f"there is no log of {name}")
        arguments = ["logs", "--no-color", "--tail", str(lines), *(["--follow"] if follow else [])]
        return [str(self._docker.program), *self._words(), *arguments, *([name] if name else [])]

    @property
    def _docker(self) -> Docker:
        if self._found is None:
            self._found = Docker.find(os.environ)
        return self._found

    def _words(self) -> list[str]:
        return ["compose", "--project-name", project(self._home), "--file", str(self.file(self._home))]

    def _compose(self, *arguments: str, seconds: float) -> str:
        return self._docker.run(*self._words(), *arguments, seconds=seconds)

    def _ids(self) -> list[str]:
        return self._docker.run(
            "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={_PROJECT}={project(self._home)}"
        ).split()

    def _last_line(self, name: str) -> str:
        said = self._compose("logs", "--no-color", "--no-log-prefix", "--tail", "1", name, seconds=20).strip()
        return said.splitlines()[-1] if said else "it said nothing"


def _status(container: dict[str, Any]) -> ProcessStatus:
    state = container["State"]
    health = state.get("Health", {}).get("Status", "")
    words = [state["Status"], health, f"restarted {count} times" if (count := container.get("RestartCount")) else ""]
    return ProcessStatus(
        name=container["Config"]["Labels"][_SERVICE],
        state=_STATES.get(state["Status"], "EXITED"),
        pid=state["Pid"],
        uptime_s=_seconds_since(state["StartedAt"]) if state["Pid"] else 0,
        detail=", ".join(filter(None, words)),
    )


def _seconds_since(moment: str) -> int:
    """Reads RFC 3339; Docker writes nanoseconds, which Python does not take."""
    began = datetime.datetime.fromisoformat(moment[:19]).replace(tzinfo=datetime.UTC)
    return max(0, int((datetime.datetime.now(datetime.UTC) - began).total_seconds()))
