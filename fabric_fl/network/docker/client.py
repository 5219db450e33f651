"""The `docker` program, found on PATH and given a time limit for every call."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network.errors import DockerError

_ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Docker:
    """Where the program lies."""

    program: Path

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> Docker:
        """Returns the program after it has answered.

        Raises:
            DockerError: It is not there, its engine does not answer, or it has no Compose.
        """
        found = shutil.which("docker", path=environ.get("PATH", ""))
        if found is None:
            raise DockerError("FABRIC_RUNTIME=docker, and there is no docker on the PATH")
        docker = cls(Path(found))
        docker.run("info", "--format", "{{.ServerVersion}}")
        try:
            docker.run("compose", "version", "--short")
        except DockerError as error:
            raise DockerError("docker has no Compose: `docker compose version` fails") from error
        return docker

    def run(self, *arguments: str, seconds: float = _ANSWER_SECONDS) -> str:
        """Runs a command of Docker's to its end and returns what it printed to stdout.

        Raises:
            DockerError: It failed, or did not end in time.
        """
        shown = " ".join(["docker", *(one for one in arguments[:4] if not one.startswith(("-", "/", "{")))])
        try:
            done = subprocess.run(
                [str(self.program), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DockerError(f"{shown} did not end within {seconds:.0f} s") from error
        except OSError as error:
            raise DockerError(f"{shown} cannot be started: {error.strerror}") from error
        if done.returncode:
            said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
            raise DockerError(f"{shown}: {said[-1].strip() if said else f'exit code {done.returncode}'}")
        return done.stdout

    def has_image(self, image: str) -> bool:
        try:
            self.run("image", "inspect", image)
        except DockerError:
            return False
        return True
