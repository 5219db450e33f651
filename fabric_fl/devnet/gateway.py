"""Fabric's Gateway service on one organisation's endpoint.

Codes, texts and details of failures are those of Fabric's ``internal/pkg/gateway``: its clients decide by them.
"""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import grpc
import grpc.aio
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2

from fabric_fl.devnet.acl import ACL, AccessDenied
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.deployment import SYSTEM_CHAINCODES
from fabric_fl.devnet.endorsement import Endorsement, EndorserFailed, call_endorser
from fabric_fl.devnet.endorser import Endorser
from fabric_fl.devnet.events import chaincode_events
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.rpcerror import RpcError, error_detail
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.protoutil import MalformedMessage, UnpackedProposal, create_tx, unmarshal, unpack_proposal

_INVALID = grpc.StatusCode.INVALID_ARGUMENT


class GatewayService(gateway_pb2_grpc.GatewayServicer):  # type: ignore[misc]
    """The gateway of one organisation.

    Args:
        msp_id: The organisation.
        channel: The channel.
        endorsers: Every organisation's endorser, by MSP id.
        acl: The organisation's access control.
        runs: Tells whether an organisation's peer can run a chaincode.
        once: Run a chaincode once and let the other endorsers sign what came out.
        faults: Faults on request.
    """

    def __init__(
        self,
        *,
        msp_id: str,
        channel: Channel,
        endorsers: Mapping[str, Endorser],
        acl: ACL,
        runs: Callable[[str, ChaincodeDefinition], bool],
        once: bool,
        faults: Faults,
    ) -> None:
        self._msp_id = msp_id
        self._channel = channel
        self._endorsers = endorsers
        self._acl = acl
        self._runs = runs
        self._once = once
        self._faults = faults

    async def Evaluate(  # noqa: N802 -- gRPC's names, here and below
        self, request: gateway_pb2.EvaluateRequest, context: grpc.aio.ServicerContext
    ) -> gateway_pb2.EvaluateResponse:
        try:
            return await self._evaluate(request)
        except RpcError as error:
            await error.abort(context)

    async def Endorse(  # noqa: N802
        self, request: gateway_pb2.EndorseRequest, context: grpc.aio.ServicerContext
    ) -> gateway_pb2.EndorseResponse:
        try:
            return await self._endorse(request)
        except RpcError as error:
            await error.abort(context)

    async def Submit(  # noqa: N802
        self, request: gateway_pb2.SubmitRequest, context: grpc.aio.ServicerContext
    ) -> gateway_pb2.SubmitResponse:
        try:
            return self._submit(request)
        except RpcError as error:
            await error.abort(context)

    async def CommitStatus(  # noqa: N802
        self, request: gateway_pb2.SignedCommitStatusRequest, context: grpc.aio.ServicerContext
    ) -> gateway_pb2.CommitStatusResponse:
        try:
            return await self._commit_status(request)
        except RpcError as error:
            await error.abort(context)

    async def ChaincodeEvents(  # noqa: N802
        self, request: gateway_pb2.SignedChaincodeEventsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[gateway_pb2.ChaincodeEventsResponse]:
        try:
            with self._faults.stream(self._msp_id):
                async for response in self._chaincode_events(request):
                    yield response
        except RpcError as error:
            await error.abort(context)

    async def _evaluate(self, request: gateway_pb2.EvaluateRequest) -> gateway_pb2.EvaluateResponse:
        signed = request.proposed_transaction
        try:
            proposal = _unpack(signed)
        except ValueError as error:
            raise RpcError(_INVALID, f"failed to unpack transaction proposal: {error}") from error
        self._check_channel(proposal.channel_id)
        name = proposal.spec.chaincode_id.name
        targets = list(request.target_organizations)
        protected = bool(proposal.transient) and not targets
        available = self._with_chaincode(name)
        wanted = [self._msp_id] if protected else targets or list(available)
        candidates = random.sample(wanted, len(wanted))
        candidates = sorted((each for each in candidates if each in available), key=lambda each: each != self._msp_id)
        if not candidates:
            reason = f"no peers available to evaluate chaincode {name} in channel {proposal.channel_id}"
            if protected:
                reason = (
                    "no endorsers found in the gateway's organization; retry specifying target organization(s) "
                    f"to protect transient data: {reason}"
                )
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, reason)
        return gateway_pb2.EvaluateResponse(result=await self._evaluate_on(candidates, signed))

    async def _evaluate_on(
        self, candidates: Sequence[str], signed: proposal_pb2.SignedProposal
    ) -> proposal_response_pb2.Response:
        details = []
        for msp_id in candidates:
            endorser = self._endorsers[msp_id]
            try:
                response, _ = await call_endorser(endorser, signed, local=msp_id == self._msp_id)
            except EndorserFailed as failed:
                code = failed.code
                details.append(error_detail(endorser.address, msp_id, str(failed)))
                if not failed.retry:
                    raise RpcError(code, f"evaluate call to endorser returned error: {failed}", details) from failed
                continue
            # The response in the payload is the one that an endorser signs.
            payload = unmarshal(proposal_response_pb2.ProposalResponsePayload, response.payload)
            action = unmarshal(proposal_pb2.ChaincodeAction, payload.extension)
            response.response.payload = action.response.payload
            return response.response
        raise RpcError(code, "failed to evaluate transaction, see attached details for more info", details)

    async def _endorse(self, request: gateway_pb2.EndorseRequest) -> gateway_pb2.EndorseResponse:
        signed = request.proposed_transaction
        if not signed.proposal_bytes:
            raise RpcError(_INVALID, "the proposed transaction must contain a signed proposal")
        try:
            proposal = unpack_proposal(signed.proposal_bytes)
        except MalformedMessage as error:
            raise RpcError(_INVALID, str(error)) from error
        name = proposal.spec.chaincode_id.name
        here = proposal.channel_id == self._channel.id
        if not request.endorsing_organizations and not (here and self._is_defined(name)):
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "no combination of peers can be derived which satisfy the endorsement policy: "
                f"No metadata was found for chaincode {name} in channel {proposal.channel_id}",
            )
        endorsement = Endorsement(
            self._with_chaincode(name) if here else {},
            signed,
            self._msp_id,
            self._policy,
            once=self._once,
        )
        if request.endorsing_organizations:
            await endorsement.collect_from(request.endorsing_organizations)
        else:
            # Transient data goes to no other organisation before the first one has accepted it.
            await endorsement.collect(name, speculate=not proposal.transient)
        transaction = create_tx(proposal.proposal, list(endorsement.responses.values()))
        return gateway_pb2.EndorseResponse(prepared_transaction=transaction)

    def _submit(self, request: gateway_pb2.SubmitRequest) -> gateway_pb2.SubmitResponse:
        if not request.HasField("prepared_transaction"):
            raise RpcError(_INVALID, "a prepared transaction is required")
        if not request.prepared_transaction.signature:
            raise RpcError(_INVALID, "prepared transaction must be signed")
        self._check_channel(request.channel_id, grpc.StatusCode.FAILED_PRECONDITION)
        response = self._channel.orderer.broadcast(request.prepared_transaction)
        if response.status == common_pb2.SUCCESS:
            return gateway_pb2.SubmitResponse()
        text = (
            "received unsuccessful response from orderer: "
            f"status={common_pb2.Status.Name(response.status)}, info={response.info}"
        )
        if 400 <= response.status < 500:
            raise RpcError(grpc.StatusCode.ABORTED, text)
        detail = error_detail(self._channel.orderer_address, self._channel.orderer_msp_id, text)
        raise RpcError(grpc.StatusCode.UNAVAILABLE, "no orderers could successfully process transaction", [detail])

    async def _commit_status(self, signed: gateway_pb2.SignedCommitStatusRequest) -> gateway_pb2.CommitStatusResponse:
        if not signed.request:
            raise RpcError(_INVALID, "a commit status request is required")
        try:
            request = unmarshal(gateway_pb2.CommitStatusRequest, signed.request)
        except MalformedMessage as error:
            raise RpcError(_INVALID, f"invalid status request: {error}") from error
        if not request.identity:
            raise RpcError(_INVALID, "no identity provided")
        if not request.channel_id:
            raise RpcError(_INVALID, "no channel ID provided")
        if not request.transaction_id:
            raise RpcError(_INVALID, "transaction ID should not be empty")
        self._check_acl("gateway/CommitStatus", request.channel_id, signed, request.identity)
        with self._faults.stream(self._msp_id):
            status = await self._channel.committer.wait_for_tx(request.transaction_id)
            if self._faults.active:
                await self._faults.wait_for_block(self._msp_id, status.block + 1)
                await self._faults.before_commit_status(self._msp_id)
        return gateway_pb2.CommitStatusResponse(result=status.code, block_number=status.block)

    async def _chaincode_events(
        self, signed: gateway_pb2.SignedChaincodeEventsRequest
    ) -> AsyncIterator[gateway_pb2.ChaincodeEventsResponse]:
        if not signed.request:
            raise RpcError(_INVALID, "a chaincode events request is required")
        try:
            request = unmarshal(gateway_pb2.ChaincodeEventsRequest, signed.request)
        except MalformedMessage as error:
            raise RpcError(_INVALID, f"invalid chaincode events request: {error}") from error
        self._check_acl("gateway/ChaincodeEvents", request.channel_id, signed, request.identity)
        passed = not request.after_transaction_id
        async for block in self._channel.blocks(self._start_block(request), self._msp_id):
            matching: list[chaincode_event_pb2.ChaincodeEvent] = []
            for event in chaincode_events(block):
                if not passed:
                    passed = event.tx_id == request.after_transaction_id
                elif event.chaincode_id == request.chaincode_id:
                    matching.append(event)
            if matching:
                yield gateway_pb2.ChaincodeEventsResponse(events=matching, block_number=block.header.number)

    def _start_block(self, request: gateway_pb2.ChaincodeEventsRequest) -> int:
        if request.after_transaction_id:
            status = self._channel.ledger.tx_status(request.after_transaction_id)
            if status is not None:
                return status.block
        kind = request.start_position.WhichOneof("Type")
        if kind == "specified":
            number: int = request.start_position.specified.number
            return number
        if kind not in (None, "next_commit"):
            name = ab_pb2.SeekPosition.DESCRIPTOR.fields_by_name[kind].message_type.name
            raise RpcError(_INVALID, f"invalid start position type: *orderer.SeekPosition_{name.removeprefix('Seek')}")
        return self._channel.height(self._msp_id)

    def _with_chaincode(self, name: str) -> dict[str, Endorser]:
        if name in SYSTEM_CHAINCODES:
            return dict(self._endorsers)
        definition = self._channel.definitions.current(name)
        if definition is None:
            return {}
        return {msp_id: each for msp_id, each in self._endorsers.items() if self._runs(msp_id, definition)}

    def _is_defined(self, name: str) -> bool:
        return name in SYSTEM_CHAINCODES or self._channel.definitions.current(name) is not None

    def _policy(self, chaincodes: Sequence[str]) -> Callable[[tuple[str, ...]], bool]:
        """Returns what tells whether the peers of some organisations are enough endorsers for the chaincodes."""
        policies = self._channel.endorsement_policies(chaincodes)
        msps = self._channel.config.msps

        @functools.cache
        def satisfied(organisations: tuple[str, ...]) -> bool:
            identities = [self._endorsers[each].identity for each in organisations]
            return all(policy.evaluate(identities, msps) for policy in policies)

        return satisfied

    def _check_channel(self, channel_id: str, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        if channel_id != self._channel.id:
            raise RpcError(
                code,
                f"failed to get config for channel [{channel_id}]: "
                f"could not get last config block for channel {channel_id}",
            )

    def _check_acl(
        self,
        resource: str,
        channel_id: str,
        signed: gateway_pb2.SignedCommitStatusRequest | gateway_pb2.SignedChaincodeEventsRequest,
        identity: bytes,
    ) -> None:
        if not channel_id:
            reason = "Invalid channel ID name during check policy on signed data. Name must be different from nil."
        elif channel_id != self._channel.id:
            reason = f"Failed to get policy manager for channel [{channel_id}]"
        else:
            try:
                self._acl.check(resource, SignedData(signed.request, identity, signed.signature))
            except AccessDenied as error:
                reason = str(error)
            else:
                return
        raise RpcError(grpc.StatusCode.PERMISSION_DENIED, reason)


def _unpack(signed: proposal_pb2.SignedProposal) -> UnpackedProposal:
    if not signed.proposal_bytes:
        raise ValueError("a signed proposal is required")
    proposal = unpack_proposal(signed.proposal_bytes)
    if not proposal.channel_id:
        raise ValueError("no channel id provided")
    if not proposal.spec.HasField("chaincode_id"):
        raise ValueError(f"no chaincode id is provided, channel id [{proposal.channel_id}]")
    if not proposal.spec.chaincode_id.name:
        raise ValueError(f"no chaincode name is provided, channel id [{proposal.channel_id}]")
    return proposal
