"""Runs everything on Fabric's own programs and writes what happened to docs/compatibility.json: `make test-fabric`.

The README's table of what was tested is made from that file, so it names the commit and every check.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from fabric_programs import MISSING

from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.fabric.tools import Tools

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "docs" / "compatibility.json"
SCHEMA = 1
SUITES = {
    "conformance on Fabric": ({"CONFORMANCE_ENGINE": "fabric"}, ["tests/conformance"]),
    "conformance on devnet": ({"CONFORMANCE_ENGINE": "devnet"}, ["tests/conformance"]),
    "networks, tasks and Fabric's own programs": ({}, ["tests", "--ignore=tests/conformance", "-m", "fabric"]),
}


def main() -> int:
    """Runs all of it and returns the process's exit code."""
    if MISSING:
        print(
            f"make test-fabric: {', '.join(MISSING)} not found on PATH or in FABRIC_BIN, and this is about them.",
            file=sys.stderr,
        )
        return 2
    before = tree()
    checks: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="fabric-fl-") as folder:
        for name, (environment, arguments) in SUITES.items():
            checks += suite(name, environment, arguments, Path(folder) / "report.xml")
        demos = {engine: demo(engine, Path(folder) / engine) for engine in ("devnet", "fabric")}
    equal = bool(demos["devnet"]) and demos["devnet"] == demos["fabric"]
    checks.append({"suite": "demo", "check": "the same digests on both engines", "outcome": outcome(equal)})
    record = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": before[0],
        # also when somebody changed or committed something while this ran
        "uncommitted_changes": bool(before[1]) or tree() != before,
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "summary": summary(checks),
        "digests": {"numpy task": digests(checks), "demo": demos},
        "checks": checks,
    }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    bad = [one for one in checks if one["outcome"] != "passed"]
    for one in bad:
        print(f"{one['outcome']}: {one['suite']}: {one['check']}", file=sys.stderr)
    print(f"{len(checks) - len(bad)} of {len(checks)} checks passed; written: {RECORD.relative_to(ROOT)}")
    return 1 if bad else 0


def suite(name: str, environment: dict[str, str], arguments: list[str], report: Path) -> list[dict]:
    """Runs pytest and returns a record for each test."""
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "-o", "junit_family=xunit1", *arguments]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    return [read(name, case) for case in ET.parse(report).iter("testcase")]


def read(name: str, case: ET.Element) -> dict:
    """Returns what a test case of a JUnit report says."""
    outcomes = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    module = case.get("classname", "").removeprefix("tests.")
    record = {"suite": name, "check": f"{module}: {case.get('name')}", "outcome": "passed"}
    record["outcome"] = next((outcomes[child.tag] for child in case if child.tag in outcomes), "passed")
    values = {one.get("name"): one.get("value") for one in case.iter("property")}
    return record | ({"values": values} if values else {})


def demo(engine: str, output: Path) -> list[str]:
    """Runs the demo and returns the digests of its committed models; none where it failed."""
    home = output / "network"
    command = [sys.executable, "-m", "demo", "--home", str(home), "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "ENGINE": engine}, check=False)
    if done.returncode:
        kept = tempfile.mkdtemp(prefix="fabric-fl-demo-logs-")
        shutil.copytree(home / "logs", kept, dirs_exist_ok=True)
        print(f"the demo on {engine} failed; its network's logs are in {kept}", file=sys.stderr)
        return []
    report = json.loads((output / "report.json").read_text())
    assert report["engine"] == engine
    return [one["digest"] for one in report["rounds"] if one["status"] == "committed"]


def digests(checks: list[dict]) -> dict[str, list[str]]:
    """Returns the digests that a test recorded for each engine."""
    values = next((one["values"] for one in checks if "digests_on_fabric" in one.get("values", {})), {})
    return {engine: json.loads(values.get(f"digests_on_{engine}", "[]")) for engine in ("devnet", "fabric")}


def summary(checks: list[dict]) -> dict[str, dict[str, int]]:
    """Returns how many checks of each suite had which outcome."""
    counted: dict[str, dict[str, int]] = {}
    for one in checks:
        suite_ = counted.setdefault(one["suite"], {})
        suite_[one["outcome"]] = suite_.get(one["outcome"], 0) + 1
    return counted


def versions() -> dict[str, str]:
    """Returns which programs were tried."""
    binaries = {name: path for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))}
    authority = subprocess.run(
        [binaries["fabric-ca-server"], "version"], capture_output=True, text=True, check=True
    ).stdout
    return {
        "Hyperledger Fabric": ".".join(map(str, Tools(binaries).version())),
        "Fabric CA": next((line.split()[-1] for line in authority.splitlines() if "Version:" in line), "unknown"),
        "Python": platform.python_version(),
    }


def tree() -> tuple[str, str]:
    """Returns the commit and what differs from it; the record itself does not count."""
    return git("rev-parse", "HEAD"), git("status", "--porcelain", "--", ".", f":!{RECORD.relative_to(ROOT)}")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def outcome(passed: bool) -> str:
    return "passed" if passed else "failed"


if __name__ == "__main__":
    sys.exit(main())
