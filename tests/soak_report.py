"""A pytest plugin for `make soak`: bench/soak.json tells which tests ran, how often, with which seeds, on which commit.

A test says how often it does what it does with ``record_property("count", …)``, names its seed where it has one of its
own, and adds what it measured in the same way; for properties (hypothesis) count and seed are known. A test that is
marked ``soak`` and says no count is a failure. The report is written anew after each test, so that there is one
whatever ends the session; where tests run in several processes, by the one that runs none.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis.internal.detection import is_hypothesis_test

ROOT = Path(__file__).parents[1]
_LONGEST_REASON = 4000
"""Characters of a failure that are kept: its end, where the assertion is."""


class SoakReport:
    """Collects what each test did."""

    def __init__(self, config: pytest.Config) -> None:
        self._path = Path(config.getoption("soak_report"))
        self._begun = time.time()
        self._commit = _git("rev-parse", "HEAD")
        self._changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
        self._collected: set[str] = set()
        self._scaling: set[str] = set()
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Iterable[str]) -> None:
        self._collected.update(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            reason = report.longreprtext[-_LONGEST_REASON:]
            self._tests[report.nodeid] = {"test": report.nodeid, "outcome": "failed", "seconds": 0.0, "reason": reason}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests.setdefault(report.nodeid, {"test": report.nodeid, "outcome": "interrupted", "seconds": 0.0})
        test["seconds"] = round(test["seconds"] + report.duration, 2)
        if report.when == "call":
            test["outcome"] = report.outcome
        if report.outcome != "passed":
            test["outcome"] = report.outcome
            test["reason"] = report.longreprtext[-_LONGEST_REASON:]
        if "soak" in report.keywords:
            self._scaling.add(report.nodeid)
        if report.when == "teardown":
            test |= dict(report.user_properties)
            self._write(complete=False)

    @pytest.hookimpl(tryfirst=True)  # before fixtures end, some of which fail after an interrupt
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if not (self._tests or self._collected):
            return
        if exitstatus == pytest.ExitCode.OK and self._without_count():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._write(complete=exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._tests:
            terminalreporter.write_line(f"written: {self._path}")
        for name in self._without_count():
            terminalreporter.write_line(f"FAILED {name}: marked soak, and says no count")

    def _without_count(self) -> list[str]:
        ran = [name for name, test in self._tests.items() if test["outcome"] == "passed" and "count" not in test]
        return sorted(self._scaling.intersection(ran))

    def _write(self, *, complete: bool) -> None:
        outcomes = [test["outcome"] for test in self._tests.values()]
        record = {
            "schema": 1,
            "commit": self._commit,
            "changed_since": self._changed,
            "begun": datetime.datetime.fromtimestamp(self._begun, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._begun),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "complete": complete,
            "passed": outcomes.count("passed"),
            "failed": outcomes.count("failed"),
            "skipped": outcomes.count("skipped"),
            "not_run": len(self._collected - self._tests.keys()),
            "without_count": self._without_count(),
            "tests": [self._tests[name] for name in sorted(self._tests)],
        }
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(record, indent=1) + "\n")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Say of a property how many examples are tried, and from which seed."""
    function = getattr(item, "obj", None)
    if is_hypothesis_test(function):
        settings = getattr(function, "_hypothesis_internal_use_settings", None) or item.cls.settings  # type: ignore[attr-defined]
        item.user_properties += [("count", settings.max_examples), ("seed", item.config.getoption("hypothesis_seed"))]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-report", default=ROOT / "bench" / "soak.json", help="where to write the report")


def pytest_configure(config: pytest.Config) -> None:
    config.option.continue_on_collection_errors = True  # one broken file is no reason to leave out all the others
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SoakReport(config))


def _git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return finished.stdout.strip()
