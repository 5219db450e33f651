"""Mutants of the rules: a wrong rule fails the checks, so the checks are worth something."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from mutant_checks import CHECKS
from mutants import MUTANTS, WALK, Mutant
from soaking import SOAKING

import fl_chaincode

HERE = Path(__file__).parent
RULES = Path(fl_chaincode.__file__).parent
AT_LEAST = 18
FEW = tuple(one for one in MUTANTS if one.killed_by != WALK) + MUTANTS[:2]


def failing(folder: Path, mutant: Mutant | None, checks: Iterable[str]) -> list[str]:
    """Return which checks fail with a copy of the rules that has one thing wrong, or nothing."""
    copy = folder / "fl_chaincode"
    shutil.copytree(RULES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        file = copy / f"{mutant.file}.py"
        text = file.read_text()
        assert text.count(mutant.right) == 1, f"{mutant.what}: the rules have changed, and so must the mutant"
        file.write_text(text.replace(mutant.right, mutant.wrong))
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{HERE}:{HERE.parent}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(HERE / "mutant_checks.py"), *checks]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    answer = json.loads(done.stdout)
    assert Path(answer["rules"]).parent == copy, "the mutant was not what ran"
    return list(answer["failing"])


def test_the_right_rules_pass_every_check(tmp_path):
    assert failing(tmp_path, None, CHECKS) == []


def test_there_are_twenty_different_mutants_that_still_fit_the_rules():
    assert len({(one.file, one.right, one.wrong) for one in MUTANTS}) == len(MUTANTS) == 20
    for one in MUTANTS:
        assert (RULES / f"{one.file}.py").read_text().count(one.right) == 1, one.what
        assert one.killed_by in CHECKS


@pytest.mark.soak
def test_the_checks_kill_the_mutants(tmp_path, record_property):
    tried = MUTANTS if SOAKING else FEW
    killed = [
        one.what
        for number, one in enumerate(tried)
        if failing(tmp_path / str(number), one, [one.killed_by]) == [one.killed_by]
    ]
    record_property("count", len(tried))
    survivors = [one.what for one in tried if one.what not in killed]
    record_property("killed", len(killed))
    record_property("survived", survivors)
    assert len(survivors) <= (len(MUTANTS) - AT_LEAST if SOAKING else 0), survivors
