"""Merkle summaries of range queries, against Fabric 3.1.5 and against the tree as its documentation draws it."""

from __future__ import annotations

import hashlib

import pytest

from fabric_fl.fabric.ledger.rangequery import MerkleSummary, RangeQueryResults
from fabric_fl.fabric.ledger.rwset import Height

# Number of results → level, hashes, SHA-256 of the serialised summary, as Fabric's own code printed them for
# keys key000000, key000001, … in the versions (i // 7, i % 7).
FABRIC = {
    51: (1, 1, "63941f58a3f6ddd2b7877d6d2aca69578ae11e36be0277f2505c6a64e698968c"),
    52: (1, 2, "51421c91e3551d2569989e946de8288c5d7a0cf41f8b195fb036d387a68128c0"),
    101: (1, 2, "9ec22051a55a777943f0b1f851a30dccf83f0652c54fcbcb3579362895f1456e"),
    102: (1, 2, "f8fcc1f9dfb2a843417f97aaba7f735b8cbab21120d91fbb124898bcc32235ce"),
    250: (1, 5, "907232d6c0bbedfe7056be7162485f34dd88e2881a2eed697060a3bd11374bdb"),
    2550: (1, 50, "ae6887f275da64b1fdb9baf23c2531483c42b31a80942b1e6ae2048b2c39539d"),
    2551: (2, 1, "c7d981f48c1c7fd02c1103341a80209057b9b4751b435f8ba72352037742facd"),
    2600: (2, 1, "ac44f95dec3052230eeb5b7b3551a24a1a1e5e07a0fdadb6f6bd68cfe30ab4d2"),
    2601: (2, 1, "e0e9acaa5aec565c628160e7fa282e1b8d494a0f6ba93b73a9ea55691c02423f"),
    2602: (2, 2, "1e67f7946fb9bc474ad92e0b3bfe76b67978273ba02f41e601e6dceafc853578"),
    5000: (2, 2, "8c5fe3dcd29162dcdcf14566107c7f047f94ef8d09d17005ebb5b76281617a53"),
}
# The same with degree 2, where trees grow tall: first eight bytes of the hash.
FABRIC_DEGREE_2 = {
    3: (1, 1, "6f2fe5fd214b7423"), 4: (1, 2, "a730c26d01a3fc7c"), 6: (1, 2, "9fdcd62f711858d6"),
    7: (2, 1, "9faf7027d7b87e60"), 9: (2, 1, "7eebc985e1fded68"), 10: (2, 2, "434bf5b8f08800f8"),
    18: (2, 2, "10a31ef854b87819"), 19: (3, 1, "70a69fb793d57b29"), 27: (3, 1, "aea3cc79b65b979d"),
    28: (3, 2, "9e5f53a8207d101b"), 37: (3, 2, "f877aec48622555c"), 40: (3, 2, "865ca431f5710475"),
}  # fmt: skip


def _results(count: int, degree: int = 50) -> RangeQueryResults:
    results = RangeQueryResults(degree)
    for i in range(count):
        results.add(f"key{i:06d}", Height(i // 7, i % 7))
    return results


@pytest.mark.parametrize("count", [0, 1, 50])
def test_up_to_fifty_results_are_recorded_as_they_are(count: int) -> None:
    reads, summary = _results(count).done()
    assert [read.key for read in reads] == [f"key{i:06d}" for i in range(count)]
    assert summary is None


@pytest.mark.parametrize("count", FABRIC)
def test_more_results_have_the_summary_that_fabric_computes(count: int) -> None:
    reads, summary = _results(count).done()
    assert reads == []
    assert summary is not None
    digest = hashlib.sha256(summary.SerializeToString()).hexdigest()
    assert (summary.max_level, len(summary.max_level_hashes), digest) == FABRIC[count]


@pytest.mark.parametrize("count", FABRIC_DEGREE_2)
def test_tall_trees_have_the_summary_that_fabric_computes(count: int) -> None:
    _, summary = _results(count, degree=2).done()
    assert summary is not None
    digest = hashlib.sha256(summary.SerializeToString()).hexdigest()[:16]
    assert (summary.max_level, len(summary.max_level_hashes), digest) == FABRIC_DEGREE_2[count]


def test_the_leaves_are_hashes_of_fifty_one_results_each_encoded_by_hand() -> None:
    def field(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content  # no content here reaches 128 bytes

    def read(i: int) -> bytes:
        version = (bytes([0x08, i // 7]) if i // 7 else b"") + (bytes([0x10, i % 7]) if i % 7 else b"")
        return field(0x0A, field(0x0A, f"key{i:06d}".encode()) + field(0x12, version))

    leaves = [b"".join(read(i) for i in range(start, min(start + 51, 250))) for start in range(0, 250, 51)]
    _, summary = _results(250).done()
    assert summary is not None
    assert list(summary.max_level_hashes) == [hashlib.sha256(leaf).digest() for leaf in leaves]


def test_a_tree_of_degree_one_does_not_exist() -> None:
    with pytest.raises(ValueError, match="should not be less than 2"):
        MerkleSummary(1)
