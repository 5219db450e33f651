"""Chains of signed blocks whose configuration changes in the middle, as peers of a real channel would store them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from config_updates import applied
from devnet_ledgers import CHAINCODE, CHANNEL, endorsed, genesis, organizations
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.peer import transaction_pb2

from fabric_fl.audit.chain import Chain
from fabric_fl.audit.finding import Finding
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition, definition_transaction
from fabric_fl.fabric.channel.txvalidator import TxValidator
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.rwset import RWSetBuilder
from fabric_fl.fabric.protoutil import (
    SIGNATURES,
    block_header_bytes,
    channel_header,
    new_block,
    sign_block,
    sign_envelope,
    signature_header,
)
from fabric_fl.network.fabric import configchange
from fabric_fl.network.fabric.configupdate import update

ORDERER = organizations()[3]
Code = transaction_pb2.TxValidationCode


class SignedChain:
    """A channel of org1 to org3 on which the chaincode is defined, and whose administrators may change it.

    Attributes:
        blocks: As a peer stores them.
        consenters: Who signs blocks by number, as SmartBFT's orderers do; nobody where Raft's one orderer signs.
    """

    def __init__(self) -> None:
        self._ledger = KVLedger.open(None, CHANNEL)
        self.blocks: list[bytes] = []
        self.consenters: dict[int, SigningIdentity] = {}
        self._commit(common_pb2.Block.FromString(genesis()), [0])
        self.define(ChaincodeDefinition(CHAINCODE, "1.0"))

    def close(self) -> None:
        self._ledger.close()

    @property
    def height(self) -> int:
        return self._ledger.height

    def add(self, *envelopes: common_pb2.Envelope | bytes, flags: Sequence[int] | None = None) -> list[str]:
        """Adds a block; returns what its transactions are, or what a lying peer says that they are."""
        data = [each if isinstance(each, bytes) else each.SerializeToString() for each in envelopes]
        block = self._signed(data)
        return self._commit(block, TxValidator(self.config, self._ledger).validate(block) if flags is None else flags)

    def define(self, definition: ChaincodeDefinition) -> None:
        org1, org2, *_ = organizations()
        with self._ledger.snapshot() as snapshot:
            endorsers = [org1.node, org2.node]
            envelope = definition_transaction(CHANNEL, definition, org1.admin, endorsers, snapshot)
        assert self.add(envelope) == ["VALID"]

    def configure(
        self,
        change: configchange.Change,
        signers: Iterable[SigningIdentity] | None = None,
        *,
        sequence: int | None = None,
        channel: str = CHANNEL,
        held: configchange.Change | None = None,
        submitter: SigningIdentity = ORDERER.node,
    ) -> None:
        """Adds a configuration block, whoever may have signed its update.

        Args:
            change: What the update says.
            signers: Who signed the update; by default, administrators of org1, org2 and the orderer's organisation.
            sequence: The new configuration's number, where it is not the next.
            channel: That the update is for.
            held: What the block holds, where that is not what its update gives.
            submitter: Who signed the transaction.
        """
        before = self.config.config
        envelope = common_pb2.Envelope.FromString(update(channel, before, configchange.changed(before, change)))
        payload = common_pb2.Payload.FromString(envelope.payload)
        signed = configtx_pb2.ConfigUpdateEnvelope.FromString(payload.data)
        org1, org2, _, orderer = organizations()
        for signer in (org1.admin, org2.admin, orderer.admin) if signers is None else signers:
            header = signature_header(signer.serialize()).SerializeToString()
            signed.signatures.add(signature_header=header, signature=signer.sign(header + signed.config_update))
        payload.data = signed.SerializeToString()
        envelope.payload = payload.SerializeToString()
        delta = configtx_pb2.ConfigUpdate.FromString(signed.config_update)
        group = applied(before.channel_group, delta.read_set, delta.write_set)
        after = configtx_pb2.Config(sequence=before.sequence + 1 if sequence is None else sequence, channel_group=group)
        if held is not None:
            held(after)
        self._configuration(configtx_pb2.ConfigEnvelope(config=after, last_update=envelope), submitter)

    def repeat(self, number: int) -> None:
        """Adds a configuration block with the update of an earlier one, as whoever kept it would."""
        envelope = common_pb2.Envelope.FromString(common_pb2.Block.FromString(self.blocks[number]).data.data[0])
        content = configtx_pb2.ConfigEnvelope.FromString(common_pb2.Payload.FromString(envelope.payload).data)
        content.config.sequence = self.config.config.sequence + 1
        self._configuration(content, ORDERER.node)

    def _configuration(self, content: configtx_pb2.ConfigEnvelope, submitter: SigningIdentity) -> None:
        header = common_pb2.Header(
            channel_header=channel_header(common_pb2.CONFIG, CHANNEL, version=1).SerializeToString(),
            signature_header=signature_header(submitter.serialize()).SerializeToString(),
        )
        payload = common_pb2.Payload(header=header, data=content.SerializeToString()).SerializeToString()
        envelope = sign_envelope(common_pb2.Envelope(payload=payload), submitter).SerializeToString()
        self._commit(self._signed([envelope], configuration=True), [0])

    def _signed(self, data: list[bytes], *, configuration: bool = False) -> common_pb2.Block:
        block = new_block(self.height, self._ledger.tip_hash, data)
        last_config = self.height if configuration else self._last_config
        sign_block(block, ORDERER.node, last_config)
        if self.consenters:
            metadata = common_pb2.Metadata.FromString(block.metadata.metadata[SIGNATURES])
            del metadata.signatures[:]
            for number, signer in self.consenters.items():
                header = common_pb2.IdentifierHeader(identifier=number, nonce=b"n").SerializeToString()
                signature = signer.sign(metadata.value + header + block_header_bytes(block.header))
                metadata.signatures.add(identifier_header=header, signature=signature)
            block.metadata.metadata[SIGNATURES] = metadata.SerializeToString()
        return block

    def _commit(self, block: common_pb2.Block, codes: Sequence[int]) -> list[str]:
        committed = self._ledger.commit(block, codes)
        self.blocks.append(committed.data)
        if _type_of(block) == common_pb2.CONFIG:
            self.config = ChannelConfig.from_block(block)
            self._last_config = committed.number
        return [Code.Name(status.code) for status in committed.statuses]


def writing(key: str, creator: SigningIdentity, endorsers: Sequence[SigningIdentity], version: str = "1.0") -> bytes:
    """Returns a transaction that writes a key."""
    builder = RWSetBuilder()
    builder.add_write(CHAINCODE, key, b"v")
    envelope = endorsed(builder.serialize(), creator=creator, endorsers=endorsers, version=version)
    return bytes(envelope.SerializeToString())


def judged(blocks: Iterable[bytes]) -> tuple[Chain, list[Finding]]:
    """Returns a chain of these blocks, which the caller closes, and what does not hold in it.

    Raises:
        ChainBroken: As `Chain.add`.
    """
    chain, findings = Chain(CHANNEL, "fl"), []
    try:
        for number, data in enumerate(blocks):
            findings += chain.add(number, data)
    except BaseException:
        chain.close()
        raise
    return chain, findings


def _type_of(block: common_pb2.Block) -> int:
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(block.data.data[0]).payload)
    kind: int = common_pb2.ChannelHeader.FromString(payload.header.channel_header).type
    return kind
