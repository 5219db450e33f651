import errno
import hashlib
import os
import stat
import tracemalloc
from pathlib import Path

import fsspec
import pytest

from fabric_fl.blobs import (
    BlobCorruptError,
    BlobMissingError,
    BlobReader,
    BlobStore,
    BlobStoreError,
    BlobUnavailableError,
    BlobUnreachableError,
    StoredBlob,
    StoreFullError,
)

DATA = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(DATA).hexdigest()
SIZE = len(DATA)
ABSENT = "0" * 64


@pytest.fixture(params=["directory", "memory"])
def store(request, tmp_path):
    if request.param == "directory":
        yield BlobStore(tmp_path / "store")
    else:
        yield BlobStore(f"memory://{tmp_path.name}/blobs", cache=tmp_path / "cache")
        fsspec.filesystem("memory").store.clear()


def test_what_was_put_comes_back_under_its_digest(store):
    assert store.put(DATA) == StoredBlob(DIGEST, SIZE)
    assert store.has(DIGEST)
    assert store.read(DIGEST, SIZE) == DATA
    assert store.path(DIGEST, SIZE).read_bytes() == DATA


def test_a_file_is_put_as_its_bytes_are(store, tmp_path):
    (tmp_path / "update").write_bytes(DATA)
    assert store.put(tmp_path / "update", DIGEST) == StoredBlob(DIGEST, SIZE)
    assert store.put(tmp_path / "update") == StoredBlob(DIGEST, SIZE)
    (tmp_path / "update").unlink()
    assert store.read(DIGEST, SIZE) == DATA


def test_an_absent_blob_is_missing(store):
    store.put(DATA)
    assert not store.has(ABSENT)
    with pytest.raises(BlobMissingError, match="FL-BLOB-MISSING"):
        store.read(ABSENT, SIZE)


@pytest.mark.parametrize("data", [b"other", b"", bytes(SIZE)], ids=["shorter", "empty", "as long"])
def test_bytes_that_do_not_have_the_stated_digest_are_not_published(store, tmp_path, data):
    with pytest.raises(BlobCorruptError):
        store.put(data, DIGEST)
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BlobCorruptError):
        store.put(tmp_path / "file", DIGEST)
    assert not store.has(DIGEST)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "", DIGEST.upper(), DIGEST + "\n", DIGEST[:-1]])
def test_a_name_that_is_no_digest_is_refused(store, name):
    for call in (lambda: store.has(name), lambda: store.path(name, 1), lambda: store.put(b"x", name or "..")):
        with pytest.raises(BlobStoreError, match="no SHA-256"):
            call()


def test_a_wrong_size_is_refused_without_reading(store):
    store.put(DATA)
    with pytest.raises(BlobCorruptError):
        store.read(DIGEST, SIZE + 1)


def test_a_store_copies_from_another_and_verifies_on_the_way(store, tmp_path):
    own = BlobStore(tmp_path / "own")
    store.put(DATA)
    own.copy_from(store, DIGEST, SIZE)
    assert own.read(DIGEST, SIZE) == DATA


def test_putting_again_repairs_a_damaged_blob(tmp_path):
    store = BlobStore(tmp_path)
    store.put(DATA)
    (tmp_path / DIGEST).write_bytes(b"damaged")
    with pytest.raises(BlobCorruptError):
        store.read(DIGEST, SIZE)
    store.put(DATA)
    assert store.read(DIGEST, SIZE) == DATA


def test_a_file_that_changed_after_it_was_verified_is_verified_again(tmp_path):
    store = BlobStore(tmp_path)
    store.put(DATA)
    assert store.path(DIGEST, SIZE)
    times = (tmp_path / DIGEST).stat()
    with (tmp_path / DIGEST).open("r+b") as file:
        file.write(b"\xff")
    os.utime(tmp_path / DIGEST, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(BlobCorruptError, match="digest"):
        store.path(DIGEST, SIZE)


def test_an_adopted_file_is_moved_and_verified_when_somebody_else_reads_it(tmp_path):
    store, written = BlobStore(tmp_path / "store"), tmp_path / "written"
    written.write_bytes(DATA)
    store.adopt(written, DIGEST)
    assert not written.exists()
    assert BlobStore(tmp_path / "store").read(DIGEST, SIZE) == DATA


def test_what_was_adopted_without_waiting_is_synced_with_its_name_when_that_is_asked_for(tmp_path, monkeypatch):
    store, written = BlobStore(tmp_path / "store"), tmp_path / "written"
    written.write_bytes(DATA)
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), real(fd)))
    store.adopt(written, DIGEST, durable=False)
    assert synced == []
    store.sync([DIGEST])
    assert synced == [tmp_path / "store" / DIGEST, tmp_path / "store"]
    with pytest.raises(BlobStoreError, match="cannot be written"):
        store.sync([ABSENT])


