"""One Endorse call: which organisations are asked, in which order, and when there are enough endorsements.

Fabric's gateway asks a peer of its own organisation first, because only its answer tells which chaincodes'
policies the transaction must meet, and then as many others as those policies need, in parallel.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import grpc
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2

from fabric_fl.devnet.endorser import Endorser, ProposalRefused, Simulation
from fabric_fl.devnet.rpcerror import RpcError, error_detail

_log = logging.getLogger(__name__)

Response: TypeAlias = proposal_response_pb2.ProposalResponse


class EndorserFailed(Exception):  # noqa: N818 -- says what is the matter
    """An endorser that did not endorse.

    Attributes:
        code: What kind of failure, as Fabric's gateway classes it.
        retry: Whether another peer might do better (an evaluation then asks one).
    """

    def __init__(self, code: grpc.StatusCode, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry


async def call_endorser(
    endorser: Endorser, signed: proposal_pb2.SignedProposal, *, local: bool, simulation: Simulation | None = None
) -> tuple[Response, Simulation | None]:
    """Asks one endorser.

    Args:
        endorser: Whom.
        signed: The proposal.
        local: The endorser is the gateway's own peer; Fabric reaches the others by gRPC, and it shows in the text.
        simulation: See `Endorser.process_proposal`.

    Raises:
        EndorserFailed: There is no endorsement.
    """
    try:
        response, simulation = await endorser.process_proposal(signed, simulation)
    except ProposalRefused as refused:
        if local and not refused.filtered:
            raise EndorserFailed(grpc.StatusCode.FAILED_PRECONDITION, str(refused), retry=False) from refused
        text = str(refused) if local else f"rpc error: code = Unknown desc = {refused}"
        raise EndorserFailed(grpc.StatusCode.UNAVAILABLE, text, retry=True) from refused
    status, message = response.response.status, response.response.message
    if 200 <= status < 400:
        return response, simulation
    if status == 500 and not response.payload:  # the peer's failure: a chaincode's has a payload
        raise EndorserFailed(grpc.StatusCode.ABORTED, message, retry=True)
    raise EndorserFailed(grpc.StatusCode.UNKNOWN, f"chaincode response {status}, {message}", retry=False)


class Endorsement:
    """Collects the endorsements of one proposal.

    Args:
        endorsers: Those that have the chaincode, by MSP id.
        signed: The proposal.
        local_msp_id: The gateway's organisation.
        policy: Returns, for some chaincodes, what tells whether some organisations' peers satisfy their policies.
        once: The first simulation is believed by the others.
    """

    def __init__(
        self,
        endorsers: Mapping[str, Endorser],
        signed: proposal_pb2.SignedProposal,
        local_msp_id: str,
        policy: Callable[[tuple[str, ...]], Callable[[tuple[str, ...]], bool]],
        *,
        once: bool,
    ) -> None:
        self._endorsers = endorsers
        self._signed = signed
        self._local = local_msp_id
        self._policy = functools.cache(policy)
        self._once = once
        self._simulation: Simulation | None = None
        self._calls: dict[str, asyncio.Task[Response]] = {}
        self._failed: set[str] = set()
        self._errors: list[gateway_pb2.ErrorDetail] = []
        self.responses: dict[str, Response] = {}

    async def collect_from(self, organisations: Sequence[str]) -> None:
        """Asks the organisations that the client named, all of them.

        Raises:
            RpcError: One has no peer with this chaincode, or did not endorse.
        """
        missing = [each for each in organisations if each not in self._endorsers]
        if missing:
            raise RpcError(
                grpc.StatusCode.UNAVAILABLE,
                f"failed to find any endorsing peers for org(s): {', '.join(missing)}",
            )
        wanted = list(dict.fromkeys(organisations))
        try:
            if self._once:
                await self._ask(wanted[:1])
            await self._ask(wanted)
        finally:
            self._cancel()
        if self._failed:
            raise self._insufficient()

    async def collect(self, chaincode: str, *, speculate: bool) -> None:
        """Asks as many organisations as the policies need.

        Args:
            chaincode: The chaincode that is called.
            speculate: Ask those whom the called chaincode's policy needs together with the first one, in the hope
                that its answer names no other chaincode.

        Raises:
            RpcError: There are not enough endorsers, or not enough equal endorsements.
        """
        guess = self._layout((chaincode,))
        first = self._local if self._local in self._endorsers else guess[0] if guess else None
        if first is None:
            raise _impossible()
        try:
            for msp_id in (first, *guess) if speculate and not self._once else (first,):
                self._call(msp_id)
            try:
                response = await self._calls[first]
            except EndorserFailed as failed:
                detail = error_detail(self._endorsers[first].address, first, str(failed))
                raise RpcError(
                    grpc.StatusCode.ABORTED,
                    "failed to endorse transaction, see attached details for more info",
                    [detail],
                ) from failed
            self.responses[first] = response
            namespaces = tuple(call.name for call in response.interest.chaincodes) or (chaincode,)
            await self._complete(namespaces)
        finally:
            self._cancel()

    async def _complete(self, namespaces: tuple[str, ...]) -> None:
        if not self._layout(namespaces):
            raise _impossible()
        while layout := self._layout(namespaces):
            missing = [each for each in layout if each not in self.responses]
            if not missing:
                self.responses = {each: self.responses[each] for each in layout}
                return
            await self._ask(missing)
        raise self._insufficient()

    async def _ask(self, organisations: Sequence[str]) -> None:
        for msp_id in organisations:
            self._call(msp_id)
        await asyncio.wait([self._calls[each] for each in organisations])
        for msp_id in organisations:
            try:
                response = self._calls[msp_id].result()
            except EndorserFailed as failed:
                self._fail(msp_id, str(failed))
                continue
            expected = next(iter(self.responses.values()), response)
            if response.payload != expected.payload:
                _log.warning(
                    "ProposalResponsePayloads of %s and %s do not match: is the chaincode deterministic?",
                    next(iter(self.responses)),
                    msp_id,
                )
                self._fail(msp_id, "ProposalResponsePayloads do not match")
                continue
            self.responses[msp_id] = response

    def _layout(self, namespaces: tuple[str, ...]) -> tuple[str, ...]:
        """Returns a smallest set of organisations that satisfies the policies; empty if none does.

        Policies are monotone: whatever can be left out of everybody, one after the other, may be left out. Those
        that were asked go last, then the gateway's own; the order of the rest is random, as Fabric's is.
        """
        satisfied = self._policy(namespaces)
        chosen = tuple(each for each in self._endorsers if each not in self._failed)
        if not satisfied(chosen):
            return ()
        candidates = random.sample(chosen, len(chosen))
        for msp_id in sorted(candidates, key=lambda each: (each in self._calls, each == self._local)):
            without = tuple(each for each in chosen if each != msp_id)
            if satisfied(without):
                chosen = without
        return tuple(sorted(chosen, key=lambda each: each != self._local))

    def _call(self, msp_id: str) -> None:
        if msp_id not in self._calls:
            self._calls[msp_id] = asyncio.create_task(self._endorse(msp_id))

    async def _endorse(self, msp_id: str) -> Response:
        response, simulation = await call_endorser(
            self._endorsers[msp_id], self._signed, local=msp_id == self._local, simulation=self._simulation
        )
        if self._once:
            self._simulation = simulation
        return response

    def _fail(self, msp_id: str, message: str) -> None:
        self._failed.add(msp_id)
        self._errors.append(error_detail(self._endorsers[msp_id].address, msp_id, message))

    def _cancel(self) -> None:
        for call in self._calls.values():
            if not call.cancel() and not call.cancelled():
                call.exception()  # seen: nobody will ask for this one's answer
        self._calls.clear()  # a call that failed holds on to us, and with us to the proposal

    def _insufficient(self) -> RpcError:
        return RpcError(
            grpc.StatusCode.ABORTED,
            "failed to collect enough transaction endorsements, see attached details for more info",
            self._errors,
        )


def _impossible() -> RpcError:
    return RpcError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "no combination of peers can be derived which satisfy the endorsement policy: "
        "required chaincodes are not installed on sufficient peers",
    )
