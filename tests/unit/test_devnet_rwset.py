"""Read/write sets, byte for byte. The hexadecimal constants were printed by Fabric 3.1.5's own ``rwsetutil``."""

from __future__ import annotations

import pytest
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from hypothesis import given
from hypothesis import strategies as st

from fabric_fl.fabric.ledger.rwset import (
    Height,
    RWSetBuilder,
    RWSetError,
    TxRWSet,
    is_delete,
    parse_private,
    version_of,
)

FABRIC_PUBLIC = bytes.fromhex(
    "12a0020a0a5f6c6966656379636c651ad2010a155f696d706c696369745f6f72675f4f7267314d53501296010a280a20015f7e6bc5aeaf48"
    "3724089e9252cc13b50951a6b69412522765cff4d780306e12040801100212240a20d1a5ac9a015fac2ef7b341673635512a1511f41fe37d"
    "111b267f039eec5d4f58100112440a206ab9f1eb8f7d3388f4f9d586f66e99fd54080df2c446f0e58668b09c08a16dd01a203bfc269594ef"
    "649228e9a74bab00f042efc91d5acc6fbee31a382e80d42388fe1a20653d61094a0360afc270ceddb9b4d7f12eea818359a13b1a2c3975e1"
    "81914c0b1a3d0a155f696d706c696369745f6f72675f4f7267324d535012240a220a20015f7e6bc5aeaf483724089e9252cc13b50951a6b6"
    "9412522765cff4d780306e12270a036e733112200a0f0a0800636f6d70007800120308ac020a050a03efbfbf0a060a04f0908080124b0a03"
    "6e733212440a030a01610a090a016212040803100112150a01611201631801220b0a090a016212040803100112050a017118011a050a0178"
    "10011a050a017910011a060a017a1a0132"
)
FABRIC_PRIVATE = bytes.fromhex(
    "12390a0a5f6c6966656379636c65122b0a155f696d706c696369745f6f72675f4f7267314d535012121a060a026b3010011a080a026b311a"
    "027631"
)


def _same_as_in_fabric() -> RWSetBuilder:
    builder = RWSetBuilder()
    builder.add_read("ns2", "b", Height(3, 1))
    builder.add_read("ns2", "a", None)
    builder.add_read("ns2", "b", Height(3, 1))
    builder.add_read("ns1", "\x00comp\x00x\x00", Height(300, 0))
    builder.add_read("ns1", "\U00010000", None)
    builder.add_read("ns1", "\uffff", None)
    for key, value in (("z", b"1"), ("y", b""), ("z", b"2"), ("x", b"")):
        builder.add_write("ns2", key, value)
    query = kv_rwset_pb2.RangeQueryInfo(start_key="a", end_key="c", itr_exhausted=True)
    query.raw_reads.kv_reads.add(key="b", version=Height(3, 1).to_proto())
    builder.add_range_query("ns2", query)
    for _ in range(2):
        builder.add_range_query("ns2", kv_rwset_pb2.RangeQueryInfo(start_key="q", end_key="", itr_exhausted=True))
    builder.add_private_write("_lifecycle", "_implicit_org_Org1MSP", "k1", b"v1")
    builder.add_private_write("_lifecycle", "_implicit_org_Org1MSP", "k0", b"")
    builder.add_hashed_read("_lifecycle", "_implicit_org_Org1MSP", "k2", Height(1, 2))
    builder.add_hashed_read("_lifecycle", "_implicit_org_Org2MSP", "k2", None)
    return builder


def test_a_read_write_set_has_the_bytes_that_fabric_gives_it() -> None:
    assert _same_as_in_fabric().serialize() == FABRIC_PUBLIC


def test_private_writes_have_the_bytes_that_fabric_gives_them() -> None:
    private = _same_as_in_fabric().build_private()
    assert private is not None
    assert private.SerializeToString() == FABRIC_PRIVATE


def test_nothing_read_or_written_is_no_bytes() -> None:
    assert RWSetBuilder().serialize() == b""
    assert RWSetBuilder().build_private() is None


def test_keys_are_sorted_by_their_bytes() -> None:
    # U+FFFF is EF BF BF and U+10000 is F0 90 80 80; as UTF-16 the order would be the other one.
    builder = RWSetBuilder()
    for key in ("\U00010000", "b", "\uffff", "a", "\x00"):
        builder.add_write("ns", key, b"v")
    (part,) = TxRWSet.parse(builder.serialize()).namespaces
    assert [write.key for write in part.kv.writes] == ["\x00", "a", "b", "\uffff", "\U00010000"]


def test_an_empty_value_is_a_delete_whoever_wrote_it() -> None:
    assert is_delete(kv_rwset_pb2.KVWrite(key="k", value=b""))
    assert is_delete(kv_rwset_pb2.KVWrite(key="k", value=b"v", is_delete=True))
    assert not is_delete(kv_rwset_pb2.KVWrite(key="k", value=b"v"))


def test_an_absent_key_is_read_without_a_version_and_block_zero_with_one() -> None:
    builder = RWSetBuilder()
    builder.add_read("ns", "absent", None)
    builder.add_read("ns", "genesis", Height(0, 0))
    (part,) = TxRWSet.parse(builder.serialize()).namespaces
    assert [version_of(read) for read in part.kv.reads] == [None, Height(0, 0)]


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        (Height(0, 0), "0000"),
        (Height(1, 0), "010100"),
        (Height(300, 1), "02012c0101"),
        (Height(70000, 256), "03011170020100"),
        (Height(2**64 - 1, 0), "08ffffffffffffffff00"),
    ],
)
def test_heights_have_an_encoding_whose_first_byte_is_its_length(height: Height, expected: str) -> None:
    assert height.to_bytes().hex() == expected


@given(st.tuples(*[st.integers(0, 2**64 - 1)] * 2), st.tuples(*[st.integers(0, 2**64 - 1)] * 2))
def test_encoded_heights_sort_as_heights_do(first: tuple[int, int], second: tuple[int, int]) -> None:
    assert (Height(*first) < Height(*second)) == (Height(*first).to_bytes() < Height(*second).to_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        rwset_pb2.TxReadWriteSet(ns_rwset=[rwset_pb2.NsReadWriteSet(namespace="n", rwset=b"\xff")]).SerializeToString(),
        rwset_pb2.TxReadWriteSet(
            ns_rwset=[
                rwset_pb2.NsReadWriteSet(
                    collection_hashed_rwset=[rwset_pb2.CollectionHashedReadWriteSet(hashed_rwset=b"\xff")]
                )
            ]
        ).SerializeToString(),
    ],
    ids=["outside", "a namespace", "a collection"],
)
def test_garbage_at_any_level_is_refused(data: bytes) -> None:
    with pytest.raises(RWSetError):
        TxRWSet.parse(data)


def test_what_a_collection_wrote_hashes_to_what_the_transaction_carries() -> None:
    builder = _same_as_in_fabric()
    private = builder.build_private()
    assert private is not None
    found = parse_private(private.SerializeToString())["_lifecycle", "_implicit_org_Org1MSP"]
    lifecycle = TxRWSet.parse(builder.serialize()).namespaces[0]
    assert found.hash == lifecycle.collections[0].private_hash
    assert [(write.key, write.value) for write in found.kv.writes] == [("k0", b""), ("k1", b"v1")]
