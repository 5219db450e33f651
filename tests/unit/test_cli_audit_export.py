"""`fabric-fl audit export` and `verify`: how they are called, and what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_fl import audit
from fabric_fl.audit import Finding, RoundReplay, UncommittedRound, Verification
from fabric_fl.audit.coverage import UncheckedRound
from fabric_fl.audit.export import Exported
from fabric_fl.cli.verified import verified_rows, verified_value

ROOT = "ab" * 32
ABOUT = {"missing": [], "withheld": []}


@pytest.fixture
def exports(clients: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What `audit export` asks for, in the place of a network with blocks."""
    asked: list[tuple[Any, ...]] = []

    def export(network: Any, chaincode: str, task: str, path: Path, reader: Any, organisation: str) -> Exported:
        asked.append((task, organisation, reader is not None))
        path.write_bytes(b"all of it")
        return Exported(9, 5, ("f" * 64,), (2, 3), "")

    monkeypatch.setattr(audit, "export", export)
    return asked


def test_options_may_stand_before_the_command(call: Any, exports: list[tuple[Any, ...]], tmp_path: Path) -> None:
    file, profile = tmp_path / "task-1.tar", tmp_path / "org2"
    for arguments in (
        ("--profile", profile, "export", "task-1", file),
        (f"--profile={profile}", "--format", "json", "export", "task-1", file),
        ("export", "--profile", profile, "task-1", file),
        ("export", "task-1", file, "--profile", profile),
    ):
        assert call("audit", *arguments).exit_code == 0
    assert exports == 4 * [("task-1", "Org2MSP", True)]


def test_without_a_command_after_them_they_are_those_of_audit_task(call: Any, clients: Any, tmp_path: Path) -> None:
    for arguments in (("--profile", tmp_path / "org2", "none"), ("none", "--profile", tmp_path / "org2")):
        assert call("audit", *arguments).stderr.startswith("error FL-TASK-UNKNOWN")
    assert "Missing argument 'TASK'" in call("audit", "--profile", tmp_path / "org2").stderr


def test_an_export_says_what_it_lacks_and_why(call: Any, exports: list[tuple[Any, ...]], tmp_path: Path) -> None:
    file = tmp_path / "task-1.tar"
    said = call("audit", "export", "task-1", file).stdout
    assert said == (
        f"{file}: 9 blocks, 5 blobs, no updates of rounds 2, 3 (Org1MSP does not validate them), "
        "1 blobs are no longer to be had, 9 bytes\n"
    )
    value = json.loads(call("audit", "export", "task-1", file, "--no-blobs", "--format", "json").stdout)
    assert (value["withheld"], value["missing"], value["size"]) == ([2, 3], ["f" * 64], 9)
    assert [one[2] for one in exports] == [True, False]


