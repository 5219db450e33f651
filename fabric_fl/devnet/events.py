"""Chaincode events in blocks, and blocks without their contents."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_event_pb2, events_pb2, transaction_pb2

from fabric_fl.fabric.protoutil import (
    TRANSACTIONS_FILTER,
    MalformedMessage,
    UnpackedEnvelope,
    unmarshal,
    unpack_envelope,
    unpack_transaction,
)


def chaincode_events(block: common_pb2.Block) -> Iterator[chaincode_event_pb2.ChaincodeEvent]:
    """Yields the events of a block's valid transactions, in their order."""
    for envelope, code in _transactions(block):
        if code == transaction_pb2.VALID and envelope.channel_header.type == common_pb2.ENDORSER_TRANSACTION:
            event = _event(envelope)
            if event is not None and event.event_name and event.tx_id:
                yield event


def filtered_block(block: common_pb2.Block) -> events_pb2.FilteredBlock:
    """Returns the block with ids, codes and events' names alone."""
    filtered = events_pb2.FilteredBlock(number=block.header.number)
    for envelope, code in _transactions(block):
        header = envelope.channel_header
        filtered.channel_id = header.channel_id
        transaction = filtered.filtered_transactions.add(txid=header.tx_id, type=header.type, tx_validation_code=code)
        if header.type == common_pb2.ENDORSER_TRANSACTION:
            transaction.transaction_actions.SetInParent()
            event = _event(envelope)
            if event is not None:
                event.ClearField("payload")
                transaction.transaction_actions.chaincode_actions.add(chaincode_event=event)
    return filtered


def _transactions(block: common_pb2.Block) -> Iterator[tuple[UnpackedEnvelope, int]]:
    """Yields what can be read of a block, with its validation code; clients cannot use the rest."""
    flags = block.metadata.metadata[TRANSACTIONS_FILTER]
    for data, code in zip(block.data.data, flags or bytes(len(block.data.data)), strict=True):
        try:
            yield unpack_envelope(data), code
        except MalformedMessage:
            continue


def _event(envelope: UnpackedEnvelope) -> chaincode_event_pb2.ChaincodeEvent | None:
    try:
        action = unpack_transaction(envelope.payload.data).chaincode_action
        event = unmarshal(chaincode_event_pb2.ChaincodeEvent, action.events)
    except MalformedMessage:
        return None
    return event if event.chaincode_id else None
