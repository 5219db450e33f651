"""Blocks, judged anew: hashes, signatures, endorsement policies, read conflicts, and the contract's own rules.

Validity flags are a peer's word; here they are recomputed from block 0 on, and with them the world state. And since
enough endorsers together could sign anything, every valid call of the contract is executed once more: what it wrote
must be what its rules write, and depend on what they read; nothing else may write where the contract does.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cryptography import x509
from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2

from fabric_fl.audit.derived import SnapshotState
from fabric_fl.audit.execution import unexplained
from fabric_fl.audit.finding import Finding
from fabric_fl.fabric.channel.channelconfig import ChannelConfig, InvalidChannelConfig
from fabric_fl.fabric.channel.configtx import ConfigUpdateRefused, check_update, is_configuration
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.channel.txvalidator import VALID, TxValidator
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.fabric.ledger.kvledger import InvalidBlock, KVLedger
from fabric_fl.fabric.ledger.rwset import TxRWSet
from fabric_fl.fabric.protoutil import (
    COMMIT_HASH,
    LAST_CONFIG,
    ORDERER,
    SIGNATURES,
    TRANSACTIONS_FILTER,
    MalformedMessage,
    UnpackedEnvelope,
    block_header_bytes,
    block_metadata,
    unmarshal,
    unpack_envelope,
    unpack_transaction,
)

_NAMES = transaction_pb2.TxValidationCode
_BLOCK_POLICY = "/Channel/Orderer/BlockValidation"


class ChainBroken(ValueError):  # noqa: N818 -- what it is
    """A block after which nothing can be judged."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class Chain:
    """A channel's blocks from the first on.

    Args:
        channel: Its name.
        chaincode: The contract's.

    Attributes:
        transactions: How many were judged.
        config: The newest configuration.
        roots: Every root certificate that has counted so far, and the block since which, by MSP id.
        ledger: What the blocks give.
        tip: The newest block's hash, which peers tell as well.
    """

    config: ChannelConfig

    def __init__(self, channel: str, chaincode: str) -> None:
        self.transactions = 0
        self.ledger = KVLedger.open(None, channel)
        self.roots: dict[str, dict[x509.Certificate, int]] = {}
        self._channel = channel
        self._chaincode = chaincode
        self._last_config = 0

    def close(self) -> None:
        self.ledger.close()

    @property
    def tip(self) -> bytes:
        return self.ledger.tip_hash

    def add(self, number: int, data: bytes) -> list[Finding]:
        """Judges the next block; returns what does not hold in it.

        Raises:
            ChainBroken: It is not the next block, or cannot be read.
        """
        where = f"block {number}"
        try:
            block = _read(data)
            findings = self._configure(block) if number == 0 else list(self._metadata(block, where))
            findings += self._commit(block, where)
        except ConfigUpdateRefused as error:
            raise ChainBroken(Finding("configuration", None, str(error), where)) from error
        except (MalformedMessage, InvalidChannelConfig, InvalidBlock) as error:
            raise ChainBroken(Finding("chain", None, str(error), where)) from error
        self.transactions += len(block.data.data)
        return findings

    def _configure(self, block: common_pb2.Block) -> list[Finding]:
        self.config = ChannelConfig.from_block(block)
        self._signatures = SignatureCache(self.config.msps)
        self._validator = TxValidator(self.config, self.ledger, self._signatures)
        self._last_config = block.header.number
        for msp_id, msp in self.config.msps.msps.items():
            for root in msp.root_certs:
                self.roots.setdefault(msp_id, {}).setdefault(root, block.header.number)
        if self.config.channel_id != self._channel:
            return [Finding("chain", None, f"the blocks are of channel {self.config.channel_id}", "block 0")]
        return []

    def _commit(self, block: common_pb2.Block, where: str) -> Iterator[Finding]:
        recorded, recorded_hash = bytes(block.metadata.metadata[TRANSACTIONS_FILTER]), _commit_hash(block)
        again = common_pb2.Block()
        again.CopyFrom(block)
        if block.header.number == 0:
            self.ledger.commit(again, [VALID])
            if recorded not in (b"", b"\0") or recorded_hash:
                yield Finding("flags", None, "the first block's flags are not those of a first block", where)
            return
        configuration = is_configuration(block)
        if configuration:
            check_update(self.config, block, self._signatures)
        codes = [VALID] if configuration else self._validator.validate(again)
        findings = [] if configuration else list(self._transactions(block, codes, where))
        statuses = self.ledger.commit(again, codes).statuses
        for index, status in enumerate(statuses):
            place = f"{where}, transaction {index}"
            if index >= len(recorded) or recorded[index] != status.code:
                was = _NAMES.Name(recorded[index]) if index < len(recorded) else "nothing"
                message = f"recorded as {was}, and is {_NAMES.Name(status.code)}"
                yield Finding("flags", _creator(block.data.data[index]), message, place)
        yield from (finding for index, finding in findings if statuses[index].code == VALID)
        if len(recorded) != len(statuses):
            yield Finding("flags", None, f"{len(recorded)} flags for {len(statuses)} transactions", where)
        if recorded_hash != _commit_hash(again):
            yield Finding("state", None, "the commit hash is not that of the block's flags and writes", where)
        if configuration:
            self._configure(block)

    # ---------------------------------------------------------------- the orderer's part

    def _metadata(self, block: common_pb2.Block, where: str) -> Iterator[Finding]:
        signed = block_metadata(block, SIGNATURES)
        signatures = list(self._signed(signed, block_header_bytes(block.header)))
        signers = self._signatures.valid_identities(signatures)
        if not self.config.evaluate(_BLOCK_POLICY, signers) or len(signers) != len(signatures):
            yield Finding("orderer", None, "no orderer of the channel has signed it as it is", where)
        value = unmarshal(common_pb2.OrdererBlockMetadata, signed.value)
        newest = block.header.number if is_configuration(block) else self._last_config
        if value.last_config.index != newest:
            yield Finding("orderer", None, f"names block {value.last_config.index} as the configuration", where)
        # Older places of what is signed in this one; nobody else vouches for them.
        for slot, expected in (
            (LAST_CONFIG, value.last_config.SerializeToString()),
            (ORDERER, value.consenter_metadata),
        ):
            if block.metadata.metadata[slot] and block_metadata(block, slot).value != expected:
                yield Finding("orderer", None, f"metadata {slot} differs from what the orderer has signed", where)
        moments = [moment for envelope in block.data.data if (moment := _moment(envelope))]
        for signer in signers:
            yield from _in_time(signer, max(moments, default=None), "the orderer", where)

    def _signed(self, metadata: common_pb2.Metadata, header: bytes) -> Iterator[SignedData]:
        """Raft's orderers sign with their certificate, SmartBFT's with a number that the configuration explains."""
        for one in metadata.signatures:
            if one.signature_header:
                creator = unmarshal(common_pb2.SignatureHeader, one.signature_header).creator
                yield SignedData(metadata.value + one.signature_header + header, creator, one.signature)
                continue
            number = unmarshal(common_pb2.IdentifierHeader, one.identifier_header).identifier
            if number in self.config.consenters:
                creator = self.config.consenters[number]
                yield SignedData(metadata.value + one.identifier_header + header, creator, one.signature)

    # ---------------------------------------------------------------- transactions

    def _transactions(self, block: common_pb2.Block, codes: list[int], where: str) -> Iterator[tuple[int, Finding]]:
        with self.ledger.snapshot() as snapshot:
            for index, (data, code) in enumerate(zip(block.data.data, codes, strict=True)):
                if code != VALID:
                    continue
                place = f"{where}, transaction {index}"
                envelope = unpack_envelope(data)
                for finding in self._certificates(envelope, _moment(data), place):
                    yield index, finding
                call = unpack_transaction(envelope.payload.data)
                action = call.chaincode_action
                message = unexplained(
                    SnapshotState(snapshot, self._chaincode),
                    action.chaincode_id.name,
                    envelope.signature_header.creator,
                    call.spec.input.args,
                    TxRWSet.parse(action.results),
                )
                if message:
                    yield index, Finding("contract", _creator(data), message, place)

    def _certificates(
        self, envelope: UnpackedEnvelope, moment: datetime.datetime | None, place: str
    ) -> Iterator[Finding]:
        """Who signed had a certificate that was valid when the transaction, by its own word, was made."""
        creator = self._signatures.deserialize(envelope.signature_header.creator)
        yield from _in_time(creator, moment, "the creator", place)
        action = unpack_transaction(envelope.payload.data).action_payload.action
        for endorsement in action.endorsements:
            try:
                endorser = self._signatures.deserialize(endorsement.endorser)
            except InvalidIdentity as error:
                yield Finding("endorsement", None, f"nobody vouches for an endorser: {error}", place)
                continue
            signed = action.proposal_response_payload + endorsement.endorser
            if not self._signatures.verify(endorser, signed, endorsement.signature):
                yield Finding("endorsement", endorser.msp_id, "the endorser did not sign this", place)
            yield from _in_time(endorser, moment, "the endorser", place)


def _read(data: bytes) -> common_pb2.Block:
    block = unmarshal(common_pb2.Block, data)
    if block.SerializeToString() != data or len(block.metadata.metadata) <= COMMIT_HASH:
        raise MalformedMessage("it holds more than a block, or less")
    return block


def _in_time(identity: Identity, moment: datetime.datetime | None, who: str, where: str) -> Iterator[Finding]:
    certificate = identity.certificate
    if moment and not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        message = f"{who}'s certificate was not valid on {moment:%Y-%m-%d %H:%M}"
        yield Finding("certificate", identity.msp_id, message, where)


def _moment(envelope: bytes) -> datetime.datetime | None:
    try:
        timestamp = unpack_envelope(envelope).channel_header.timestamp
        return datetime.datetime.fromtimestamp(timestamp.seconds, datetime.UTC)
    except (MalformedMessage, ValueError, OverflowError):
        return None


def _creator(envelope: bytes) -> str | None:
    try:
        return Identity.deserialize(unpack_envelope(envelope).signature_header.creator).msp_id
    except (MalformedMessage, InvalidIdentity):
        return None


def _commit_hash(block: common_pb2.Block) -> bytes:
    value: bytes = block_metadata(block, COMMIT_HASH).value
    return value
