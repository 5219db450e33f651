"""The file that an export is: one form, and whatever else a file may be is a finding and never a crash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from byte_changes import mutations
from hypothesis import given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.audit import archive, verify
from fabric_fl.audit.export import SCHEMA
from fabric_fl.errors import FabricFLError

ABOUT: dict[str, Any] = {
    "blobs": True,
    "chaincode": "fl",
    "channel": "fl",
    "height": 0,
    "missing": [],
    "schema": SCHEMA,
    "task": "task-1",
    "withheld": [],
}
FILES = {"blocks/00000000.block": b"no block", "blobs/" + "a" * 64: b"", "certificates/Org1MSP.pem": b"x" * 512}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("archive") / "export.tar"
    archive.write(made, ABOUT, FILES)
    return made


def with_manifest(path: Path, manifest: bytes, rest: bytes = archive.END) -> Path:
    """Writes an archive of a manifest and its true digest, and of what follows."""
    digest = f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n".encode()
    with path.open("wb") as file:
        for name, content in (("manifest.json", manifest), ("manifest.sha256", digest)):
            file.write(archive._header(name, len(content)) + content + bytes(-len(content) % 512))
        file.write(rest)
    return path


def test_what_was_written_is_read_and_listed_by_tar(path: Path) -> None:
    read = archive.read(path)
    assert read.findings == ()
    assert dict(read.about) == ABOUT
    assert {name: read.content(name) for name in read.members} == FILES
    listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["manifest.json", "manifest.sha256", *FILES]


def test_equal_contents_give_equal_bytes_from_memory_or_from_files(path: Path, tmp_path: Path) -> None:
    for number, content in enumerate(FILES.values()):
        (tmp_path / str(number)).write_bytes(content)
    archive.write(tmp_path / "b.tar", ABOUT, {name: tmp_path / str(number) for number, name in enumerate(FILES)})
    assert (tmp_path / "b.tar").read_bytes() == path.read_bytes()


def test_the_digest_of_the_manifest_is_what_sha256sum_reads(path: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "xf", path, "-C", tmp_path], check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "manifest.sha256"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    "files",
    [
        None,
        {},
        ["a"],
        [{"name": "a", "sha256": "0" * 64}],
        [{"name": "a", "sha256": "0" * 64, "size": "1"}],
        [{"name": "a", "sha256": "0" * 64, "size": True}],
        [{"name": "a", "sha256": "0" * 64, "size": -1}],
        [{"name": "a", "sha256": "0" * 64, "size": 1 << 80}],
        [{"name": "a" * 300, "sha256": "0" * 64, "size": 1}],
        [{"name": "é", "sha256": "0" * 64, "size": 1}],
        [{"name": 7, "sha256": "0" * 64, "size": 1}],
        [{"name": "a", "sha256": "0" * 64, "size": 1, "more": 1}],
        2 * [{"name": "a", "sha256": hashlib.sha256(b"").hexdigest(), "size": 0}],
    ],
    ids=str,
)
def test_a_list_of_files_that_nobody_wrote_is_a_finding(tmp_path: Path, files: Any) -> None:
    manifest = json.dumps({**ABOUT, "files": files}, sort_keys=True).encode()
    (finding,) = verify(with_manifest(tmp_path / "odd.tar", manifest)).findings
    assert finding.what == "file"
    assert finding.message.startswith("manifest.json, which is no manifest")


@pytest.mark.parametrize("manifest", [b"", b"[]", b"null", b"7", b"{", b"[" * 100_000, b"\xff", b"{}"], ids=len)
def test_a_manifest_that_is_none_is_a_finding(tmp_path: Path, manifest: bytes) -> None:
    found = verify(with_manifest(tmp_path / "odd.tar", manifest))
    assert [finding.what for finding in found.findings] == ["file"]
    assert not found.holds


@pytest.mark.soak
@given(mutations(json.dumps({**ABOUT, "files": []}, sort_keys=True, separators=(",", ":")).encode()))
@fuzz(150)
def test_no_manifest_makes_verifying_fail(tmp_path: Path, manifest: bytes) -> None:
    found = verify(with_manifest(tmp_path / "fuzz.tar", manifest))
    assert not found.holds
    assert found.findings


@pytest.mark.soak
@given(st.data())
@fuzz(150)
def test_no_bytes_make_reading_fail(path: Path, tmp_path: Path, data: st.DataObject) -> None:
    good = path.read_bytes()
    changed = data.draw(mutations(good))
    (tmp_path / "fuzz.tar").write_bytes(changed)
    found = archive.read(tmp_path / "fuzz.tar")
    assert bool(found.findings) == (changed != good)


def test_a_manifest_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.tar").open("wb") as file:
        member = tarfile.TarInfo("manifest.json")
        member.size = 8**11 - 1
        file.write(member.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(8**11 - 1)  # of holes
    tracemalloc.start()
    try:
        (finding,) = archive.read(tmp_path / "huge.tar").findings
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert finding.where == "byte 0"


@contextlib.contextmanager
def at_most(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_what_follows_the_end_is_not_read(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "long.tar")
    os.truncate(tmp_path / "long.tar", 6 << 30)  # of holes
    with at_most(4 << 20):
        (finding,) = archive.read(tmp_path / "long.tar").findings
    assert finding.message.startswith("the archive's end")


def test_a_manifest_that_would_fill_the_memory_is_not_parsed(tmp_path: Path) -> None:
    manifest = json.dumps({**ABOUT, "missing": (1 << 23) * [""], "files": []}, sort_keys=True).encode()
    assert 1 << 25 < len(manifest) < 1 << 26
    with_manifest(tmp_path / "long.tar", manifest)
    with at_most(1 << 20):
        (finding,) = archive.read(tmp_path / "long.tar").findings
    assert finding.where == "byte 0"


def test_only_a_blob_may_be_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    for name, found in (("blocks/00000000.block", "no manifest"), ("blobs/" + "a" * 64, "the header of blobs")):
        listed = [{"name": name, "sha256": "0" * 64, "size": (1 << 27) + 1}]
        with_manifest(tmp_path / "large.tar", json.dumps({**ABOUT, "files": listed}, sort_keys=True).encode())
        assert found in verify(tmp_path / "large.tar").findings[0].message


def test_a_blob_is_unpacked_without_being_held(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    os.truncate(tmp_path / "blob", 64 << 20)
    archive.write(tmp_path / "export.tar", ABOUT, {"blobs/" + "a" * 64: tmp_path / "blob"})
    with at_most(4 << 20):
        archive.read(tmp_path / "export.tar").extract("blobs/" + "a" * 64, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 64 << 20


def test_what_no_reader_would_take_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_LARGEST_MANIFEST", 100)
    with pytest.raises(FabricFLError, match="the list of 3 files is longer") as refused:
        archive.write(tmp_path / "export.tar", ABOUT, FILES)
    assert refused.value.code == "FL-AUDIT-EXPORT-SIZE"
    assert not (tmp_path / "export.tar").exists()


@pytest.mark.parametrize("name", ["blobs/../../escaped", "/blobs/escaped", "blobs/escaped", "more", "blobs/"])
def test_what_is_no_part_of_an_export_is_named_and_left_where_it_is(tmp_path: Path, name: str) -> None:
    archive.write(tmp_path / "export.tar", ABOUT, {name: b"harm"})
    before = sorted(tmp_path.rglob("*"))
    found = verify(tmp_path / "export.tar")
    assert ("this is no part of an export", name) in {(one.message, one.where) for one in found.findings}
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(tmp_path.parent.glob("escaped*"))


@pytest.mark.parametrize("height", [0, 1, -1, 10**15])
def test_an_export_without_blocks_does_not_hold(tmp_path: Path, height: int) -> None:
    archive.write(tmp_path / "export.tar", {**ABOUT, "height": height}, {})
    found = verify(tmp_path / "export.tar")
    assert "without a first block nothing can be judged" in {one.message for one in found.findings}
    assert not found.holds
