"""Determinism: the same bytes in every process, and rules that could not do otherwise."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fl_chaincode

PACKAGE = Path(fl_chaincode.__file__).parent
SHELL = ("__main__.py", "server.py", "memory.py", "caller.py", "reference.py")  # around the rules, not among them
RULES = sorted(path for path in PACKAGE.glob("*.py") if path.name not in SHELL)

PLAY = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from contract_scenario import *
scenario = Scenario()
written = hashlib.sha256()
def record(*call):
    transaction = Scenario.endorse(scenario, *call)
    written.update(repr((sorted(transaction.state.reads.items()), list(transaction.state.writes.items()),
                         transaction.outcome)).encode())
    return transaction
scenario.endorse = record
for one in scenario.organisations:
    scenario.declare(one)
stop = {"metric": "loss", "direction": "min", "patience": 9}
scenario.create(budget=1000, rounds=5, trainers=[ORG3, ORG2, ORG1], purpose="sepsis", stop=stop)
for one in (ORG3, ORG1):
    scenario.call(one, "validators:Vote", TASK, {"term": 0, "validators": [ORG3, ORG2], "q": 2})
scores = {ORG3: 3, ORG1: 1, ORG2: 2}
scenario.play(1, scores=scores)
for one in scenario.organisations:
    scenario.open(one, 1, scores)
scenario.submit(ORG1, 2)
for one in (ORG2, ORG3):
    blamed = {"refused": {ORG3: "FL-BLOB-SIZE", ORG1: "FL-BLOB-BOUND", ORG2: "FL-BLOB-SIZE"}}
    scenario.call(one, "rounds:Vote", TASK, 2, "abort", 0, blamed)
scenario.call(ORG3, "rounds:Abort", TASK, 2)
scenario.play(3, scores=scores)
scenario.carry("suspend", ORG1)
scenario.call(ORG2, "declarations:Revoke", "sepsis", 1)
scenario.call(ORG3, "tasks:Cancel", TASK)
for function in ("tasks:Status", "scores:List", "rounds:List", "models:List", "validators:Read"):
    scenario.read(function, TASK)
print(written.hexdigest())
"""


def play(seed: str, zone: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
    command = [sys.executable, "-c", PLAY, str(Path(__file__).parent)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_two_processes_with_other_hash_seeds_and_time_zones_read_and_write_the_same_bytes():
    first = play("1", "UTC")
    assert len(first.strip()) == 64
    assert play("4242", "Asia/Tokyo") == first


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_import_nothing_that_differs_between_processes(path):
    allowed = {"collections", "dataclasses", "contextlib", "types", "typing", "fl_chaincode", "re", "hashlib", "json"}
    assert imported(ast.parse(path.read_text())) <= allowed


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_have_no_float_no_division_no_set_and_no_state_of_the_module(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
        assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div | ast.Pow)) or (
            isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant)  # 2**63
        )
        assert not isinstance(node, ast.Set | ast.SetComp | ast.Global | ast.Nonlocal)
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        assert called not in ("set", "float", "hash", "id", "round", "divmod", "open", "print", "eval", "exec")


def test_importing_the_rules_takes_neither_grpc_nor_cryptography():
    code = (
        "import sys, fl_chaincode; print([m for m in ('grpc', 'cryptography', 'google.protobuf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
