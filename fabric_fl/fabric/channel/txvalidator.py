"""What a peer checks in a transaction before it looks at the state: form, signatures, endorsement policies.

The order of the checks is Fabric's, because the first that fails gives the code. Time plays no part: whether a
transaction is valid must not depend on when somebody replays the chain, so certificates never expire here.

References:
    Fabric, ``core/common/validation/msgvalidation.go``, ``core/committer/txvalidator/v20`` and
    ``core/common/validation/statebased``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TypeVar

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2
from google.protobuf.message import Message

from fabric_fl.fabric.channel import lifecycle_tx
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.policies import InvalidPolicy, Policy, SignedData
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.rwset import NsRWSet, RWSetError, TxRWSet
from fabric_fl.fabric.ledger.statedb import Snapshot
from fabric_fl.fabric.protoutil import MalformedMessage, compute_tx_id, transaction_proposal_hash, unmarshal

VALID = int(transaction_pb2.VALID)
_Message = TypeVar("_Message", bound=Message)
_TYPES = (common_pb2.ENDORSER_TRANSACTION, common_pb2.CONFIG_UPDATE, common_pb2.CONFIG)
_CACHED_POLICIES = 256


class _Invalid(Exception):  # noqa: N818 -- carries a code, is no failure of the program
    def __init__(self, code: int) -> None:
        super().__init__(transaction_pb2.TxValidationCode.Name(code))
        self.code = code


class TxValidator:
    """Validates transactions of one channel.

    Args:
        config: The channel's configuration.
        ledger: Where definitions and earlier transactions are.
        signatures: Shared with whoever else verifies what this one will see.
    """

    def __init__(self, config: ChannelConfig, ledger: KVLedger, signatures: SignatureCache | None = None) -> None:
        self._config = config
        self._ledger = ledger
        self._signatures = signatures or SignatureCache(config.msps)
        self._policy = functools.lru_cache(_CACHED_POLICIES)(config.endorsement_policy)

    def validate(self, block: common_pb2.Block) -> list[int]:
        """Returns a validation code for every transaction; concurrency control comes after."""
        codes, seen = [], set()
        with self._ledger.snapshot() as snapshot:
            for envelope in block.data.data:
                code, tx_id = self.validate_transaction(envelope, snapshot)
                if code == VALID:
                    if tx_id in seen:
                        code = int(transaction_pb2.DUPLICATE_TXID)
                    seen.add(tx_id)
                codes.append(code)
        return codes

    def validate_transaction(self, envelope: bytes, snapshot: Snapshot) -> tuple[int, str]:
        """Returns the validation code and, if there is one, the transaction's id."""
        try:
            return VALID, self._check(envelope, snapshot)
        except _Invalid as invalid:
            return invalid.code, ""

    def _check(self, data: bytes, snapshot: Snapshot) -> str:
        envelope = _parse(common_pb2.Envelope, data, transaction_pb2.INVALID_OTHER_REASON)
        payload = _parse(common_pb2.Payload, envelope.payload, transaction_pb2.BAD_PAYLOAD)
        channel_header, signature_header = _headers(payload)
        self._check_creator(channel_header, signature_header, envelope)
        if channel_header.type == common_pb2.CONFIG:
            # Devnet's channels are configured once, in block 0, which nobody validates.
            raise _Invalid(transaction_pb2.INVALID_CONFIG_TRANSACTION)
        if channel_header.type != common_pb2.ENDORSER_TRANSACTION:
            raise _Invalid(transaction_pb2.UNSUPPORTED_TX_PAYLOAD)
        if channel_header.tx_id != compute_tx_id(signature_header.nonce, signature_header.creator):
            raise _Invalid(transaction_pb2.BAD_PROPOSAL_TXID)
        action_payload, response_payload = _endorser_transaction(payload)
        if self._ledger.tx_exists(channel_header.tx_id):
            raise _Invalid(transaction_pb2.DUPLICATE_TXID)
        rwset, chaincode = _chaincode_action(channel_header, action_payload, response_payload)
        self._check_endorsements(rwset, chaincode, action_payload.action, snapshot)
        tx_id: str = channel_header.tx_id
        return tx_id

    def _check_creator(
        self,
        channel_header: common_pb2.ChannelHeader,
        signature_header: common_pb2.SignatureHeader,
        envelope: common_pb2.Envelope,
    ) -> None:
        try:
            # Of a channel that a peer has not joined it knows no members: that is the code that Fabric gives.
            if channel_header.channel_id == self._config.channel_id:
                creator = self._signatures.deserialize(signature_header.creator)
                if self._signatures.verify(creator, envelope.payload, envelope.signature):
                    return
        except InvalidIdentity:
            pass
        raise _Invalid(transaction_pb2.BAD_CREATOR_SIGNATURE)

    def _check_endorsements(
        self,
        rwset: TxRWSet,
        chaincode: str,
        action: transaction_pb2.ChaincodeEndorsedAction,
        snapshot: Snapshot,
    ) -> None:
        """Checks the invoked chaincode and every namespace that is written, each by its own policies."""
        parts = {part.namespace: part for part in rwset.namespaces}
        written = sorted(name for name, part in parts.items() if part.writes_something and name != chaincode)
        endorsers: list[Identity] | None = None
        for namespace in (chaincode, *written):
            try:
                definition = self._definition(namespace, snapshot)
            except MalformedMessage:
                definition = None
            if definition is None or not definition.validation_plugin or not definition.validation_parameter:
                raise _Invalid(transaction_pb2.INVALID_CHAINCODE)
            if endorsers is None:
                endorsers = self._signatures.valid_identities(_signed(action))
            try:
                policies = list(self._policies(definition, parts.get(namespace)))
            except (InvalidPolicy, InvalidIdentity, MalformedMessage):
                raise _Invalid(transaction_pb2.ENDORSEMENT_POLICY_FAILURE) from None
            if not all(policy.evaluate(endorsers, self._config.msps) for policy in policies):
                raise _Invalid(transaction_pb2.ENDORSEMENT_POLICY_FAILURE)

    def _definition(self, namespace: str, snapshot: Snapshot) -> lifecycle_tx.ChaincodeDefinition | None:
        if namespace == lifecycle_tx.NAMESPACE:
            policy = lifecycle_tx.policy_reference(lifecycle_tx.LIFECYCLE_ENDORSEMENT_POLICY)
            return lifecycle_tx.ChaincodeDefinition(namespace, lifecycle_tx.VERSION, validation_parameter=policy)
        return lifecycle_tx.read_definition(lifecycle_tx.reader(snapshot), namespace)

    def _policies(self, definition: lifecycle_tx.ChaincodeDefinition, part: NsRWSet | None) -> Iterator[Policy]:
        """Yields what must hold: the collections' policies where only they are written, else the chaincode's too."""
        collections = [each.name for each in part.collections if each.hashed.hashed_writes] if part else []
        for collection in collections:
            yield self._collection_policy(collection)
        if not collections or (part is not None and part.kv.writes):
            yield self._policy(definition.validation_parameter)

    def _collection_policy(self, collection: str) -> Policy:
        owner = lifecycle_tx.implicit_collection_owner(collection)
        if owner is None:
            raise InvalidPolicy(f"no such collection '{collection}'")  # nothing else may be defined on devnet
        return self._policy(lifecycle_tx.policy_reference(f"/Channel/Application/{owner}/Endorsement"))


