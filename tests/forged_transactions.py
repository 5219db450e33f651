"""Transactions and chains as somebody makes them who can compute every hash anew and has some of the keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devnet_tasks import Tasks
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.protoutil import (
    TRANSACTIONS_FILTER,
    block_data_hash,
    compute_tx_id,
    create_nonce,
    endorse,
    sign_block,
    sign_envelope,
    transaction_proposal_hash,
)


def insider(tasks: Tasks, msp_id: str) -> SigningIdentity:
    """Who sends an organisation's transactions."""
    return SigningIdentity.from_msp_dir(tasks.folder(msp_id) / "msp", msp_id)


def node(tasks: Tasks, folder: str, msp_id: str) -> SigningIdentity:
    """An organisation's peer, or the orderer."""
    return SigningIdentity.from_msp_dir(
        tasks.network.directory / "devnet" / "organizations" / folder / "node" / "msp", msp_id
    )


@dataclass
class Transaction:
    """An envelope taken apart, so that each layer can be changed and everything signed anew by whose keys one has."""

    outer: common_pb2.Envelope
    payload: common_pb2.Payload
    action: transaction_pb2.ChaincodeActionPayload
    response: proposal_response_pb2.ProposalResponsePayload

    @classmethod
    def of(cls, envelope: bytes) -> Transaction:
        outer = common_pb2.Envelope.FromString(envelope)
        payload = common_pb2.Payload.FromString(outer.payload)
        (one,) = transaction_pb2.Transaction.FromString(payload.data).actions
        action = transaction_pb2.ChaincodeActionPayload.FromString(one.payload)
        response = proposal_response_pb2.ProposalResponsePayload.FromString(action.action.proposal_response_payload)
        return cls(outer, payload, action, response)

    def set_digest(self, digest: str) -> None:
        """Changes the record of a model in what was written."""
        done = proposal_pb2.ChaincodeAction.FromString(self.response.extension)
        results = rwset_pb2.TxReadWriteSet.FromString(done.results)
        for part in results.ns_rwset:
            written = kv_rwset_pb2.KVRWSet.FromString(part.rwset)
            for write in written.writes:
                if write.key.startswith("model/"):
                    write.value = json.dumps(json.loads(write.value) | {"digest": digest}).encode()
            part.rwset = written.SerializeToString()
        done.results = results.SerializeToString()
        assert digest.encode() in done.results
        self.response.extension = done.SerializeToString()

    @property
    def creator(self) -> bytes:
        return bytes(common_pb2.SignatureHeader.FromString(self.payload.header.signature_header).creator)

    @property
    def args(self) -> list[bytes]:
        proposal = proposal_pb2.ChaincodeProposalPayload.FromString(self.action.chaincode_proposal_payload)
        return list(chaincode_pb2.ChaincodeInvocationSpec.FromString(proposal.input).chaincode_spec.input.args)

    def call(self, *args: bytes, chaincode: str = "fl") -> None:
        """Makes it a transaction of its own with another call, perhaps of another chaincode."""
        nonce = create_nonce()
        header = common_pb2.SignatureHeader(creator=self.creator, nonce=nonce).SerializeToString()
        channel = common_pb2.ChannelHeader.FromString(self.payload.header.channel_header)
        channel.tx_id = compute_tx_id(nonce, self.creator)
        extension = proposal_pb2.ChaincodeHeaderExtension.FromString(channel.extension)
        extension.chaincode_id.name = chaincode
        channel.extension = extension.SerializeToString()
        self.payload.header.signature_header = header
        self.payload.header.channel_header = channel.SerializeToString()

        proposal = proposal_pb2.ChaincodeProposalPayload.FromString(self.action.chaincode_proposal_payload)
        invocation = chaincode_pb2.ChaincodeInvocationSpec.FromString(proposal.input)
        invocation.chaincode_spec.input.args[:] = args
        proposal.input = invocation.SerializeToString()
        self.action.chaincode_proposal_payload = proposal.SerializeToString()

        done = proposal_pb2.ChaincodeAction.FromString(self.response.extension)
        done.chaincode_id.name = chaincode
        done.ClearField("events")
        self.response.extension = done.SerializeToString()
        self.response.proposal_hash = transaction_proposal_hash(
            self.payload.header.channel_header, header, self.action.chaincode_proposal_payload
        )
        transaction = transaction_pb2.Transaction.FromString(self.payload.data)
        transaction.actions[0].header = header
        self.payload.data = transaction.SerializeToString()

    def set_results(self, results: bytes) -> None:
        """Changes what was read and written."""
        done = proposal_pb2.ChaincodeAction.FromString(self.response.extension)
        done.results = results
        self.response.extension = done.SerializeToString()

    def call_another_function(self) -> None:
        proposal = proposal_pb2.ChaincodeProposalPayload.FromString(self.action.chaincode_proposal_payload)
        invocation = chaincode_pb2.ChaincodeInvocationSpec.FromString(proposal.input)
        invocation.chaincode_spec.input.args[0] = b"rounds:Abort"
        proposal.input = invocation.SerializeToString()
        self.action.chaincode_proposal_payload = proposal.SerializeToString()

    def set_tx_id(self, tx_id: str) -> None:
        header = common_pb2.ChannelHeader.FromString(self.payload.header.channel_header)
        header.tx_id = tx_id
        self.payload.header.channel_header = header.SerializeToString()

    def flip_creator(self) -> None:
        header = common_pb2.SignatureHeader.FromString(self.payload.header.signature_header)
        header.creator = flipped(header.creator)
        self.payload.header.signature_header = header.SerializeToString()

    def flip_endorser(self) -> None:
        first = self.action.action.endorsements[0]
        first.endorser = flipped(first.endorser)

    def flip_endorsement(self) -> None:
        first = self.action.action.endorsements[0]
        first.signature = flipped(first.signature)

    def flip_signature(self) -> None:
        self.outer.signature = flipped(self.outer.signature)

    def put_together(self, signer: SigningIdentity | None = None, endorsers: Sequence[SigningIdentity] = ()) -> bytes:
        """Returns the envelope, signed by those whose keys are given."""
        response = self.response.SerializeToString()
        self.action.action.proposal_response_payload = response
        if endorsers:
            del self.action.action.endorsements[:]
            self.action.action.endorsements.extend(endorse(response, one) for one in endorsers)
        transaction = transaction_pb2.Transaction.FromString(self.payload.data)
        transaction.actions[0].payload = self.action.SerializeToString()
        self.payload.data = transaction.SerializeToString()
        self.outer.payload = self.payload.SerializeToString()
        return bytes((self.outer if signer is None else sign_envelope(self.outer, signer)).SerializeToString())


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def rehashed(
    blocks: list[bytes],
    at: int,
    forge: Callable[[list[bytes]], list[bytes]],
    orderer: SigningIdentity | None = None,
) -> list[bytes]:
    """Returns the blocks with other transactions in one, and everything computed anew that needs no key.

    Numbers, data hashes, the chain of headers and the commit hashes fit; the flags say VALID as before. With the
    orderer's key its signatures fit as well.
    """
    ledger, found = KVLedger.open(None, "fl"), []
    try:
        for number, data in enumerate(blocks):
            block = common_pb2.Block.FromString(data)
            flags = list(block.metadata.metadata[TRANSACTIONS_FILTER]) or [0]
            if number == at:
                transactions = forge(list(block.data.data))
                block.data.data[:] = transactions
                flags = [0] * len(transactions)
            block.header.number = number
            block.header.previous_hash = ledger.tip_hash
            block.header.data_hash = block_data_hash(block.data)
            if number > 0 and orderer is not None:
                sign_block(block, orderer, last_config=0)
            found.append(ledger.commit(block, flags).data)
    finally:
        ledger.close()
    return found


def replacing(index: int, forge: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    return lambda data: [forge(one) if position == index else one for position, one in enumerate(data)]
