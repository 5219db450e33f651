"""Blobs made to harm: each is refused with a code, costs no memory and runs nothing."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hostile_blobs import GOOD, HOSTILE, MASKED, MODEL, STATE, UPDATE, build, parts

from fabric_fl.aggregation import REFUSALS, BlobError, decode, encode, read_model


def test_the_blob_that_the_hostile_ones_are_made_from_is_good():
    assert decode(GOOD) == MODEL
    assert build(*parts()) == GOOD
    for other in (STATE, MASKED, UPDATE):
        assert encode(decode(other)) == other == build(*parts(other))


def test_there_are_as_many_as_the_claim_says():
    assert len(HOSTILE) >= 80
    assert len({data for data, _ in HOSTILE.values()}) == len(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_blob_is_refused_with_a_code_and_costs_no_memory(name):
    data, code = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(BlobError) as refusal:
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert refusal.value.code == code
    assert refusal.value.remedy
    assert not Path("/tmp/fabric-fl-was-here").exists()


def test_a_process_that_meets_them_all_grows_little_and_runs_nothing(tmp_path, record_property):
    """As a model that is read and as an update that is summed; with links, pipes and a directory in a file's place."""
    cases = tmp_path / "cases"
    cases.mkdir()
    for number, (data, _) in enumerate(HOSTILE.values()):
        (cases / f"{number:03d}").write_bytes(data)
    (cases / "link").symlink_to(tmp_path / "good")
    (tmp_path / "good").write_bytes(GOOD)
    (cases / "link to a device").symlink_to("/dev/zero")
    (cases / "dangling link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(cases / "pipe")
    (cases / "directory").mkdir()
    tests = Path(__file__).parents[1]
    answer = subprocess.run(
        [sys.executable, tests / "hostile_process.py", tmp_path],
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests / 'unit'}"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    report = json.loads(answer.stdout)
    codes = report["codes"]
    assert len(codes) == len(HOSTILE) + 6
    for number, (_, code) in enumerate(HOSTILE.values()):
        assert codes[f"{number:03d}"][0] == code
        assert codes[f"{number:03d}"][1] in REFUSALS
    for name in ("link", "link to a device", "dangling link", "pipe", "directory"):
        assert codes[name][0] in ("FL-BLOB-UNREADABLE", "FL-BLOB-SIZE"), name
        assert codes[name][1] == "FL-AGGREGATE-UNAVAILABLE", name  # wrong bytes under a digest are not the author's
    assert codes["10 GiB of nothing"] == ["FL-BLOB-SIZE", "FL-BLOB-SIZE"]
    record_property("grown_mib", report["grown"] >> 20)
    assert report["grown"] <= 64 << 20
    assert (report["noticed"], report["ran"]) == (["compile", "exec"], [])
    assert report["unharmed"]
    assert not Path("/tmp/fabric-fl-was-here").exists()


def test_a_model_file_is_refused_by_its_size_before_it_is_read(tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(10 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(BlobError, match="FL-BLOB-SIZE"):
            read_model(huge, "0" * 64, len(GOOD))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(GOOD)
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BlobError, match="FL-BLOB-UNREADABLE"):
        read_model(tmp_path / "link", "0" * 64, len(GOOD))


def test_a_named_pipe_does_not_make_the_reader_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BlobError, match="FL-BLOB-SIZE"):
        read_model(tmp_path / "pipe", "0" * 64, len(GOOD))


def test_other_bytes_of_the_right_size_are_refused_by_their_digest(tmp_path):
    (tmp_path / "model").write_bytes(GOOD)
    with pytest.raises(BlobError, match="FL-BLOB-DIGEST"):
        read_model(tmp_path / "model", "0" * 64, len(GOOD))
