"""Tests that need Fabric's own programs: skipped with one line where they are missing."""

import os

import pytest

from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program

MISSING = [name for name in FABRIC_PROGRAMS if find_program(name, os.environ) is None]

needs_fabric = [
    pytest.mark.fabric,
    pytest.mark.skipif(
        bool(MISSING),
        reason="Fabric's programs are neither on PATH nor in FABRIC_BIN: networks of them were not tried",
    ),
]
