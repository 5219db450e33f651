"""A pytest plugin for `make soak`: bench/soak.json tells which tests ran, how often, with which seeds, on which commit.

A test says how often it did what it does with ``record_property("count", …)``, and names its seed where it has one of
its own; for properties (hypothesis) both are known.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis.internal.detection import is_hypothesis_test

REPORT = Path(__file__).parents[1] / "bench" / "soak.json"


class SoakReport:
    """Collects what each test did."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._begun = time.time()
        self._examples: dict[str, int] = {}
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        function = getattr(item, "obj", None)
        if is_hypothesis_test(function):
            settings = getattr(function, "_hypothesis_internal_use_settings", None) or item.cls.settings  # type: ignore[attr-defined]
            self._examples[item.nodeid] = settings.max_examples

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests.setdefault(report.nodeid, {"test": report.nodeid, "outcome": "passed", "seconds": 0.0})
        test["seconds"] = round(test["seconds"] + report.duration, 2)
        if report.outcome != "passed":
            test["outcome"] = report.outcome
        if report.when == "call" and report.nodeid in self._examples:
            test |= {"count": self._examples[report.nodeid], "seed": self._config.getoption("hypothesis_seed")}
        if report.when == "teardown":
            test |= {name: value for name, value in report.user_properties if name in ("count", "seed")}

    def pytest_sessionfinish(self) -> None:
        if not self._tests:
            return
        outcomes = [test["outcome"] for test in self._tests.values()]
        record = {
            "schema": 1,
            "commit": _git("rev-parse", "HEAD"),
            "changed_since": bool(_git("status", "--porcelain", "--untracked-files=no")),
            "begun": datetime.datetime.fromtimestamp(self._begun, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._begun),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "passed": outcomes.count("passed"),
            "failed": outcomes.count("failed"),
            "skipped": outcomes.count("skipped"),
            "tests": [self._tests[name] for name in sorted(self._tests)],
        }
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(json.dumps(record, indent=1) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SoakReport(config))


def _git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=REPORT.parents[1], capture_output=True, text=True, check=False)
    return finished.stdout.strip()
