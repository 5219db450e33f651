"""Fabric's own programs, run with an environment that holds nothing but what they are told."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network.errors import EngineError, NotReadyError
from fabric_fl.network.program import program_environment

_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ToolError(EngineError):
    """A program of Fabric's failed.

    Attributes:
        output: All that it printed.
    """

    code = "FL-NETWORK-FABRIC"
    remedy = "`fabric-fl network logs` shows what the other side said; `fabric-fl network up` goes on from here."

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True)
class Tools:
    """Where the programs lie."""

    programs: Mapping[str, Path]

    def run(self, program: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Runs a program to its end and returns what it printed to stdout.

        Raises:
            ToolError: It failed, or did not end in time.
        """
        command = [str(self.programs[program]), *map(str, arguments)]
        shown = " ".join([program, *(str(one) for one in arguments[:3])])
        try:
            done = subprocess.run(
                command,
                env={**program_environment(os.environ), **(environment or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{shown} did not end within {_SECONDS:.0f} s", "") from error
        except OSError as error:
            raise ToolError(f"{shown} cannot be started: {error.strerror}", "") from error
        if done.returncode:
            output = _ANSI.sub("", f"{done.stdout}\n{done.stderr}").strip()
            raise ToolError(f"{shown}: {_last_line(output)}", output)
        return done.stdout

    def version(self) -> tuple[int, int, int]:
        """Returns Fabric's version.

        Raises:
            ToolError: The program does not say.
        """
        said = self.run("peer", "version")
        found = re.search(r"Version: v?(\d+)\.(\d+)\.(\d+)", said)
        if found is None:
            raise ToolError(f"peer version says {said.strip().splitlines()[:1]}, which is no version", said)
        major, minor, patch = map(int, found.groups())
        return major, minor, patch


def until_it_works(act: Callable[[], str], deadline: float, died: Callable[[], str]) -> str:
    """Does something again and again until it succeeds, and returns its answer.

    Args:
        act: Raises ToolError while it does not succeed.
        deadline: By `time.monotonic`.
        died: Says which program cannot start, "" while all can: then nobody needs to wait any longer.

    Raises:
        NotReadyError: It did not succeed in time.
    """
    while True:
        try:
            return act()
        except ToolError as error:
            if dead := died():
                raise NotReadyError(dead) from error
            if time.monotonic() > deadline:
                raise NotReadyError(error.message, remedy=error.remedy) from error
        time.sleep(_PAUSE_SECONDS)


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("Error:", "osnadmin: error:"))]
    return (errors or lines or ["it said nothing"])[-1]
