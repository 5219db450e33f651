"""Dependencies point one way: cli → participant, validator, audit → learning, aggregation → gateway → fabric."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fabric_fl"
FOR_TESTS = {"testing", "pytest_plugin"}
"""Modules that start networks for tests, ours and others'."""
# what stands at the left imports nothing of what stands at the right
FORBIDDEN = {
    "fabric": {"aggregation", "audit", "blobs", "cli", "devnet", "gateway", "learning", "ledger", "network", "scoring"},
    "gateway": {"aggregation", "audit", "blobs", "cli", "devnet", "learning", "ledger", "network", "scoring"},
    "aggregation": {"audit", "cli", "devnet", "fabric", "gateway", "learning", "network", "scoring"},
    "audit": {"cli", "devnet", "learning", "network", "participant", "validator"},
    "devnet": {"aggregation", "audit", "blobs", "cli", "gateway", "learning", "ledger", "network", "scoring"},
}


def imports() -> Iterator[tuple[str, str]]:
    """Yields which part of the package imports which other."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                package, _, rest = name.partition(".")
                if package == "fabric_fl" and rest:
                    yield part, rest.partition(".")[0]


@pytest.mark.parametrize("part", sorted(FORBIDDEN))
def test_a_part_imports_nothing_of_what_stands_above_it(part: str) -> None:
    found = {target for source, target in imports() if source == part}

    assert found  # the graph was read
    assert found & FORBIDDEN[part] == set()


def test_nothing_but_the_command_line_and_what_serves_tests_imports_devnet_cli_or_network() -> None:
    found = {
        (source, target) for source, target in imports() if target in {"devnet", "cli", "network"} and source != target
    }

    assert {source for source, _ in found} <= {"cli", *FOR_TESTS}
    assert found >= {("cli", "network"), ("testing", "devnet")}


def test_what_verifies_an_export_loads_neither_a_ledger_nor_tensorflow() -> None:
    program = "import sys; from fabric_fl.audit import verify; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "fabric_fl.audit.verification" in loaded
    heavy = ("tensorflow", "tensorflow_federated", "fabric_fl.devnet", "fabric_fl.network", "fabric_fl.learning")
    assert [name for name in loaded if name.startswith(heavy)] == []
