"""What `make soak` writes down, whatever becomes of its tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]

SOME_TESTS = """
import pytest
from hypothesis import given, settings, strategies

pytestmark = pytest.mark.soak

def test_counted(record_property):
    record_property("count", 200)
    record_property("seed", 7)
    record_property("slowest_s", 0.5)

@settings(max_examples=30, database=None)
@given(strategies.integers())
def test_property(number):
    pass
"""
A_FAILURE = """
def test_failing(record_property):
    record_property("count", 3)
    assert 1 == 2, "not so"
"""
AN_INTERRUPT = """
def test_interrupting(record_property):
    raise KeyboardInterrupt

def test_afterwards(record_property):
    record_property("count", 1)
"""
A_TEST_WITHOUT_A_COUNT = """
def test_uncounted():
    pass
"""
A_SKIP = """
@pytest.mark.skip(reason="no such program")
def test_skipped():
    pass
"""


@pytest.fixture(params=[(), ("--numprocesses=2", "--dist=loadfile")], ids=["one process", "two processes"])
def processes(request):
    return request.param


def soak(folder: Path, processes: tuple[str, ...], *texts: str) -> tuple[int, str, dict[str, Any]]:
    """Runs tests as `make soak` does; returns the exit status, the output and the report."""
    (folder / "test_some.py").write_text("".join(texts))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  soak: scales\n")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "soak", "-p", "soak_report", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, *processes, "--hypothesis-seed=11", "--soak-report=soak.json"],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    report: dict[str, Any] = json.loads((folder / "soak.json").read_text())
    report["tests"] = {test["test"].partition("::")[2]: test for test in report["tests"]}
    return result.returncode, result.stdout, report


def test_each_test_is_listed_with_its_count_and_its_seed_and_what_is_skipped_with_the_reason(tmp_path, processes):
    status, _, report = soak(tmp_path, processes, SOME_TESTS, A_SKIP)
    assert status == 0
    assert (report["complete"], report["passed"], report["failed"], report["not_run"]) == (True, 2, 0, 0)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TESTS, capture_output=True, text=True, check=False)
    assert report["commit"] == head.stdout.strip()
    counted, property_ = report["tests"]["test_counted"], report["tests"]["test_property"]
    assert (counted["count"], counted["seed"], counted["slowest_s"]) == (200, 7, 0.5)
    assert (property_["count"], property_["seed"]) == (30, "11")
    assert report["skipped"] == 1
    assert "no such program" in report["tests"]["test_skipped"]["reason"]


def test_what_fails_is_reported_with_its_reason_beside_what_passed(tmp_path, processes):
    (tmp_path / "test_broken.py").write_text("import nothing_of_that_name")
    status, _, report = soak(tmp_path, processes, SOME_TESTS, A_FAILURE)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert (report["complete"], report["passed"], report["failed"]) == (True, 2, 2)
    failing = report["tests"]["test_failing"]
    assert (failing["outcome"], failing["count"]) == ("failed", 3)
    assert "not so" in failing["reason"]
    assert "nothing_of_that_name" in str(report["tests"])


def test_an_interrupted_run_leaves_a_report_that_says_so(tmp_path, processes):
    status, _, report = soak(tmp_path, processes, SOME_TESTS, AN_INTERRUPT)
    assert status == pytest.ExitCode.INTERRUPTED
    assert (report["complete"], report["passed"], report["not_run"]) == (False, 2, 1)
    # among several processes the one that runs it has ended, whatever for
    assert report["tests"]["test_interrupting"]["outcome"] == ("failed" if processes else "interrupted")


def test_a_test_that_says_no_count_fails_the_run(tmp_path, processes):
    status, output, report = soak(tmp_path, processes, SOME_TESTS, A_TEST_WITHOUT_A_COUNT)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert report["without_count"] == ["test_some.py::test_uncounted"]
    assert "FAILED test_some.py::test_uncounted: marked soak, and says no count" in output
