"""The contract's organisations: the consortium and its motions, participants, declarations of data."""

from __future__ import annotations

from fabric_fl.calls import ContractCalls
from fl_chaincode.records import Consortium, Declaration, Motion, Participant


class MemberCalls(ContractCalls):
    """consortium:*, participants:* and declarations:*. A participant is always the caller's own organisation."""

    def init_consortium(self) -> Consortium:
        return self._write(Consortium, "consortium:Init")

    def consortium(self) -> Consortium:
        return self._read(Consortium, "consortium:Read")

    def vote_on_motion(self, request_id: str, kind: str, subject: str) -> Motion:
        """Vote for a motion; the vote that completes the majority of the consortium carries it out.

        Args:
            request_id: the same for everybody who votes for it.
            kind: add or remove (a member of the consortium), suspend or reinstate (a participant), cancel (a task).
            subject: an MSP id, or the task's id.
        """
        return self._write(Motion, "consortium:Vote", {"request_id": request_id, "kind": kind, "subject": subject})

    def retract_vote(self, request_id: str) -> Motion:
        """Take back the vote for a motion that is not carried yet."""
        return self._write(Motion, "consortium:Retract", request_id)

    def motion(self, request_id: str) -> Motion:
        return self._read(Motion, "consortium:Motion", request_id)

    def motions(self) -> tuple[Motion, ...]:
        return self._list(Motion.from_json, "consortium:Motions")

    def register(self, name: str, description: str = "") -> Participant:
        """Register the caller's organisation, or return its record if that was done."""
        fields = {"name": name} | ({"description": description} if description else {})
        return self._write(Participant, "participants:Register", fields)

    def update_profile(self, *, name: str | None = None, description: str | None = None) -> Participant:
        """Change parts of the profile; None leaves a part as it is."""
        fields = {"name": name, "description": description}
        return self._write(
            Participant, "participants:Update", {part: text for part, text in fields.items() if text is not None}
        )

    def suspend(self) -> Participant:
        """Suspend the caller's own organisation."""
        return self._write(Participant, "participants:Suspend")

    def reinstate(self) -> Participant:
        """End the suspension that the caller's own organisation began."""
        return self._write(Participant, "participants:Reinstate")

    def withdraw(self) -> Participant:
        """End the participation of the caller's own organisation for good."""
        return self._write(Participant, "participants:Withdraw")

    def participant(self, msp_id: str) -> Participant:
        return self._read(Participant, "participants:Read", msp_id)

    def participants(self) -> tuple[Participant, ...]:
        return self._list(Participant.from_json, "participants:List")

    def declare(
        self, purpose: str, number: int, *, digest: str, num_examples: int, last_round: int | None = None
    ) -> Declaration:
        """Declare the data that the caller trains on for a purpose, in place of what it declared before.

        Args:
            purpose: what for; tasks name it.
            number: one above the newest declaration for this purpose, from 1.
            digest: SHA-256 of the data, or of what its owner can later show for it.
            num_examples: how many examples it has.
            last_round: of any task, the last round that may use it; None for no end.
        """
        fields = {"purpose": purpose, "number": number, "digest": digest, "num_examples": num_examples}
        return self._write(Declaration, "declarations:Submit", {**fields, "last_round": last_round})

    def revoke(self, purpose: str, number: int) -> Declaration:
        """Revoke a declaration of the caller's for good, which marks every model that it went into."""
        return self._write(Declaration, "declarations:Revoke", purpose, number)

    def declaration(self, msp_id: str, purpose: str, number: int) -> Declaration:
        return self._read(Declaration, "declarations:Read", msp_id, purpose, number)

    def declarations(self, msp_id: str) -> tuple[Declaration, ...]:
        return self._list(Declaration.from_json, "declarations:List", msp_id)
