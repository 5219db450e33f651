"""Whatever bytes arrive: an answer or a refusal, never a crash, and nothing unsigned is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from byte_changes import mutations
from devnet_endorsers import endorser, proposed, put
from devnet_ledgers import CHANNEL, LedgerOnTrial, organizations
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import proposal_pb2
from hypothesis import given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.deliver import DeliverHandler
from fabric_fl.devnet.deployment import Definitions
from fabric_fl.devnet.endorser import ProposalRefused
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.gateway import GatewayService
from fabric_fl.devnet.orderer import Orderer
from fabric_fl.devnet.rpcerror import RpcError
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.protoutil import seek_envelope, seek_newest


@pytest.fixture(scope="module")
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


SIGNED = proposed()
SEEK = seek_envelope(CHANNEL, organizations()[0].client, seek_newest(), seek_newest())


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(150, factor=20)
@given(data=mutations(SIGNED.proposal_bytes))
def test_a_changed_proposal_is_never_endorsed(trial, data):
    signed = proposal_pb2.SignedProposal(proposal_bytes=data, signature=SIGNED.signature)
    try:
        response, _ = asyncio.run(endorser(trial, put()).process_proposal(signed))
    except ProposalRefused:
        return
    assert data == SIGNED.proposal_bytes or not response.HasField("endorsement")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(150, factor=20)
@given(signature=mutations(SIGNED.signature))
def test_a_changed_signature_is_never_accepted(trial, signature):
    signed = proposal_pb2.SignedProposal(proposal_bytes=SIGNED.proposal_bytes, signature=signature)
    if signature == SIGNED.signature:
        return
    with pytest.raises(ProposalRefused):
        asyncio.run(endorser(trial, put()).process_proposal(signed))


class Services:
    """A gateway and a deliver service in the running event loop."""

    def __init__(self, trial: LedgerOnTrial) -> None:
        signatures = SignatureCache(trial.config.msps)
        acl = ACL(trial.config, "Org1MSP", signatures)
        self.committer = Committer(trial.ledger, trial.validator)
        channel = Channel(
            config=trial.config,
            ledger=trial.ledger,
            definitions=Definitions(trial.ledger),
            committer=self.committer,
            orderer=Orderer(trial.config, trial.ledger, self.committer, organizations()[3].node),
            orderer_address="",
            orderer_msp_id="OrdererMSP",
            faults=Faults(),
        )
        self.gateway = GatewayService(
            msp_id="Org1MSP",
            channel=channel,
            endorsers={"Org1MSP": endorser(trial, put())},
            acl=acl,
            runs=lambda _msp_id, _definition: True,
            once=False,
            faults=Faults(),
        )
        self.deliver = DeliverHandler(
            channel,
            "Org1MSP",
            lambda signed: acl.check("event/Block", signed),
            lambda block: block,
            common_pb2.Status.Name,
        )


class Context:
    """Aborts as gRPC's does."""

    class Aborted(Exception):  # noqa: N818
        pass

    async def abort(self, code: object, text: str, metadata: object = ()) -> None:
        raise self.Aborted(code, text)


def call(trial: LedgerOnTrial, method: str, request: object) -> object:
    """Calls a method of the gateway; returns its answer, or None when it refuses. Anything else is a crash."""

    async def run() -> object:
        services = Services(trial)
        try:
            answer = getattr(services.gateway, method)(request, Context())
            if hasattr(answer, "__aiter__"):
                return await asyncio.wait_for(anext(answer), 0.2)
            return await asyncio.wait_for(answer, 0.2)
        except (Context.Aborted, RpcError, TimeoutError):
            return None
        finally:
            await services.committer.close()

    return asyncio.run(run())


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(150, factor=20)
@given(data=mutations(SIGNED.proposal_bytes), method=st.sampled_from(["Evaluate", "Endorse"]))
def test_the_gateway_answers_or_refuses_whatever_is_proposed(trial, data, method):
    signed = proposal_pb2.SignedProposal(proposal_bytes=data, signature=SIGNED.signature)
    request = getattr(gateway_pb2, f"{method}Request")(proposed_transaction=signed)
    assert call(trial, method, request) is None or data == SIGNED.proposal_bytes


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(150, factor=20)
@given(payload=mutations(SEEK.payload), signature=st.binary(max_size=80))
def test_the_gateway_submits_nothing_that_is_not_signed(trial, payload, signature):
    request = gateway_pb2.SubmitRequest(channel_id=CHANNEL)
    request.prepared_transaction.CopyFrom(common_pb2.Envelope(payload=payload, signature=signature))
    assert call(trial, "Submit", request) is None


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(150, factor=20)
@given(
    data=mutations(
        gateway_pb2.CommitStatusRequest(
            channel_id=CHANNEL, transaction_id="t", identity=organizations()[0].client.serialize()
        ).SerializeToString()
    ),
    signature=st.binary(max_size=80),
)
def test_nobody_is_told_a_status_who_has_not_signed_for_it(trial, data, signature):
    for method, kind in (("CommitStatus", "CommitStatus"), ("ChaincodeEvents", "ChaincodeEvents")):
        request = getattr(gateway_pb2, f"Signed{kind}Request")(request=data, signature=signature)
        assert call(trial, method, request) is None


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(150, factor=20)
@given(payload=mutations(SEEK.payload))
def test_a_changed_seek_gets_no_block(trial, payload):
    async def run() -> list[object]:
        services = Services(trial)

        async def requests():
            yield common_pb2.Envelope(payload=payload, signature=SEEK.signature)

        answers = [each async for each in services.deliver(requests(), Context())]
        await services.committer.close()
        return answers

    answers = asyncio.run(run())
    if payload != SEEK.payload:
        assert len(answers) == 1
        assert answers[0] in ("BAD_REQUEST", "NOT_FOUND", "FORBIDDEN")