def _headers(payload: common_pb2.Payload) -> tuple[common_pb2.ChannelHeader, common_pb2.SignatureHeader]:
    bad = transaction_pb2.BAD_COMMON_HEADER
    channel_header = _parse(common_pb2.ChannelHeader, payload.header.channel_header, bad)
    signature_header = _parse(common_pb2.SignatureHeader, payload.header.signature_header, bad)
    if channel_header.type not in _TYPES or channel_header.epoch != 0 or not _is_complete(signature_header):
        raise _Invalid(bad)
    return channel_header, signature_header


def _is_complete(header: common_pb2.SignatureHeader) -> bool:
    return bool(header.nonce and header.creator)


def _endorser_transaction(
    payload: common_pb2.Payload,
) -> tuple[transaction_pb2.ChaincodeActionPayload, proposal_response_pb2.ProposalResponsePayload]:
    bad = transaction_pb2.INVALID_ENDORSER_TRANSACTION
    transaction = _parse(transaction_pb2.Transaction, payload.data, bad)
    if len(transaction.actions) != 1:
        raise _Invalid(bad)
    (action,) = transaction.actions
    if not _is_complete(_parse(common_pb2.SignatureHeader, action.header, bad)):
        raise _Invalid(bad)
    action_payload = _parse(transaction_pb2.ChaincodeActionPayload, action.payload, bad)
    response_payload = _parse(
        proposal_response_pb2.ProposalResponsePayload, action_payload.action.proposal_response_payload, bad
    )
    proposal_payload = action_payload.chaincode_proposal_payload
    expected = transaction_proposal_hash(payload.header.channel_header, action.header, proposal_payload)
    if not proposal_payload or response_payload.proposal_hash != expected:
        raise _Invalid(bad)
    return action_payload, response_payload


