"""Fabric's query chaincodes: ``qscc`` over the ledger and ``cscc`` over channels.

They answer on the peer, outside any simulation. Texts are Fabric's (``core/scc``).
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from fabric_protos.peer import proposal_response_pb2, query_pb2

from fabric_fl.devnet.acl import ACL, AccessDenied
from fabric_fl.devnet.chaincode import TransactionParams
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.protoutil import unpack_proposal

Response: TypeAlias = proposal_response_pb2.Response

_JOIN = "devnet's peers have joined their one channel, and join no other: run Hyperledger Fabric for more channels"
_NEWEST = 2**64 - 1
"""The block number that Fabric reads as "the newest"."""
_NUMBER = re.compile(r"[0-9]+")


def success(payload: Any) -> Response:
    """Returns a good response with a message, or bytes."""
    return Response(status=200, payload=payload if isinstance(payload, bytes) else payload.SerializeToString())


def error(message: str, status: int = 500) -> Response:
    return Response(status=status, message=message)


def signed_data(params: TransactionParams) -> SignedData:
    """Returns what the client signed: the proposal, for access control."""
    signed = params.signed_proposal
    return SignedData(signed.proposal_bytes, unpack_proposal(signed.proposal_bytes).creator, signed.signature)


class QSCC:
    """Queries of one peer's ledger."""

    name = "qscc"

    def __init__(self, ledger: KVLedger, acl: ACL) -> None:
        self._ledger = ledger
        self._acl = acl

    def invoke(self, params: TransactionParams, args: list[bytes]) -> Response:
        if len(args) < 2:
            return error(f"Incorrect number of arguments, {len(args)}")
        function, channel_id = (arg.decode(errors="replace") for arg in args[:2])
        invoked = unpack_proposal(params.signed_proposal.proposal_bytes).chaincode
        if invoked != self.name:
            return error(
                "Rejecting invoke of QSCC from another chaincode because of potential for deadlocks, "
                f"original invocation for '{invoked}'"
            )
        if function != "GetChainInfo" and len(args) < 3:
            return error(f"missing 3rd argument for {function}")
        if channel_id != self._ledger.channel_id:
            return error(f"Invalid chain ID, {channel_id}")
        try:
            self._acl.check(f"qscc/{function}", signed_data(params))
        except AccessDenied as denied:
            return error(f"access denied for [{function}][{channel_id}]: [{denied}]")
        return self._answer(function, args[2] if len(args) > 2 else b"")

    def _answer(self, function: str, argument: bytes) -> Response:
        text = argument.decode(errors="replace")
        if function == "GetChainInfo":
            return success(self._ledger.chain_info())
        if function == "GetTransactionByID":
            transaction = self._ledger.transaction(text)
            if transaction is None:
                return error(
                    f"Failed to get transaction with id {text}, error no such transaction ID [{text}] in index"
                )
            return success(transaction)
        if function == "GetBlockByTxID":
            block = self._ledger.block_by_tx_id(text)
            if block is None:
                return error(f"Failed to get block for txID {text}, error no such transaction ID [{text}] in index")
            return success(block)
        if function == "GetBlockByHash":
            block = self._ledger.block_by_hash(argument)
            if block is None:
                return error(f"Failed to get block hash {text}, error no such block hash [{argument.hex()}] in index")
            return success(block)
        return self._block_by_number(text)

    def _block_by_number(self, text: str) -> Response:
        if _NUMBER.fullmatch(text) is None:
            return error(f'Failed to parse block number with error strconv.ParseUint: parsing "{text}": invalid syntax')
        digits = text.lstrip("0")[:21] or "0"  # more digits than any block number has
        number, height = int(digits), self._ledger.height
        if number > _NEWEST:
            return error(
                f'Failed to parse block number with error strconv.ParseUint: parsing "{text}": value out of range'
            )
        if number == _NEWEST:
            number = height - 1
        data = self._ledger.block_bytes(number) if number < height else None
        if data is None:
            return error(f"Failed to get block number {number}, error no such block number [{number}] in index")
        return success(data)


class CSCC:
    """Queries of one peer's channels."""

    name = "cscc"

    def __init__(self, ledger: KVLedger, config: ChannelConfig, acl: ACL) -> None:
        self._ledger = ledger
        self._config = config
        self._acl = acl

    def invoke(self, params: TransactionParams, args: list[bytes]) -> Response:
        if not args:
            return error("Incorrect number of arguments, 0")
        function = args[0].decode(errors="replace")
        if function not in ("GetChannels", "JoinBySnapshotStatus") and len(args) < 2:
            return error(f"Incorrect number of arguments, {len(args)}")
        invoked = unpack_proposal(params.signed_proposal.proposal_bytes).chaincode
        if invoked != self.name:
            return error(f"Rejecting invoke of CSCC from another chaincode, original invocation for '{invoked}'")
        if function in ("JoinChain", "JoinChainBySnapshot", "JoinBySnapshotStatus"):
            return error(_JOIN)
        if function not in ("GetChannels", "GetConfigBlock", "GetChannelConfig"):
            return error(f"Requested function {function} not found.")
        channel_id = args[1].decode(errors="replace") if len(args) > 1 else ""
        where = "" if function == "GetChannels" else f"[{channel_id}]"
        if function == "GetChannelConfig" and not channel_id:
            return error("empty channel name provided")
        if where and channel_id != self._config.channel_id:
            return error(
                f"access denied for [{function}]{where}: Failed to get policy manager for channel [{channel_id}]"
            )
        try:
            self._acl.check(f"cscc/{function}", signed_data(params))
        except AccessDenied as denied:
            return error(f"access denied for [{function}]{where}: {denied}")
        if function == "GetChannels":
            info = query_pb2.ChannelInfo(channel_id=self._config.channel_id)
            return success(query_pb2.ChannelQueryResponse(channels=[info]))
        if function == "GetChannelConfig":
            return success(self._config.config)
        return success(self._ledger.last_config_block())
