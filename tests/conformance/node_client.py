"""The official Node gateway client, as tests/conformance/node drives it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import node_programs

FOLDER = Path(__file__).with_name("node")
_WHAT = "the official gateway client"

needs_node = node_programs.needs_node(_WHAT)


def run(script: str, settings_json: str, timeout: float = 90) -> str:
    """Run a program of the folder with settings on its standard input; return its output."""
    finished = subprocess.run(
        ["node", FOLDER / script],
        check=False,
        input=settings_json,
        env=node_programs.node_environment(FOLDER, _WHAT),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
