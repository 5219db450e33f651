"""The stand-in for Docker, put on the PATH."""

import json
import os
import sys
from pathlib import Path

import yaml

STAND_IN = Path(__file__).with_name("docker_stand_in.py")


class StandIn:
    """Where it lies and what it was asked."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def calls(self) -> list[list[str]]:
        path = self.place / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def forget(self) -> None:
        (self.place / "calls").unlink(missing_ok=True)

    def mark(self, name: str) -> None:
        (self.place / name).touch()


def put_on_path(folder: Path, monkeypatch) -> StandIn:
    """Makes `docker` the stand-in for this test."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "docker"
    # -S: an interpreter that looks at no installed package's start-up files starts in a tenth of the time
    packages = Path(yaml.__file__).parents[1]
    program.write_text(
        f'#!/bin/sh\nDOCKER_STAND_IN="{folder}" PYTHONPATH="{packages}" exec "{sys.executable}" -S "{STAND_IN}" "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return StandIn(folder)
