"""How the record of what was tried on Fabric is made."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import compatibility
import pytest

SCRIPT = Path(compatibility.__file__)


def test_without_fabrics_programs_the_target_fails_with_one_sentence():
    environment = {**os.environ, "PATH": "/nowhere", "FABRIC_BIN": ""}

    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "make test-fabric: peer, orderer, configtxgen, osnadmin, fabric-ca-server, fabric-ca-client not found on PATH "
        "or in FABRIC_BIN, and this is about them.\n"
    )


@pytest.mark.parametrize(
    ("inside", "outcome"),
    [("", "passed"), ("<failure/>", "failed"), ("<error/>", "failed"), ("<skipped/>", "skipped")],
)
def test_every_outcome_is_told_apart(inside, outcome):
    case = ET.fromstring(f'<testcase classname="tests.conformance.test_x" name="test_y">{inside}</testcase>')

    assert compatibility.read("suite", case) == {
        "suite": "suite",
        "check": "conformance.test_x: test_y",
        "outcome": outcome,
    }


def test_the_readmes_table_is_what_the_record_gives():
    record = json.loads(compatibility.RECORD.read_text())
    readme = compatibility.README.read_text()

    assert compatibility.with_table(readme, compatibility.table(record)) == readme


def test_the_table_names_what_failed_differed_or_was_not_committed():
    record = {
        "date": "2026-01-02",
        "commit": "0123456789",
        "uncommitted_changes": True,
        "versions": {"Fabric CA": "1.5.21"},
        "machine": "M",
        "summary": {"a": {"passed": 2, "failed": 1}, "b": {"skipped": 1}},
        "digests": {"demo": {"devnet": ["x"], "fabric": ["y"]}},
    }

    said = compatibility.table(record)

    assert "| Fabric CA | 1.5.21 | 1.5 |" in said
    assert "commit 0123456 with changes that were not committed, M: 4 checks\n(3 a, 1 b), **2 of them did not" in said
    assert "**different digests**" in said
    record["digests"]["demo"] = {"devnet": [], "fabric": []}
    assert "**different digests**" in compatibility.table(record), "none on either is no equality"


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match="no marks"):
        compatibility.with_table("# fabric-fl", "table")


def test_what_a_test_measured_and_the_digests_of_both_engines_are_kept():
    case = ET.fromstring(
        '<testcase classname="a" name="b"><properties><property name="digests_on_fabric" value="[&quot;ab&quot;]"/>'
        '<property name="digests_on_devnet" value="[&quot;ab&quot;]"/></properties></testcase>'
    )
    checks = [{"suite": "s", "check": "other", "outcome": "failed"}, compatibility.read("s", case)]

    assert compatibility.digests(checks) == {"devnet": ["ab"], "fabric": ["ab"]}
    assert compatibility.summary(checks) == {"s": {"failed": 1, "passed": 1}}
