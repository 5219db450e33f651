"""What a replay says of a task: of its committed rounds, of the others, and of what is left in the end."""

from __future__ import annotations

from dataclasses import dataclass

from fabric_fl.audit.finding import Finding

IDENTICAL, DIFFERS, NOT_RECOMPUTED = "identical", "differs", "not recomputed"
"""All is as it must be; something that was recorded is not; nothing is known to be wrong, and not all is known."""


@dataclass(frozen=True)
class RoundReplay:
    """One committed round and what recomputing it gave.

    Attributes:
        committed: digest of the model on the ledger.
        recomputed: digest that the replay reached; None where there is none, or a blob is no longer to be had.
        findings: what does not hold, or could not be recomputed.
        dissents: who attested something else, and was outvoted.
        undecided: what the ledger's records do not tell.
    """

    number: int
    j: int
    committed: str
    recomputed: str | None
    findings: tuple[Finding, ...]
    dissents: tuple[Finding, ...] = ()
    undecided: tuple[Finding, ...] = ()

    @property
    def identical(self) -> bool:
        return self.outcome == IDENTICAL

    @property
    def outcome(self) -> str:
        """Returns whether it is identical, differs, or could not be recomputed for want of a blob."""
        if any(finding.what != "blob" for finding in self.findings):
            return DIFFERS
        if self.findings:
            return NOT_RECOMPUTED
        return IDENTICAL if self.recomputed == self.committed else DIFFERS

    @property
    def told(self) -> str:
        """What is wrong with it; where nothing is, the outcome."""
        return "; ".join(map(str, self.findings)) or self.outcome

    @property
    def beside(self) -> tuple[Finding, ...]:
        """What was said in it beside what was committed."""
        return (*self.dissents, *self.undecided)


@dataclass(frozen=True)
class UncommittedRound:
    """A round that has committed nothing: aborted, disputed, or still running.

    Attributes:
        findings: what is wrong with its selection.
        dissents: who attested what does not follow from the updates.
        undecided: what the ledger's records do not tell, or blobs that are gone.
    """

    number: int
    j: int
    status: str
    findings: tuple[Finding, ...]
    dissents: tuple[Finding, ...] = ()
    undecided: tuple[Finding, ...] = ()

    @property
    def told(self) -> str:
        """Its state, and what is wrong with that."""
        wrong = "; ".join(map(str, self.findings))
        return f"{self.status}: {wrong}" if wrong else str(self.status)

    @property
    def beside(self) -> tuple[Finding, ...]:
        """What was said in it."""
        return (*self.dissents, *self.undecided)


@dataclass(frozen=True)
class TaskReplay:
    """A whole task.

    Attributes:
        rounds: The committed ones.
        uncommitted: All others.
        findings: What is wrong with the task's account, where no committed round says it.
    """

    task: str
    rounds: tuple[RoundReplay, ...]
    uncommitted: tuple[UncommittedRound, ...]
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> str:
        """Returns whether all that is recorded follows; where nothing was committed, nothing was recomputed."""
        outcomes = [one.outcome for one in self.rounds]
        if self.findings or DIFFERS in outcomes or any(one.findings for one in self.uncommitted):
            return DIFFERS
        return NOT_RECOMPUTED if NOT_RECOMPUTED in outcomes or not outcomes else IDENTICAL

    @property
    def identical(self) -> bool | None:
        """Whether every committed round is; None where nothing was committed and nothing is wrong."""
        if not self.rounds and self.outcome != DIFFERS:
            return None
        return self.outcome == IDENTICAL