def test_a_released_blob_takes_no_memory_and_can_still_be_read(tmp_path, store):
    store.put(DATA)
    kept = store.path(DIGEST, SIZE)
    probe = tmp_path / "probe"
    probe.write_bytes(DATA)
    with probe.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if _in_memory(probe):
        pytest.skip("this file system keeps its files in memory")
    assert _in_memory(kept)
    store.release(DIGEST)
    assert not _in_memory(kept)
    assert store.read(DIGEST, SIZE) == DATA
    store.release(ABSENT)


def _in_memory(path):
    with path.open("rb", buffering=0) as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], SIZE // 2, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        return True


def test_adopting_from_another_file_system_copies_and_verifies(tmp_path, monkeypatch):
    def elsewhere(self, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    store, written = BlobStore(tmp_path / "store"), tmp_path / "written"
    written.write_bytes(b"something else")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", elsewhere)
        with pytest.raises(BlobCorruptError):
            store.adopt(written, DIGEST)
    assert not store.has(DIGEST)
    assert written.read_bytes() == b"something else"


def test_a_directory_is_made_when_it_is_needed_and_holds_nothing_but_blobs(tmp_path):
    store = BlobStore(f"file://{tmp_path}/deep/store")
    store.put(DATA)
    assert [path.name for path in (tmp_path / "deep/store").iterdir()] == [DIGEST]
    assert stat.S_IMODE((tmp_path / "deep/store" / DIGEST).stat().st_mode) == 0o640


def linked(path):
    path.with_name("secret").write_bytes(DATA)
    path.symlink_to(path.with_name("secret"))


def piped(path):
    os.mkfifo(path)


def a_directory(path):
    path.mkdir()


def huge(path):
    with path.open("wb") as file:
        file.truncate(10 << 30)


@pytest.mark.parametrize("plant", [linked, piped, a_directory, huge], ids=lambda plant: plant.__name__)
def test_what_is_no_plain_file_of_the_right_size_is_refused_unread(tmp_path, plant):
    plant(tmp_path / DIGEST)
    store = BlobStore(tmp_path)
    tracemalloc.start()
    with pytest.raises(BlobStoreError):
        store.path(DIGEST, SIZE)
    with pytest.raises(BlobStoreError):
        BlobStore(tmp_path / "own").copy_from(store, DIGEST, SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert not list((tmp_path / "own").iterdir())


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path, monkeypatch):
    store = BlobStore(tmp_path / "store")
    store.put(b"an earlier blob")
    journal = tmp_path / "update"
    journal.write_bytes(DATA)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fabric_fl.blobs.local.write_all", full)
        patch.setattr("fabric_fl.blobs.local.os.link", full)
        for data in (DATA, journal):
            with pytest.raises(StoreFullError, match=r"FL-STORE-FULL.*No space left") as refusal:
                store.put(data, DIGEST)
            assert "Free space" in refusal.value.remedy
    assert len(list((tmp_path / "store").iterdir())) == 1
    assert journal.read_bytes() == DATA
    assert store.put(journal, DIGEST) == StoredBlob(DIGEST, SIZE)


def test_a_limit_on_file_sizes_counts_as_a_full_store(tmp_path):
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(StoreFullError):
            BlobStore(tmp_path).put(DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_a_file_cannot_be_written_and_says_so(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(BlobStoreError, match="FL-STORE-FAILED"):
        BlobStore(tmp_path / "store").put(DATA)


def test_a_url_without_a_driver_is_unreachable():
    with pytest.raises(BlobUnreachableError, match="FL-BLOB-UNREACHABLE"):
        BlobStore("nosuchprotocol://host/path").has(DIGEST)


def test_a_password_in_a_url_is_not_shown():
    assert "secret" not in repr(BlobStore("ftp://me:secret@host/blobs"))


@pytest.fixture
def stores(tmp_path):
    names = ("Org1MSP", "Org2MSP", "Org3MSP")
    found = {name: BlobStore(tmp_path / name) for name in names}
    for name in names:
        (tmp_path / name).mkdir()
    return found


def test_a_reader_asks_the_author_first_and_keeps_what_it_got(tmp_path, stores):
    own = BlobStore(tmp_path / "own")
    stores["Org2MSP"].put(DATA)
    path = BlobReader(own, stores).fetch(DIGEST, SIZE, ["Org2MSP", "Org1MSP"])
    assert path == tmp_path / "own" / DIGEST
    stores["Org2MSP"].path(DIGEST, SIZE).unlink()
    assert BlobReader(own, stores).fetch(DIGEST, SIZE, ["Org2MSP"]) == path


def test_a_reader_goes_on_to_the_validators_when_the_author_serves_wrong_bytes(tmp_path, stores):
    (tmp_path / "Org1MSP" / DIGEST).write_bytes(bytes(SIZE))
    stores["Org3MSP"].put(DATA)
    path = BlobReader(BlobStore(tmp_path / "own"), stores).fetch(DIGEST, SIZE, ["Org1MSP", "Org2MSP", "Org3MSP"])
    assert path.read_bytes() == DATA


def test_a_reader_repairs_its_own_store(tmp_path, stores):
    own = BlobStore(tmp_path / "own")
    own.put(DATA)
    (tmp_path / "own" / DIGEST).write_bytes(bytes(SIZE))
    stores["Org1MSP"].put(DATA)
    assert BlobReader(own, stores).fetch(DIGEST, SIZE, ["Org1MSP"]).read_bytes() == DATA


def test_a_reader_tells_missing_from_wrong_from_unreachable(tmp_path, stores):
    (tmp_path / "Org2MSP" / DIGEST).write_bytes(b"wrong")
    (tmp_path / "Org3MSP").rmdir()
    (tmp_path / "own").mkdir()
    reader = BlobReader(BlobStore(tmp_path / "own"), stores)
    with pytest.raises(BlobUnavailableError, match="FL-BLOB-UNAVAILABLE") as refusal:
        reader.fetch(DIGEST, SIZE, ["Org1MSP", "Org2MSP", "Org3MSP", "Org4MSP"])
    assert refusal.value.reasons == {
        "own": "FL-BLOB-MISSING",
        "Org1MSP": "FL-BLOB-MISSING",
        "Org2MSP": "FL-BLOB-CORRUPT",
        "Org3MSP": "FL-BLOB-UNREACHABLE",
    }
    assert not list((tmp_path / "own").iterdir())


def test_a_full_own_store_is_not_the_sources_fault(tmp_path, stores, monkeypatch):
    stores["Org1MSP"].put(DATA)

    def full(*_, **__):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("fabric_fl.blobs.local.write_all", full)
    with pytest.raises(StoreFullError, match="own"):
        BlobReader(BlobStore(tmp_path / "own"), stores).fetch(DIGEST, SIZE, ["Org1MSP"])


@pytest.mark.parametrize("damaged", [DATA[:-1] + b"?", DATA[:-1]], ids=["another byte", "cut off"])
def test_a_damaged_local_copy_of_what_lies_behind_a_url_is_fetched_again(tmp_path, damaged):
    store = BlobStore(f"memory://{tmp_path.name}/blobs", cache=tmp_path / "cache")
    store.put(DATA)
    copy = store.path(DIGEST, SIZE)
    copy.write_bytes(damaged)
    assert store.read(DIGEST, SIZE) == DATA
    copy.write_bytes(damaged)
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/blobs/{DIGEST}", damaged)
    with pytest.raises(BlobCorruptError):  # now both are
        store.read(DIGEST, SIZE)
    fsspec.filesystem("memory").store.clear()


def test_the_temporary_copies_of_a_url_end_with_the_store():
    store = BlobStore("memory://ends/blobs")
    store.put(DATA)
    path: Path = store.path(DIGEST, SIZE)
    assert path.exists()
    del store
    assert not path.exists()
    fsspec.filesystem("memory").store.clear()
