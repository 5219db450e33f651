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
from typing import Any

from fabric_programs import MISSING

from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.fabric.tools import Tools

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "docs" / "compatibility.json"
README = ROOT / "README.md"
SCHEMA = 1
SUPPORTED = {
    "Hyperledger Fabric": "2.5 LTS, 3.0 and 3.1",
    "Fabric CA": "1.5",
    "Python": "3.11 and newer; TensorFlow Federated 3.11",
}
_MARKS = ("<!-- compatibility -->\n", "<!-- /compatibility -->")
SUITES = {
    "conformance on Fabric": ({"CONFORMANCE_ENGINE": "fabric"}, ["tests/conformance"]),
    "conformance on devnet": ({"CONFORMANCE_ENGINE": "devnet"}, ["tests/conformance"]),
    "networks, tasks and Fabric's own programs": ({}, ["tests", "--ignore=tests/conformance", "-m", "fabric"]),
}


def main() -> int:
    """Runs all of it and returns the process's exit code; with --table it prints the README's table instead."""
    if sys.argv[1:] == ["--table"]:
        print(table(json.loads(RECORD.read_text())), end="")
        return 0
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
    README.write_text(with_table(README.read_text(), table(record)))
    bad = [one for one in checks if one["outcome"] != "passed"]
    for one in bad:
        print(f"{one['outcome']}: {one['suite']}: {one['check']}", file=sys.stderr)
    print(
        f"{len(checks) - len(bad)} of {len(checks)} checks passed; written: {RECORD.relative_to(ROOT)}, {README.name}"
    )
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


def table(record: dict[str, Any]) -> str:
    """Returns the README's table of what was tested, and on what the record says that it was."""
    rows = ["| | tested | supported |", "|---|---|---|"]
    rows += [f"| {name} | {version} | {SUPPORTED[name]} |" for name, version in record["versions"].items()]
    counts: dict[str, int] = {}
    for each in record["summary"].values():
        for name, count in each.items():
            counts[name] = counts.get(name, 0) + count
    total = sum(counts.values())
    failed = total - counts.get("passed", 0)
    per_suite = ", ".join(f"{sum(each.values())} {name}" for name, each in record["summary"].items())
    equal = all(found["devnet"] and found["devnet"] == found["fabric"] for found in record["digests"].values())
    verdict = "every one passed" if not failed else f"**{failed} of them did not pass**"
    digests_ = "equal digests" if equal else "**different digests**"
    changed = " with changes that were not committed" if record["uncommitted_changes"] else ""
    return "\n".join(
        [
            *rows,
            "",
            f"{record['date']}, commit {record['commit'][:7]}{changed}, {record['machine']}: {total} checks",
            f"({per_suite}), {verdict}; {digests_} of the committed models on both engines.",
            "[docs/compatibility.json](docs/compatibility.json) has each check;",
            "[where the engines differ](docs/devnet.md#what-is-different) is written down.",
            "",
        ]
    )


def with_table(readme: str, table_: str) -> str:
    """Returns the README with another table between its marks."""
    before, start, rest = readme.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    if not (start and end):
        raise ValueError(f"{README.name} has no marks {' … '.join(_MARKS)}")
    return before + start + table_ + end + after


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
