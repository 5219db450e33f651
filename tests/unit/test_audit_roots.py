"""The root certificates that a reader gives: all of them are read, or he is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from devnet_ledgers import organizations

from fabric_fl.audit.roots import read_roots
from fabric_fl.errors import FabricFLError

ORG1, ORG2, *_ = organizations()


def refusal(path: Path) -> str:
    with pytest.raises(FabricFLError) as refused:
        read_roots(path)
    assert refused.value.code == "FL-AUDIT-ROOTS"
    assert refused.value.remedy.startswith("Name a PEM file, or a folder of files *.pem")
    return refused.value.message


def test_a_file_may_hold_several_and_a_folder_several_files(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_bytes(ORG1.ca.certificate_pem + ORG2.ca.certificate_pem)
    both = [ORG1.ca.certificate, ORG2.ca.certificate]
    assert read_roots(tmp_path / "both.pem") == both
    (tmp_path / "one.pem").write_bytes(ORG1.ca.certificate_pem)
    assert read_roots(tmp_path) == [*both, ORG1.ca.certificate]


def test_a_folder_without_any_is_not_taken_for_no_folder(tmp_path: Path, call: Any) -> None:
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "ca.crt").write_bytes(ORG1.ca.certificate_pem)
    assert refusal(tmp_path / "roots") == f"the folder {tmp_path / 'roots'} has no file *.pem"

    (tmp_path / "export.tar").touch()
    done = call("audit", "verify", tmp_path / "export.tar", "--roots", tmp_path / "roots")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error FL-AUDIT-ROOTS: the folder")


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ORG1.ca.certificate_pem[:-40]],
    ids=["empty", "garbage", "no certificate", "cut"],
)
def test_a_file_that_holds_none_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "good.pem").write_bytes(ORG1.ca.certificate_pem)
    (tmp_path / "odd.pem").write_bytes(content)
    assert refusal(tmp_path) == f"{tmp_path / 'odd.pem'} holds no certificate in PEM"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.pem").mkdir()
    assert refusal(tmp_path) == f"cannot read {tmp_path / 'folder.pem'}: Is a directory"
    assert "No such file" in refusal(tmp_path / "none.pem")
