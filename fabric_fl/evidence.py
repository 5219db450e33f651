"""The records that an auditor reads, as the peers answer them: what docs/audit.md asks Fabric's `peer` program for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.peer import transaction_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from fabric_fl.fabric import protoutil
from fabric_fl.fabric.identity import Identity
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import EvaluateError, Network
from fabric_fl.gateway.peer import ask

Query = Callable[..., Any]
_FILTER = 2  # the metadata slot with a validation code for each transaction of the block


def records(network: Network, chaincode: str, profile: ConnectionProfile, task: str) -> dict[str, Any]:
    """Returns a task's records, the chain that they stand in, and who endorsed its newest transactions.

    Args:
        network: The channel.
        chaincode: The contract's name there.
        profile: In whose name each peer is asked; it names the peers.
        task: The task's id.

    Raises:
        EvaluateError: The gateway does not answer, or there is no such task.
    """
    contract = network.contract(chaincode)

    def query(function: str, *args: str) -> Any:
        return json.loads(contract.evaluate(function, *args))

    read: Query = query
    rounds = _rounds(read, task)
    latest = read("models:Latest", task)["j"]
    return {
        "chain": tips(profile, network.name),
        "definition": _definition(network, chaincode),
        "task": read("tasks:Read", task),
        "rounds": rounds,
        "attestations": {str(one["number"]): read("attestations:List", task, str(one["number"])) for one in rounds},
        "models": [read("models:Read", task, str(j)) for j in range(latest + 1)],
        "scores": read("scores:List", task),
        "balances": {msp_id: read("tokens:BalanceOf", msp_id) for msp_id in profile.msp_ids},
        "supply": read("tokens:TotalSupply"),
        "newest": block(network, network.height() - 1),
    }


def tips(profile: ConnectionProfile, channel: str) -> dict[str, dict[str, Any]]:
    """Returns height and hashes of each peer's chain as `peer channel getinfo` prints them, or why it does not say."""
    found: dict[str, dict[str, Any]] = {}
    for peer in profile.channel_peers:
        try:
            answer = ask(peer, profile.identity, channel, "qscc", "GetChainInfo", channel)
        except EvaluateError as error:
            found[peer.name] = {"problem": error.message}
            continue
        info = ledger_pb2.BlockchainInfo.FromString(answer)
        found[peer.name] = {
            "height": info.height,
            "currentBlockHash": base64.b64encode(info.currentBlockHash).decode(),
            "previousBlockHash": base64.b64encode(info.previousBlockHash).decode(),
        }
    return found


def block(network: Network, number: int) -> dict[str, Any]:
    """Returns a block's transactions: id, validation code, and the certificates of those who endorsed it."""
    content = network.contract("qscc").evaluate("GetBlockByNumber", network.name, str(number))
    found = common_pb2.Block.FromString(content)
    codes = found.metadata.metadata[_FILTER]
    return {
        "number": found.header.number,
        "previous_hash": found.header.previous_hash.hex(),
        "transactions": [_transaction(data, code) for data, code in zip(found.data.data, codes, strict=True)],
    }


def _transaction(data: bytes, code: int) -> dict[str, Any]:
    envelope = protoutil.unpack_envelope(data)
    endorsers = []
    if envelope.channel_header.type == common_pb2.ENDORSER_TRANSACTION:
        transaction = protoutil.unpack_transaction(envelope.payload.data)
        endorsers = [Identity.deserialize(one.endorser) for one in transaction.endorsements]
    return {
        "id": envelope.channel_header.tx_id,
        "code": transaction_pb2.TxValidationCode.Name(code),
        "endorsers": [
            {
                "msp_id": one.msp_id,
                "subject": one.certificate.subject.rfc4514_string(),
                "certificate": one.certificate_pem.decode(),
            }
            for one in endorsers
        ],
    }


def _rounds(read: Query, task: str) -> list[Any]:
    """Returns every round: one after the other, until there is none."""
    last = read("tasks:Status", task)["round"]
    count = last["number"] if last else 0
    return [read("rounds:Read", task, str(number)) for number in range(1, count + 1)]


def _definition(network: Network, chaincode: str) -> dict[str, Any]:
    arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=chaincode).SerializeToString()
    answer = network.contract("_lifecycle").evaluate("QueryChaincodeDefinition", arguments)
    found = lifecycle_pb2.QueryChaincodeDefinitionResult.FromString(answer)
    return {"version": found.version, "sequence": found.sequence, "approvals": dict(found.approvals)}
