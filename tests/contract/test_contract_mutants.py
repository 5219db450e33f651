"""Mutants of the rules: the walk finds wrong rules, so that what it says about the right ones is worth something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import MUTANTS
from soaking import times

import fl_chaincode

HERE = Path(__file__).parent
RULES = Path(fl_chaincode.__file__).parent
AT_LEAST = (18, 20)  # of the mutants


def test_all_mutants_are_different_and_fit_the_rules():
    assert (
        len({(one.file, one.right, one.wrong) for one in MUTANTS}) == len({one.what for one in MUTANTS}) == len(MUTANTS)
    )
    assert len(MUTANTS) >= AT_LEAST[1]
    for one in MUTANTS:
        assert (RULES / f"{one.file}.py").read_text().count(one.right) == 1, one.what


@pytest.mark.soak
def test_the_walk_finds_the_mutants_and_nothing_wrong_with_the_right_rules(record_property):
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    command = [sys.executable, str(HERE / "mutant_runner.py"), str(times(12, 60))]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=times(100, 900)
    )
    assert done.returncode == 0, done.stderr
    *answers, right = json.loads(done.stdout)
    assert right["found"] is None, right
    assert [one["what"] for one in answers] == [one.what for one in MUTANTS]
    assert [len(one["changed"]) for one in answers] == [1] * len(MUTANTS), "a mutant is one function"
    survivors = [one["what"] for one in answers if one["found"] is None]
    record_property("count", len(MUTANTS))
    record_property("killed", len(MUTANTS) - len(survivors))
    record_property("survived", survivors)
    assert len(MUTANTS) - len(survivors) >= len(MUTANTS) * AT_LEAST[0] / AT_LEAST[1], survivors