def _chaincode_action(
    channel_header: common_pb2.ChannelHeader,
    action_payload: transaction_pb2.ChaincodeActionPayload,
    response_payload: proposal_response_pb2.ProposalResponsePayload,
) -> tuple[TxRWSet, str]:
    """Returns the read/write set and the chaincode that was invoked."""
    extension = _parse(
        proposal_pb2.ChaincodeHeaderExtension, channel_header.extension, transaction_pb2.BAD_HEADER_EXTENSION
    )
    if not action_payload.action.proposal_response_payload or not response_payload.extension:
        raise _Invalid(transaction_pb2.BAD_RESPONSE_PAYLOAD)
    action = _parse(proposal_pb2.ChaincodeAction, response_payload.extension, transaction_pb2.BAD_RESPONSE_PAYLOAD)
    try:
        rwset = TxRWSet.parse(action.results)
    except RWSetError:
        raise _Invalid(transaction_pb2.BAD_RWSET) from None
    if not extension.HasField("chaincode_id") or not action.HasField("chaincode_id"):
        raise _Invalid(transaction_pb2.INVALID_OTHER_REASON)
    chaincode: str = extension.chaincode_id.name
    if not chaincode or action.chaincode_id.name != chaincode or not action.chaincode_id.version:
        raise _Invalid(transaction_pb2.INVALID_CHAINCODE)
    if action.events:
        event = _parse(chaincode_event_pb2.ChaincodeEvent, action.events, transaction_pb2.INVALID_OTHER_REASON)
        if event.chaincode_id != chaincode:
            raise _Invalid(transaction_pb2.INVALID_OTHER_REASON)
    if len({part.namespace for part in rwset.namespaces}) != len(rwset.namespaces):
        raise _Invalid(transaction_pb2.ILLEGAL_WRITESET)
    if any(part.writes_metadata for part in rwset.namespaces):
        # Devnet's endorsers refuse key-level policies, so nobody endorsed this as it stands.
        raise _Invalid(transaction_pb2.INVALID_OTHER_REASON)
    return rwset, chaincode


def _signed(action: transaction_pb2.ChaincodeEndorsedAction) -> Iterator[SignedData]:
    for endorsement in action.endorsements:
        yield SignedData(
            data=action.proposal_response_payload + endorsement.endorser,
            identity=endorsement.endorser,
            signature=endorsement.signature,
        )


def _parse(message_type: type[_Message], data: bytes, code: int) -> _Message:
    try:
        return unmarshal(message_type, data)
    except MalformedMessage:
        raise _Invalid(code) from None
