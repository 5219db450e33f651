"""From others' stores to the sum: what is read once, what is kept, and what happens when a store lies."""

import hashlib
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rounds_on_disk import make_round, with_bytes

from fabric_fl.aggregation import AggregationError, aggregate
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.intake import Intake

NAMES = ("Org1MSP", "Org2MSP", "Org3MSP", "Org4MSP", "Org5MSP")


class Counting:
    """SHA-256 that notes how many bytes went through it."""

    counted = 0

    def __init__(self, data=b""):
        self._hash = hashlib.sha256(data)

    def update(self, data):
        Counting.counted += len(data)
        self._hash.update(data)

    def hexdigest(self):
        return self._hash.hexdigest()


class InThisProcess:
    """A worker that notes how many bytes of updates and base are hashed for a sum."""

    def __init__(self, monkeypatch):
        self.hashed = 0
        self._monkeypatch = monkeypatch

    def aggregate(self, inputs, directory):
        with self._monkeypatch.context() as patch:
            patch.setattr("fabric_fl.aggregation.streams.hashlib", SimpleNamespace(sha256=Counting))
            Counting.counted = 0
            try:
                return aggregate(inputs, directory)
            finally:
                self.hashed = Counting.counted


class Round:
    """A round whose updates lie in their authors' stores, and Org9MSP, which validates it."""

    def __init__(self, folder, monkeypatch, *, url=None, count=3):
        self.inputs = make_round(folder / "made", count=count, shapes=((300, 500), (5,)), bound=2**20)
        self.inputs = replace(self.inputs, bound=2**20)
        self.expected = aggregate(self.inputs, folder / "made")
        self.base = self.inputs.model.size
        self.folder = folder / "round"
        self.folder.mkdir()
        self.own = BlobStore(folder / "own")
        self.stores = {
            who: BlobStore(
                f"{url}/{who}" if url else folder / who, **({"cache": folder / f"{who}-cache"} if url else {})
            )
            for who in (*NAMES, "Org8MSP")
        }
        for update in self.inputs.updates:
            self.stores[update.participant].put(update.path.read_bytes())
        self.worker = InThisProcess(monkeypatch)
        self.intake = Intake(BlobReader(self.own, self.stores), self.worker)

    @property
    def revealed(self):
        return tuple(replace(update, path=None) for update in self.inputs.updates)

    @property
    def size(self):
        return sum(update.size for update in self.inputs.updates)

    def gather(self, updates=None, *, copying=True):
        directory = self.folder if copying else None
        return self.intake.gather(updates or self.revealed, lambda who: (who, "Org8MSP"), directory)

    def sum(self, updates):
        return self.intake.aggregate(replace(self.inputs, updates=updates), self.folder)

    def store_file(self, index):
        update = self.inputs.updates[index]
        return self.stores[update.participant].path(update.digest, update.size)

    def kept(self, index):
        update = self.inputs.updates[index]
        return self.own.nearby(update.digest, update.size)


@pytest.fixture
def round_(tmp_path, monkeypatch):
    return Round(tmp_path, monkeypatch)


def flip(path):
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def no_file_is_hashed(monkeypatch):
    monkeypatch.setattr("fabric_fl.blobs.local.file_digest", lambda file: pytest.fail("hashed again"))


def test_what_lies_in_others_directories_is_hashed_once_copied_and_summed_in_one_pass(round_, monkeypatch):
    no_file_is_hashed(monkeypatch)
    gathered = round_.gather()
    assert round_.worker.hashed == 0
    assert all(update.path.parent != round_.folder for update in gathered)
    inputs, result = round_.sum(gathered)
    assert result.result == round_.expected.result
    assert round_.worker.hashed == round_.size + round_.base
    for index, update in enumerate(inputs.updates):
        assert update.path == round_.kept(index)
        assert update.path.read_bytes() == round_.inputs.updates[index].path.read_bytes()
    assert sorted(path.name for path in round_.folder.iterdir()) == ["model.safetensors", "state.safetensors"]


def test_a_second_sum_of_what_was_summed_hashes_nothing_again(round_):
    inputs, _ = round_.sum(round_.gather())
    again, result = round_.sum(inputs.updates)
    assert (again, result.result) == (inputs, round_.expected.result)
    assert round_.worker.hashed == round_.base
    assert round_.gather() == inputs.updates  # and a restart finds them in the own store


def test_what_comes_while_others_are_awaited_is_fetched_and_only_added_later(round_, monkeypatch):
    early = round_.gather(round_.revealed[:2], copying=False)
    assert [update.path for update in early] == [round_.kept(0), round_.kept(1)]
    no_file_is_hashed(monkeypatch)
    gathered = round_.gather()
    assert [update.copy is None for update in gathered] == [True, True, False]
    _, result = round_.sum(gathered)
    assert result.result == round_.expected.result
    assert round_.worker.hashed == round_.revealed[2].size + round_.base


def test_an_own_file_that_changed_after_it_was_verified_is_hashed_and_refused(round_):
    gathered = round_.gather(copying=False)
    flip(gathered[1].path)
    with pytest.raises(AggregationError) as failure:
        round_.sum(gathered)
    assert failure.value.participants == ("Org2MSP",)
    assert round_.gather() == gathered  # from the author's store again
    assert round_.sum(round_.gather())[1].result == round_.expected.result


