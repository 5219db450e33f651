"""Files that commands make: whole under their names or not there, and what is in the way is told before any work."""

import errno
import os
import resource
import signal

import pytest

from fabric_fl.cli.newfile import new_file
from fabric_fl.errors import FabricFLError


def refusal(path, content=b"new"):
    with pytest.raises(FabricFLError) as refused, new_file(path) as file:
        file.write_bytes(content)
    assert refused.value.code == "FL-OUTPUT-FILE"
    assert str(path) in refused.value.message
    assert refused.value.remedy.startswith("Name a file in a folder that exists")
    return refused.value.message


def test_a_file_stands_under_its_name_when_all_of_it_was_written(tmp_path):
    target = tmp_path / "model"
    target.write_bytes(b"old")
    with new_file(target) as file:
        file.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def half(file):
    file.write_bytes(b"half")
    raise KeyError


def test_what_fails_midway_leaves_what_was_there(tmp_path):
    target = tmp_path / "model"
    target.write_bytes(b"old")
    with pytest.raises(KeyError), new_file(target) as file:
        half(file)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there_is_told_before_any_work(tmp_path):
    worked = []
    with pytest.raises(FabricFLError, match="No such file or directory"), new_file(tmp_path / "no" / "model"):
        worked.append(True)
    assert not worked


def test_nor_is_anything_written_below_a_file_or_over_what_is_no_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    assert "Not a directory" in refusal(tmp_path / "file" / "model")
    assert "no plain file" in refusal(tmp_path / "pipe")
    assert "no plain file" in refusal(tmp_path)
    assert "too long" in refusal(tmp_path / ("n" * 300))


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path):
    target = tmp_path / "model"
    target.write_bytes(b"old")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        assert os.strerror(errno.EFBIG) in refusal(target, bytes(8192))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_goes_on_leading_where_it_did(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "model")
    with new_file(tmp_path / "link") as file:
        file.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "model").read_bytes() == b"new"


def test_a_model_goes_nowhere_where_there_is_no_folder_for_it(call, clients, tmp_path):
    for command in (("fetch", "none", "--out", "no/such/model"), ("export", "none", "--out", "no/such/model.keras")):
        result = call("models", *command)
        assert result.exit_code == 1
        sentence, remedy = result.stderr.splitlines()
        assert sentence == f"error FL-OUTPUT-FILE: cannot write {command[3]}: No such file or directory"
        assert remedy.startswith("Name a file in a folder")
