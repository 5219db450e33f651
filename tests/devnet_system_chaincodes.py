"""Calls of the system chaincodes, as an endorser makes them."""

from __future__ import annotations

from typing import Any

from devnet_ledgers import CHANNEL, LedgerOnTrial, organizations
from fabric_protos.peer import proposal_response_pb2

from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.chaincode import TransactionParams
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.simulator import TxSimulator
from fabric_fl.fabric.protoutil import create_chaincode_proposal, sign_proposal

Response = proposal_response_pb2.Response


def invoke(
    scc: Any,
    args: list[str | bytes],
    *,
    signer: SigningIdentity | None = None,
    simulator: TxSimulator | None = None,
    invoked: str | None = None,
    channel: str = CHANNEL,
) -> Response:
    """Calls a system chaincode as a proposal would."""
    signer = signer or organizations()[0].client
    proposal, tx_id = create_chaincode_proposal(channel, invoked or scc.name, args, signer.serialize())
    params = TransactionParams(channel, tx_id, sign_proposal(proposal, signer), simulator)
    return scc.invoke(params, [arg.encode() if isinstance(arg, str) else arg for arg in args])


def acl(trial: LedgerOnTrial, msp_id: str = "Org1MSP") -> ACL:
    return ACL(trial.config, msp_id, SignatureCache(trial.config.msps))