def test_wrong_bytes_in_a_directory_are_not_kept_and_another_store_is_tried(round_):
    round_.stores["Org8MSP"].put(round_.inputs.updates[1].path.read_bytes())
    flip(round_.store_file(1))
    with pytest.raises(AggregationError) as failure:
        round_.sum(round_.gather())
    assert failure.value.code == "FL-AGGREGATE-UNAVAILABLE"
    assert failure.value.participants == ("Org2MSP",)
    assert [round_.kept(index) is not None for index in range(3)] == [True, False, True]
    assert list(round_.folder.iterdir()) == []
    inputs, result = round_.sum(round_.gather())
    assert result.result == round_.expected.result
    assert round_.worker.hashed == round_.base  # the honest ones were right the first time
    assert inputs.updates[1].path == round_.kept(1)


def test_what_nobody_has_right_is_not_gathered_again(round_):
    flip(round_.store_file(1))
    with pytest.raises(AggregationError):
        round_.sum(round_.gather())
    assert [update.participant for update in round_.gather()] == ["Org1MSP", "Org3MSP"]


@pytest.mark.parametrize("spoil", ["link", "cut", "gone"])
def test_what_is_no_file_of_the_right_size_is_not_read(round_, spoil, tmp_path):
    path = round_.store_file(0)
    if spoil == "cut":
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.rename(tmp_path / "elsewhere")
    if spoil == "link":
        path.symlink_to(tmp_path / "elsewhere")
    assert [update.participant for update in round_.gather()] == ["Org2MSP", "Org3MSP"]


def test_a_file_that_is_cut_off_after_it_was_found_is_missing(round_):
    gathered = round_.gather()
    path = round_.store_file(0)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(AggregationError) as failure:
        round_.sum(gathered)
    assert failure.value.participants == ("Org1MSP",)


def test_stores_behind_urls_are_fetched_at_once_and_before_the_sum(tmp_path, monkeypatch):
    round_ = Round(tmp_path, monkeypatch, url="memory://intake")
    meeting = threading.Barrier(3, timeout=10)
    copy_from = BlobStore.copy_from

    def meet(*arguments):
        meeting.wait()
        copy_from(*arguments)

    monkeypatch.setattr(BlobStore, "copy_from", meet)
    gathered = round_.gather()
    assert [update.path for update in gathered] == [round_.kept(index) for index in range(3)]
    _, result = round_.sum(gathered)
    assert result.result == round_.expected.result
    assert round_.worker.hashed == round_.base


@pytest.mark.parametrize(
    "rule", [{"rule": "krum", "byzantine": 1}, {"rule": "median"}, {"rule": "norm-bound", "norm": "20"}]
)
def test_robust_rules_hash_an_update_once_however_often_they_read_it(tmp_path, monkeypatch, rule):
    round_ = Round(tmp_path, monkeypatch, count=5)
    round_.inputs = replace(round_.inputs, rule=rule)
    expected = aggregate(round_.inputs, tmp_path / "made")
    inputs, result = round_.sum(round_.gather())
    assert result.result == expected.result
    assert round_.worker.hashed == round_.size + round_.base * (2 if rule["rule"] != "median" else 1)
    assert all(update.path == round_.kept(index) for index, update in enumerate(inputs.updates))


def test_an_update_of_invalid_content_is_kept_too_because_everybody_refuses_it(round_):
    path = round_.inputs.updates[1].path
    data = bytearray(path.read_bytes())
    data[-4:] = (2**20 + 1).to_bytes(4, "little")
    round_.inputs = with_bytes(round_.inputs, 1, bytes(data))
    round_.stores["Org2MSP"].put(bytes(data))
    inputs, result = round_.sum(round_.gather())
    assert result.refused == {"Org2MSP": "FL-BLOB-BOUND"}
    assert round_.worker.hashed == round_.size + 2 * round_.base  # the pass is repeated, and hashes no update again
    assert inputs.updates[1].path == round_.kept(1)


@pytest.mark.parametrize("copying", [True, False])
def test_two_participants_who_revealed_the_same_bytes_are_both_read_and_one_of_them_is_refused(round_, copying):
    theirs = round_.inputs.updates[1].path.read_bytes()
    round_.inputs = with_bytes(round_.inputs, 2, theirs)
    round_.stores["Org3MSP"].put(theirs)
    inputs, result = round_.sum(round_.gather(copying=copying))
    assert (result.included, result.refused) == (("Org1MSP", "Org2MSP"), {"Org3MSP": "FL-BLOB-HEADER"})
    assert [update.path for update in inputs.updates] == [round_.kept(0), round_.kept(1), round_.kept(1)]
    assert sorted(path.name for path in round_.folder.iterdir()) == ["model.safetensors", "state.safetensors"]
    assert round_.gather() == inputs.updates
    assert round_.sum(inputs.updates) == (inputs, result)


def test_without_room_for_copies_nothing_is_lost(round_):
    gathered = round_.gather()
    round_.folder.rmdir()
    with pytest.raises(AggregationError) as failure:
        round_.sum(gathered)
    assert failure.value.code == "FL-AGGREGATE-STORAGE"
    round_.folder.mkdir()
    assert round_.sum(round_.gather())[1].result == round_.expected.result


def test_what_a_killed_process_left_half_copied_is_overwritten(round_):
    gathered = round_.gather()
    (round_.folder / f".{gathered[0].copy.name}.part").write_bytes(b"x" * (gathered[0].size + 100))
    inputs, _ = round_.sum(gathered)
    assert inputs.updates[0].path.stat().st_size == gathered[0].size
