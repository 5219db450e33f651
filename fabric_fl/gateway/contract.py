"""A chaincode on a channel, to be queried and to be given transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import proposal_pb2

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.client import GatewayClient
from fabric_fl.gateway.commit import SubmittedTransaction
from fabric_fl.gateway.errors import CommitError
from fabric_fl.gateway.proposal import Proposal
from fabric_fl.gateway.signable import Signer


class Contract:
    """One chaincode, called by function name and arguments."""

    def __init__(self, client: GatewayClient, signer: Signer, channel_name: str, chaincode_name: str) -> None:
        self._client = client
        self._signer = signer
        self._channel_name = channel_name
        self.chaincode_name = chaincode_name

    def evaluate(
        self,
        name: str,
        *args: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> bytes:
        """Query: have one peer execute the function, and return its answer.

        Raises:
            EvaluateError: No answer, or the contract refused.
        """
        return self.new_proposal(
            name, *args, transient=transient, endorsing_organizations=endorsing_organizations
        ).evaluate()

    def submit(
        self,
        name: str,
        *args: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> bytes:
        """Have the function executed, ordered and committed, and return its result.

        Raises:
            EndorseError: Nothing was sent.
            SubmitError: Perhaps sent.
            CommitStatusError: Sent; perhaps committed.
            CommitError: In the ledger, as invalid.
        """
        submitted = self.submit_async(name, *args, transient=transient, endorsing_organizations=endorsing_organizations)
        status = submitted.status()
        if not status.successful:
            raise CommitError(status)
        return submitted.result

    def submit_async(
        self,
        name: str,
        *args: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> SubmittedTransaction:
        """Have the function executed and ordered; the answer tells its result and waits for the commit if asked.

        Raises:
            EndorseError: Nothing was sent.
            SubmitError: Perhaps sent.
        """
        proposal = self.new_proposal(name, *args, transient=transient, endorsing_organizations=endorsing_organizations)
        return proposal.endorse().submit()

    def new_proposal(
        self,
        name: str,
        *args: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> Proposal:
        """Return the call with an id of its own, for those who take each step themselves.

        Args:
            name: Function of the contract.
            args: Its arguments.
            transient: What endorsers may see and the ledger may not.
            endorsing_organizations: MSP ids; by default the gateway chooses after the endorsement policy.
        """
        proposal, transaction_id = protoutil.create_chaincode_proposal(
            self._channel_name, self.chaincode_name, (name, *args), self._signer.creator, transient=transient
        )
        proposed = gateway_pb2.ProposedTransaction(
            transaction_id=transaction_id,
            proposal=proposal_pb2.SignedProposal(proposal_bytes=proposal.SerializeToString()),
            endorsing_organizations=endorsing_organizations,
        )
        return Proposal(self._client, self._signer, proposed)

    def __repr__(self) -> str:
        return f"Contract({self._channel_name!r}, {self.chaincode_name!r})"