def test_a_folder_that_is_not_there_is_told_before_anything_is_fetched(
    call: Any, exports: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    done = call("audit", "export", "task-1", tmp_path / "no" / "task-1.tar")
    assert (done.exit_code, exports) == (1, [])
    assert done.stderr.startswith(f"error FL-OUTPUT-FILE: cannot write {tmp_path / 'no' / 'task-1.tar'}: No such file")


def verification(*findings: Finding, rounds: int = 0, unchecked: int = 0, tip: str = "dGlw") -> Verification:
    right = tuple(RoundReplay(number, number, "1" * 64, "1" * 64, ()) for number in range(1, rounds + 1))
    others = tuple(
        UncheckedRound(number, number, "2" * 64, "why") for number in range(rounds + 1, rounds + unchecked + 1)
    )
    return Verification(ABOUT, 9, 12, right, others, (), tip, {"Org1MSP": (ROOT,)}, findings)


@pytest.mark.parametrize(
    ("found", "verdict", "extent"),
    [
        (verification(rounds=2), "holds", "2 of 2 committed rounds were recomputed"),
        (verification(rounds=1, unchecked=2), "the chain holds", "1 of 3 committed rounds were recomputed"),
        (verification(unchecked=1), "the chain holds", "0 of 1 committed rounds were recomputed"),
        (verification(), "holds", "no round was committed"),
        (
            verification(Finding("flags", None, "no"), rounds=1),
            "DOES NOT HOLD",
            "1 of 1 committed rounds were recomputed",
        ),
        (verification(Finding("task", None, "no")), "DOES NOT HOLD", ""),
        (verification(Finding("chain", None, "no"), tip=""), "DOES NOT HOLD", ""),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_verdict_claims_no_more_than_was_checked(found: Verification, verdict: str, extent: str) -> None:
    *_, last = verified_rows(found, compare=False)
    assert last == (verdict, "9 blocks", "12 tx", extent)
    assert verified_value(found)["recomputed"] == (bool(found.tip) and not found.unchecked)
    *_, last = verified_rows(found, compare=True)
    assert ("compare the roots above" in str(last[3])) == bool(extent)


def test_what_is_to_be_compared_is_printed_whole_and_what_was_not_recomputed_has_a_row() -> None:
    rows = list(verified_rows(verification(rounds=1, unchecked=1), compare=True))
    assert ("root", "", "Org1MSP", ROOT) in rows
    assert ("round 1", "1" * 16, "", "identical") in rows
    assert ("round 2", "2" * 16, "", "not recomputed: why") in rows


def test_what_was_said_beside_what_was_committed_has_rows_and_what_is_wrong_with_an_abort_counts() -> None:
    dissent = Finding("dissent", "Org3MSP", "has attested something else", "round 1, attempt 1, version 1")
    undecided = Finding("undecided", "Org2MSP", "whether it follows nobody can say", "round 2, attempt 1, version 1")
    missed = Finding("missed", "Org1MSP", "its update did not fail to arrive")
    committed = RoundReplay(1, 1, "1" * 64, "1" * 64, (), (dissent,), (undecided,))
    unchecked = UncheckedRound(2, 2, "2" * 64, "why", (dissent,))
    aborted = UncommittedRound(3, 3, "aborted", (), (dissent,), (undecided,))
    said = [
        ("dissent", "round 1, attempt 1, version 1", "Org3MSP", "has attested something else"),
        ("undecided", "round 2, attempt 1, version 1", "Org2MSP", "whether it follows nobody can say"),
    ]

    found = Verification(ABOUT, 9, 12, (committed,), (unchecked,), (aborted,), "dGlw", {}, ())
    rows = list(verified_rows(found, compare=False))
    assert rows[:3] == [("round 1", "1" * 16, "", "identical"), *said]
    assert rows[3:5] == [("round 2", "2" * 16, "", "not recomputed: why"), said[0]]
    assert rows[5:8] == [("round 3", "", "", "aborted"), *said]
    assert found.holds
    assert verified_value(found)["uncommitted"][0]["dissents"][0]["organisation"] == "Org3MSP"

    wrong = replace(found, uncommitted=(replace(aborted, findings=(missed,)),))
    assert not wrong.holds
    assert ("round 3", "", "", f"aborted: {missed}") in list(verified_rows(wrong, compare=False))


def test_what_a_file_says_makes_no_line_of_its_own() -> None:
    found = verification(Finding("contract", "Org1MSP", "the contract refuses a\nholds  9 blocks\x1b[2J", "block 3"))
    first = next(iter(verified_rows(found, compare=False)))
    assert first == ("finding", "block 3", "Org1MSP", "the contract refuses a\\nholds  9 blocks\\x1b[2J")


def test_a_file_that_is_no_export_is_told_in_a_row(call: Any, tmp_path: Path) -> None:
    (tmp_path / "odd.tar").write_bytes(b"nothing of the kind")
    done = call("audit", "verify", tmp_path / "odd.tar")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith("DOES NOT HOLD")
