"""Refusals: one exception, and every stable code with its remedy.

A refusal reads ``FL-ROUND-SEALED: sentence`` wherever it is seen: in the chaincode's response, in a peer's error
detail, in the SDK's exceptions and in the documentation. A code is never renamed and never changes its meaning.

    Exception
    └── FLError      a rule refused; nothing was written
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

HELP: Mapping[str, str] = MappingProxyType(
    {
        # What was called
        "FL-FUNCTION-UNKNOWN": "Name the contract and the function exactly, for example rounds:Read.",
        "FL-ARGUMENT-COUNT": "Pass exactly the arguments that the function takes; optional ones come last.",
        "FL-ARGUMENT-INVALID": "Correct the argument or field that the message names to the form that it states.",
        "FL-ARGUMENT-SIZE": "Send less: large things are blobs, only their digests go on the ledger.",
        "FL-JSON-INVALID": "Send strict JSON in UTF-8: integers only, no duplicate keys, no lone surrogates.",
        "FL-JSON-FIELD": "Send exactly the fields that the function documents.",
        "FL-RECORD-SCHEMA": "The record was written by a newer version: upgrade this program.",
        "FL-CONFLICT": "The id is taken by other content: choose another id, or repeat the call with the same content.",
        # Who called
        "FL-CALLER-INVALID": "Call with a client certificate that the organisation's certificate authority issued.",
        "FL-CALLER-ROLE": "Enrol with the attribute fl.roles that holds the role which the message names.",
        "FL-CONSORTIUM-UNCONFIGURED": "Set FL_CONSORTIUM to the same list at every organisation's chaincode process.",
        "FL-CONSORTIUM-UNKNOWN": "Call consortium:Init once before anything that needs the consortium.",
        "FL-CONSORTIUM-OUTSIDE": "Only an organisation of the consortium can do this; consortium:Read lists them.",
        "FL-CONSORTIUM-SMALL": "Of one member alone everything would be the majority's will: add another one first.",
        "FL-MOTION-UNKNOWN": "Check the motion's request_id; consortium:Motions lists what was proposed.",
        "FL-MOTION-VOID": "There is nothing left to decide: read the motion and its subject.",
        "FL-PARTICIPANT-UNKNOWN": "The organisation registers first: participants:Register.",
        "FL-PARTICIPANT-INACTIVE": "The organisation's participation is suspended or has ended: have it reinstated.",
        "FL-PARTICIPANT-STATUS": "Whom the consortium has suspended, it reinstates; a withdrawal is final.",
        # Declarations
        "FL-DECLARATION-UNKNOWN": "The participant declares its data for that purpose first: declarations:Submit.",
        "FL-DECLARATION-NUMBER": "Number a new declaration one above the newest; declarations:List shows it.",
        "FL-DECLARATION-ENDED": "Declare the data anew, with a later last_round or without one.",
        "FL-DECLARATION-REVOKED": "This data must not be used any more: declare other data, for later rounds.",
        "FL-DECLARATION-EXAMPLES": "Train on what was declared, or declare all that is trained on.",
        # Tasks
        "FL-TASK-UNKNOWN": "Check the task's id; tasks:List shows what there is.",
        "FL-TASK-SPEC": "Correct the part of the specification that the message names.",
        "FL-TASK-QUORUM": "Choose q with half of the validators < q <= all of them.",
        "FL-TASK-OVERFLOW": "Lower k, max_examples or the bound: their product must stay below 2^63.",
        "FL-TASK-ENDED": "A finished or cancelled task takes nothing more: create another one.",
        "FL-TASK-OUTSIDE": "Only the task's sponsor or one of its validators can do this; tasks:Status names them.",
        "FL-ELECTION-TERM": "The validators have changed since: read validators:Read and vote anew.",
        # Rounds
        "FL-ROUND-UNKNOWN": "Check the round's number; tasks:Status names the current one.",
        "FL-ROUND-SEALED": "The round takes no more updates: take part in the next one.",
        "FL-ROUND-OPEN": "Wait until every selected participant has submitted, or the round is sealed by votes.",
        "FL-ROUND-FINAL": "A committed or aborted round never changes: read tasks:Status and go on from there.",
        "FL-ROUND-FIXED": "The set of updates of this round is fixed; a late reveal does not enter it.",
        "FL-ROUND-UNDECIDED": "No result has a proven quorum yet, and one still can: wait for more attestations.",
        "FL-ROUND-VOTES": "Fewer than q validators have voted for this attempt: vote, or wait for the others.",
        "FL-ROUND-MIN-UPDATES": "Fewer updates than the task's min_updates: wait for more, or vote to abort.",
        "FL-ROUND-UNSELECTED": "Only a participant that the round selected can do this; tasks:Status names them.",
        "FL-ROUND-UNCOMMITTED": "Wait until the round is committed.",
        "FL-ROUND-LIMIT": "The task has used all round numbers: create another task.",
        "FL-VALIDATOR-OUTSIDE": "Only a validator of this task can do this; tasks:Read names them.",
        # Updates, attestations, models
        "FL-UPDATE-UNKNOWN": "That participant has submitted nothing in this round.",
        "FL-UPDATE-OPENING": "The opening does not match the commitment: reveal what was submitted, by its submitter.",
        "FL-ATTESTATION-UNKNOWN": "That organisation has attested nothing in this round.",
        "FL-ATTESTATION-ATTEMPT": "Read tasks:Status and attest the round's current attempt.",
        "FL-ATTESTATION-VERSION": "Number a correction one above the stored version, which attestations:Read shows.",
        "FL-ATTESTATION-RESULT": "The result is not the hash of the attestation's own fields: compute it anew.",
        "FL-ATTESTATION-INCLUDED": "Included and refused updates are distinct and have been revealed in this round.",
        "FL-ATTESTATION-FETCHED": "The digest of every included update stands in the fetched list.",
        "FL-MODEL-UNKNOWN": "That model is not committed yet; models:Latest shows the newest.",
        # Scores and tokens
        "FL-SCORE-UNCOMMITTED": "Scores can be opened only where the attestation committed to them.",
        "FL-SCORE-OPENING": "The opening differs from the score commitment, or scores an update that is not included.",
        "FL-SCORE-UNOPENED": "Committed scores are not open yet: wait, or let q validators vote to settle without.",
        "FL-SCORE-UNUSED": "This task is not scored: attest without a score commitment.",
        "FL-TOKEN-INPUT": "Name entries that the caller holds and has not spent; tokens:Entries lists them.",
        "FL-TOKEN-FUNDS": "The named entries do not cover the amount: name more of them.",
        "FL-TOKEN-ALLOWANCE": "The owner has approved less than that: tokens:Allowance shows what is left.",
        "FL-TOKEN-EXPECTED": "The allowance is another one by now: read tokens:Allowance, then approve anew.",
        "FL-TOKEN-LOCK": "The order or offer has ended: read it again.",
        "FL-TOKEN-SUPPLY": "The supply would exceed 2^53 - 1: issue less.",
        # The market
        "FL-PRICE-UNKNOWN": "The provider lists no such price; prices:Read shows what it offers.",
        "FL-PRICE-CHANGED": "The provider has published other prices: read prices:Read and order at the new version.",
        "FL-ORDER-UNKNOWN": "Name the order by its buyer and the request_id that it was placed with.",
        "FL-ORDER-ENDED": "A settled or refunded order never changes.",
        "FL-OFFER-UNKNOWN": "Name the offer by its seller and the request_id that it was made with.",
        "FL-OFFER-STATUS": "The offer's status, which the message names, does not allow this; offers:Read shows it.",
        "FL-OFFER-REFERENCE": "Confirm the payment under the reference that the buyer named; offers:Read shows it.",
        "FL-MARKET-PARTY": "Only who buys or sells here can do this; the message names whom it needs.",
        "FL-MARKET-SELF": "Nobody trades with itself: order or take what another organisation offers.",
        "FL-MARKET-VOTES": "No majority of the consortium has voted for this outcome: vote, or wait for the others.",
        # Reading records
        "FL-RECORD-UNKNOWN": "There is no record under this key; records:Page shows which there are.",
        "FL-RECORD-FIELD": "Name fields of this kind of record, and values of their type; fl:Describe lists them.",
        "FL-RECORD-BOOKMARK": "Repeat the bookmark of the page before, with the same query.",
    }
)

_REFUSAL = re.compile(r"(FL(?:-[A-Z0-9]+)+): (.*)", re.DOTALL)


class FLError(Exception):
    """A rule refused the call; nothing was written.

    Attributes:
        code: a key of `HELP`.
        message: what is wrong with this call, in one sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        self.help = HELP[code]
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")

    def __reduce__(self) -> tuple[type["FLError"], tuple[str, str]]:
        return type(self), (self.code, self.message)


def parse(text: str) -> tuple[str, str] | None:
    """Find a refusal in a peer's message: (code, sentence), or None.

    The code may be one that this version does not know.
    """
    found = _REFUSAL.search(text)
    return (found[1], found[2]) if found else None
