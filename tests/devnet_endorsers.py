"""Endorsers over a ledger on trial, with a chaincode that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, organizations
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2

from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.chaincode import EndorsementInfo, TransactionParams
from fabric_fl.devnet.endorser import Endorser, Simulation
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.protoutil import create_chaincode_proposal, sign_proposal

Response = proposal_response_pb2.Response
Event = chaincode_event_pb2.ChaincodeEvent
Rule = Callable[[TransactionParams], Response | tuple[Response, Event]]


class Chaincodes:
    """Stands in for `ChaincodeSupport`: one rule, whatever is called."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.calls = 0

    def is_system_chaincode(self, name: str) -> bool:
        return name in ("qscc", "cscc", "_lifecycle")

    async def execute(self, params: TransactionParams, name: str, input_: object) -> tuple[Response, Event | None]:
        self.calls += 1
        await asyncio.sleep(0)
        answer = self.rule(params)
        return answer if isinstance(answer, tuple) else (answer, None)


def info(channel_id: str, name: str, simulator: object) -> EndorsementInfo:
    if name not in (CHAINCODE, "qscc"):
        raise ChaincodeError(f"chaincode {name} not found")
    return EndorsementInfo("1.0")


def endorser(trial: LedgerOnTrial, rule: Rule, number: int = 1, faults: Faults | None = None) -> Endorser:
    """Returns the endorser of org1, org2 or org3."""
    organization = organizations()[number - 1]
    signatures = SignatureCache(trial.config.msps)
    return Endorser(
        msp_id=organization.msp_id,
        address=f"peer{number}:7051",
        signer=organization.node,
        ledger=trial.ledger,
        config=trial.config,
        signatures=signatures,
        acl=ACL(trial.config, organization.msp_id, signatures),
        support=Chaincodes(rule),
        endorsement_info=info,
        faults=faults or Faults(),
    )


def proposed(
    *, signer: SigningIdentity | None = None, channel: str = CHANNEL, chaincode: str = CHAINCODE, **options: object
) -> proposal_pb2.SignedProposal:
    signer = signer or organizations()[0].client
    proposal, _ = create_chaincode_proposal(channel, chaincode, ["f"], signer.serialize(), **options)
    return sign_proposal(proposal, signer)


def process(
    endorser: Endorser, signed: proposal_pb2.SignedProposal, simulation: Simulation | None = None
) -> proposal_response_pb2.ProposalResponse:
    response, _ = asyncio.run(endorser.process_proposal(signed, simulation))
    return response


def put(key: str = "k", value: bytes = b"v", answer: bytes = b"answer") -> Rule:
    """Returns a rule that writes one key."""

    def rule(params: TransactionParams) -> Response:
        assert params.simulator is not None
        params.simulator.put_state(CHAINCODE, key, value)
        return Response(status=200, payload=answer)

    return rule
