"""Blocks, recomputed from the specification: hashes, signatures, flags and the commit hash."""

import hashlib
import itertools

import pytest
from fabric_network import CHANNEL
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from raw import Invocation, deliver, seek, specified

from fabric_fl.fabric import protoutil
from fabric_fl.fabric.identity import Identity

VALID = 0


@pytest.fixture
def chain(network, contract, key):
    """Every block of the first organisation's peer, after some of every kind were made."""
    contract.submit("PutMany", key, "1", "5")
    contract.submit("Delete", key + "00003")
    stale = [Invocation(network, "Increment", "n" + key) for _ in range(2)]
    envelopes = [each.transaction() for each in stale]
    assert [each.submit(envelope) for each, envelope in zip(stale, envelopes, strict=True)] == [
        "VALID",
        "MVCC_READ_CONFLICT",
    ]
    peer = network.organisations[0]
    return blocks(peer, peer.network.height() - 1)


def blocks(peer, tip):
    return [message for kind, message in seek(peer, specified(0), specified(tip)) if kind == "block"]


def der(tag, content):
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def header_der(header):
    """SEQUENCE { INTEGER number, OCTET STRING previous, OCTET STRING data hash }."""
    number = header.number.to_bytes(header.number.bit_length() // 8 + 1, "big")
    return der(0x30, der(2, number) + der(4, header.previous_hash) + der(4, header.data_hash))


def test_blocks_are_numbered_and_each_names_the_hash_of_the_one_before(chain):
    assert [block.header.number for block in chain] == list(range(len(chain)))
    assert chain[0].header.previous_hash == b""
    for before, after in itertools.pairwise(chain):
        assert after.header.previous_hash == hashlib.sha256(header_der(before.header)).digest()


def test_the_data_hash_is_over_the_envelopes_as_they_stand(chain):
    for block in chain:
        assert block.header.data_hash == hashlib.sha256(b"".join(block.data.data)).digest()


def test_every_transaction_has_a_flag(chain):
    codes = set()
    for block in chain:
        flags = block.metadata.metadata[common_pb2.TRANSACTIONS_FILTER]
        assert len(flags) == len(block.data.data)
        codes |= set(flags)
    assert {0, 11} <= codes


def test_the_orderer_signed_every_block_but_the_first(chain, network):
    for block in chain[1:]:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[common_pb2.SIGNATURES])
        (signature,) = metadata.signatures
        header = common_pb2.SignatureHeader.FromString(signature.signature_header)
        orderer = Identity.deserialize(header.creator)
        signed = metadata.value + signature.signature_header + header_der(block.header)
        assert orderer.verify(signed, signature.signature)
        assert orderer.msp_id not in {each.msp_id for each in network.organisations}
        value = common_pb2.OrdererBlockMetadata.FromString(metadata.value)
        assert value.last_config.index < block.header.number


def test_every_organisations_peer_has_the_same_blocks(chain, network):
    tip = len(chain) - 1
    for organisation in network.organisations[1:]:
        for own, other in zip(chain, blocks(organisation, tip), strict=True):
            assert own.header == other.header
            assert own.data == other.data
            for slot in (common_pb2.SIGNATURES, common_pb2.TRANSACTIONS_FILTER, common_pb2.COMMIT_HASH):
                assert own.metadata.metadata[slot] == other.metadata.metadata[slot]


def test_the_orderers_blocks_have_no_flags_and_no_commit_hash(chain, network):
    request = protoutil.seek_envelope(CHANNEL, network.organisations[0].identity, specified(1), specified(2))
    for kind, block in deliver(network.orderer_stub.Deliver, request):
        if kind == "block":
            metadata = list(block.metadata.metadata) + [b""] * 5
            assert set(metadata[common_pb2.TRANSACTIONS_FILTER]) <= {254, 0}
            assert metadata[common_pb2.COMMIT_HASH] == b""


def test_the_commit_hash_covers_flags_and_writes_of_every_block(chain):
    previous = b""
    for block in chain[1:]:
        expected = hashlib.sha256(
            uvarint(len(block.data.data))
            + block.metadata.metadata[common_pb2.TRANSACTIONS_FILTER]
            + update_bytes(block)
            + previous
        ).digest()
        found = common_pb2.Metadata.FromString(block.metadata.metadata[common_pb2.COMMIT_HASH]).value
        assert found == expected, f"block {block.header.number}"
        previous = found


def uvarint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def order_preserving(number):
    """Length of the number in bytes, then the number, big-endian: Fabric's order-preserving varint."""
    size = (number.bit_length() + 7) // 8
    return uvarint(size) + number.to_bytes(size, "big")


def update_bytes(block):
    """What valid transactions wrote last, as Fabric encodes it for the commit hash."""
    updates = {}
    flags = block.metadata.metadata[common_pb2.TRANSACTIONS_FILTER]
    for position, (data, flag) in enumerate(zip(block.data.data, flags, strict=True)):
        envelope = protoutil.unpack_envelope(data)
        if flag != VALID or envelope.channel_header.type != common_pb2.ENDORSER_TRANSACTION:
            continue
        version = order_preserving(block.header.number) + order_preserving(position)
        results = protoutil.unpack_transaction(envelope.payload.data).chaincode_action.results
        for namespace in rwset_pb2.TxReadWriteSet.FromString(results).ns_rwset:
            for write in kv_rwset_pb2.KVRWSet.FromString(namespace.rwset).writes:
                place = namespace.namespace.encode(), b"", write.key.encode()
                updates[place] = write.is_delete, write.value, version
            for collection in namespace.collection_hashed_rwset:
                hashed = kv_rwset_pb2.HashedRWSet.FromString(collection.hashed_rwset).hashed_writes
                for write in hashed:
                    place = namespace.namespace.encode(), collection.collection_name.encode(), write.key_hash
                    updates[place] = write.is_delete, write.value_hash, version
    return encode_updates(updates)


def encode_updates(updates):
    """Repeated field 1 of {1 namespace, 2 collection, 3 key, 4 is_delete, 5 value, 6 version}, sorted.

    A namespace, and a collection in it, stands at its first entry only.
    """
    encoded, before = b"", (b"", b"")
    for (namespace, collection, key), (is_delete, value, version) in sorted(updates.items()):
        entry = field(1, namespace if namespace != before[0] else b"")
        entry += field(2, collection if (namespace, collection) != before else b"")
        entry += field(3, key) + (b"\x20\x01" if is_delete else field(5, value)) + field(6, version)
        encoded += field(1, entry)
        before = namespace, collection
    return encoded


def field(number, content):
    return bytes([number << 3 | 2]) + uvarint(len(content)) + content if content else b""
