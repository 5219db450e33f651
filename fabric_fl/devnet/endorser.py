"""The endorser: checks a proposal, runs the chaincode on a snapshot, and signs what came out.

Order and texts of the checks are those of Fabric's ``core/endorser``, because clients show them to people.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio
from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, peer_pb2_grpc, proposal_pb2, proposal_response_pb2

from fabric_fl.devnet.acl import ACL, AccessDenied
from fabric_fl.devnet.chaincode import ChaincodeSupport, EndorsementInfo, TransactionParams
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import Identity, InvalidIdentity, SigningIdentity
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.rwset import TxRWSet
from fabric_fl.fabric.ledger.simulator import SimulationError, TxSimulator
from fabric_fl.fabric.protoutil import (
    MalformedMessage,
    UnpackedProposal,
    compute_tx_id,
    endorse,
    proposal_response_payload,
    unpack_proposal,
)

_log = logging.getLogger(__name__)

_WITHOUT_SIMULATOR = ("qscc", "cscc")


class ProposalRefused(Exception):  # noqa: N818 -- says what is the matter
    """A proposal that is not even simulated.

    Attributes:
        filtered: It did not get as far as the endorser: the entrance refused the client.
    """

    def __init__(self, message: str, *, filtered: bool = False) -> None:
        super().__init__(message)
        self.filtered = filtered


@dataclass(frozen=True)
class Simulation:
    """What running a proposal gave."""

    response: proposal_response_pb2.Response
    payload: bytes
    namespaces: tuple[str, ...]


class Endorser:
    """One organisation's peer, as it endorses.

    Args:
        msp_id: The organisation.
        address: ``host:port`` of the peer, for error details.
        signer: The peer's identity.
        ledger: The channel's ledger.
        config: The channel's configuration.
        signatures: Verifies proposals; shared, because every organisation verifies the same ones.
        acl: The peer's access control.
        support: Runs chaincodes.
        endorsement_info: Looks up a chaincode's definition.
        faults: Faults on request.
    """

    def __init__(
        self,
        *,
        msp_id: str,
        address: str,
        signer: SigningIdentity,
        ledger: KVLedger,
        config: ChannelConfig,
        signatures: SignatureCache,
        acl: ACL,
        support: ChaincodeSupport,
        endorsement_info: Callable[[str, str, TxSimulator | None], EndorsementInfo],
        faults: Faults,
    ) -> None:
        self.msp_id = msp_id
        self.address = address
        self.identity = signer.identity
        self._signer = signer
        self._ledger = ledger
        self._config = config
        self._signatures = signatures
        self._acl = acl
        self._support = support
        self._is_system = support.is_system_chaincode
        self._endorsement_info = endorsement_info
        self._faults = faults

    async def process_proposal(
        self, signed: proposal_pb2.SignedProposal, simulation: Simulation | None = None
    ) -> tuple[proposal_response_pb2.ProposalResponse, Simulation | None]:
        """Simulates and endorses; failures of the simulation are responses with status 500 and no payload.

        Args:
            signed: The proposal.
            simulation: What another endorser's run gave, to be believed instead of running the chaincode.

        Raises:
            ProposalRefused: The proposal or its sender is not acceptable.
        """
        proposal = self._unpack(signed)
        channel_id = proposal.channel_id
        if channel_id not in ("", self._ledger.channel_id):
            return _failure(f"channel '{channel_id}' not found"), None
        self._validate(proposal, signed)
        if channel_id:
            self._check_channel(proposal, signed)
        try:
            if self._faults.active:
                self._faults.before_endorsement(self.msp_id)
            if simulation is None:
                simulation = await self._simulate(proposal, signed)
        except (ChaincodeError, SimulationError) as error:
            _log.warning("%s: failed to invoke chaincode %s: %s", self.msp_id, proposal.chaincode, error)
            return _failure(str(error)), None
        return self._respond(channel_id, simulation), simulation

    def _respond(self, channel_id: str, simulation: Simulation) -> proposal_response_pb2.ProposalResponse:
        response = simulation.response
        if response.status >= 500:
            return proposal_response_pb2.ProposalResponse(response=response, payload=simulation.payload)
        if channel_id == "" or response.status >= 400:
            return proposal_response_pb2.ProposalResponse(response=response)
        payload = simulation.payload
        if self._faults.active:
            payload = self._faults.alter_endorsement(self.msp_id, payload)
        return proposal_response_pb2.ProposalResponse(
            version=1,
            endorsement=endorse(payload, self._signer),
            payload=payload,
            response=response,
            interest=self._interest(simulation.namespaces),
        )

    def _interest(self, namespaces: tuple[str, ...]) -> proposal_response_pb2.ChaincodeInterest:
        # Names whose endorsement policies the transaction must meet; the system chaincodes are nobody's choice.
        calls = [proposal_response_pb2.ChaincodeCall(name=each) for each in namespaces if not self._is_system(each)]
        return proposal_response_pb2.ChaincodeInterest(chaincodes=calls)

    def _unpack(self, signed: proposal_pb2.SignedProposal) -> UnpackedProposal:
        try:
            proposal = unpack_proposal(signed.proposal_bytes)
        except MalformedMessage as error:
            raise ProposalRefused(str(error)) from error
        if _has_expired(proposal.creator):
            raise ProposalRefused("proposal client identity expired", filtered=True)
        if not proposal.chaincode:
            raise ProposalRefused("ChaincodeHeaderExtension.ChaincodeId.Name is empty")
        return proposal

    def _validate(self, proposal: UnpackedProposal, signed: proposal_pb2.SignedProposal) -> None:
        header = proposal.channel_header
        expected = compute_tx_id(proposal.signature_header.nonce, proposal.creator)
        if header.type not in (common_pb2.ENDORSER_TRANSACTION, common_pb2.CONFIG):
            reason = f"invalid header type {_header_type(header.type)}"
        elif header.epoch != 0:
            reason = "epoch is non-zero"
        elif not proposal.signature_header.nonce:
            reason = "nonce is empty"
        elif not proposal.creator:
            reason = "creator is empty"
        elif proposal.tx_id != expected:
            reason = f"incorrectly computed txid '{proposal.tx_id}' -- expected '{expected}'"
        elif not signed.signature:
            reason = "empty signature bytes"
        else:
            reason = self._authenticate(proposal, signed)
        if reason:
            raise ProposalRefused(f"error validating proposal: {reason}")

    def _authenticate(self, proposal: UnpackedProposal, signed: proposal_pb2.SignedProposal) -> str:
        channel_id = proposal.channel_id
        try:
            claimed = Identity.deserialize(proposal.creator)
        except InvalidIdentity:
            return f"access denied: channel [{channel_id}] creator org unknown, creator is malformed"
        if claimed.msp_id not in (self._config.msps.msps if channel_id else (self.msp_id,)):
            return f"access denied: channel [{channel_id}] creator org unknown, creator is malformed"
        try:
            creator = self._signatures.deserialize(proposal.creator)
        except InvalidIdentity as error:
            _log.warning("%s: identity is not valid: %s", self.msp_id, error)
            return f"access denied: channel [{channel_id}] creator org [{claimed.msp_id}]"
        if not self._signatures.verify(creator, signed.proposal_bytes, signed.signature):
            return f"access denied: channel [{channel_id}] creator org [{claimed.msp_id}]"
        return ""

    def _check_channel(self, proposal: UnpackedProposal, signed: proposal_pb2.SignedProposal) -> None:
        if self._ledger.tx_exists(proposal.tx_id):
            raise ProposalRefused(f"duplicate transaction found [{proposal.tx_id}]. Creator [{proposal.creator.hex()}]")
        if not self._is_system(proposal.chaincode):  # those check for themselves
            try:
                self._acl.check("peer/Propose", SignedData(signed.proposal_bytes, proposal.creator, signed.signature))
            except AccessDenied as error:
                raise ProposalRefused(str(error)) from error

    async def _simulate(self, proposal: UnpackedProposal, signed: proposal_pb2.SignedProposal) -> Simulation:
        """Runs the chaincode.

        Raises:
            ChaincodeError: There is no such chaincode, or it did not answer.
            SimulationError: It did what a simulation may not.
        """
        if proposal.channel_id == "" or proposal.chaincode in _WITHOUT_SIMULATOR:
            return await self._run(proposal, signed, None)
        with self._new_simulator(proposal.tx_id) as simulator:
            return await self._run(proposal, signed, simulator)

    def _new_simulator(self, tx_id: str) -> TxSimulator:
        if self._faults.active and (snapshot := self._faults.lagging_snapshot(self.msp_id)) is not None:
            return TxSimulator(snapshot, tx_id)
        return self._ledger.new_simulator(tx_id)

    async def _run(
        self, proposal: UnpackedProposal, signed: proposal_pb2.SignedProposal, simulator: TxSimulator | None
    ) -> Simulation:
        name = proposal.chaincode
        try:
            info = self._endorsement_info(proposal.channel_id, name, simulator)
        except ChaincodeError as error:
            raise ChaincodeError(
                f"make sure the chaincode {name} has been successfully defined on channel {proposal.channel_id} "
                f"and try again: {error}"
            ) from error
        params = TransactionParams(proposal.channel_id, proposal.tx_id, signed, simulator)
        try:
            response, event = await self._support.execute(params, name, proposal.input)
            results = simulator.results() if simulator is not None else b""
        except (ChaincodeError, SimulationError) as error:
            raise ChaincodeError(f"error in simulation: {error}") from error
        if simulator is not None and (private := simulator.private_results()) is not None:
            self._ledger.put_transient(proposal.tx_id, private)
        payload = proposal_response_payload(
            proposal.hash,
            response,
            results,
            event.SerializeToString() if event is not None and response.status < 400 else b"",
            chaincode_pb2.ChaincodeID(name=name, version=info.version),
        )
        namespaces = tuple(each.namespace for each in TxRWSet.parse(results).namespaces) if results else ()
        return Simulation(response, payload, namespaces)


class EndorserService(peer_pb2_grpc.EndorserServicer):  # type: ignore[misc]
    """Fabric's Endorser service on one organisation's endpoint."""

    def __init__(self, endorser: Endorser) -> None:
        self._endorser = endorser

    async def ProcessProposal(  # noqa: N802 -- gRPC's name
        self, request: proposal_pb2.SignedProposal, context: grpc.aio.ServicerContext
    ) -> proposal_response_pb2.ProposalResponse:
        try:
            response, _ = await self._endorser.process_proposal(request)
        except ProposalRefused as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return response


def _has_expired(creator: bytes) -> bool:
    try:
        end = Identity.deserialize(creator).certificate.not_valid_after_utc
    except ValueError:
        return False  # the validation says what it is
    return end < datetime.datetime.now(datetime.UTC)


def _failure(message: str) -> proposal_response_pb2.ProposalResponse:
    return proposal_response_pb2.ProposalResponse(response=proposal_response_pb2.Response(status=500, message=message))


def _header_type(number: int) -> str:
    types = common_pb2.HeaderType
    return types.Name(number) if number in types.values() else str(number)
