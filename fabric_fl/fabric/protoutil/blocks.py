"""Blocks: the hash chain, and the five slots of metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fabric_protos.common import common_pb2

from fabric_fl.fabric.protoutil.headers import Signer, signature_header
from fabric_fl.fabric.protoutil.unmarshal import MalformedMessage, unmarshal

SIGNATURES = common_pb2.SIGNATURES
LAST_CONFIG = common_pb2.LAST_CONFIG
TRANSACTIONS_FILTER = common_pb2.TRANSACTIONS_FILTER
ORDERER = common_pb2.ORDERER
COMMIT_HASH = common_pb2.COMMIT_HASH
_SLOTS = 5


def new_block(number: int, previous_hash: bytes, envelopes: Iterable[bytes]) -> common_pb2.Block:
    """Returns a block over the envelopes' bytes as received, its metadata slots still empty."""
    data = common_pb2.BlockData(data=envelopes)
    header = common_pb2.BlockHeader(number=number, previous_hash=previous_hash, data_hash=block_data_hash(data))
    return common_pb2.Block(header=header, data=data, metadata=common_pb2.BlockMetadata(metadata=[b""] * _SLOTS))


def block_header_bytes(header: common_pb2.BlockHeader) -> bytes:
    """Returns DER of SEQUENCE(INTEGER number, OCTET STRING previous hash, OCTET STRING data hash)."""
    number = header.number
    integer = number.to_bytes(number.bit_length() // 8 + 1, "big")  # one bit to spare, for the sign
    return _der(0x30, _der(0x02, integer) + _der(0x04, header.previous_hash) + _der(0x04, header.data_hash))


def block_header_hash(header: common_pb2.BlockHeader) -> bytes:
    """Returns the block's hash, which the next block names as its previous one."""
    return hashlib.sha256(block_header_bytes(header)).digest()


def block_data_hash(data: common_pb2.BlockData) -> bytes:
    """Returns SHA-256 over the concatenated envelopes."""
    return hashlib.sha256(b"".join(data.data)).digest()


def block_metadata(block: common_pb2.Block, slot: int) -> common_pb2.Metadata:
    """Parses one of the slots that hold a ``Metadata``; an empty slot gives an empty one.

    Raises:
        MalformedMessage: The block lacks the slot, or it holds something else.
    """
    if len(block.metadata.metadata) <= slot:
        raise MalformedMessage(f"no metadata at index [{common_pb2.BlockMetadataIndex.Name(slot)}]")
    return unmarshal(common_pb2.Metadata, block.metadata.metadata[slot])


def sign_block(block: common_pb2.Block, signer: Signer, last_config: int) -> None:
    """Writes the orderer's signature slot: over value, signature header and block header.

    Args:
        block: The block, its header complete.
        signer: The orderer.
        last_config: Number of the channel's newest configuration block, this one included.
    """
    value = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=last_config)).SerializeToString()
    header = signature_header(signer.serialize()).SerializeToString()
    signature = signer.sign(value + header + block_header_bytes(block.header))
    metadata = common_pb2.Metadata(
        value=value,
        signatures=[common_pb2.MetadataSignature(signature_header=header, signature=signature)],
    )
    block.metadata.metadata[SIGNATURES] = metadata.SerializeToString()


def last_config_index(block: common_pb2.Block) -> int:
    """Returns the number of the configuration block that was in force, as the orderer signed it.

    Raises:
        MalformedMessage: The signature slot is missing or malformed.
    """
    value = block_metadata(block, SIGNATURES).value
    index: int = unmarshal(common_pb2.OrdererBlockMetadata, value).last_config.index
    return index


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
