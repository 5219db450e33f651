"""Offers: tokens for money; docs/market.md has the states.

The ledger locks and moves the tokens. The money moves elsewhere, under a reference that the buyer names when it takes
the offer and that the seller repeats when it confirms the payment.
"""

from dataclasses import dataclass, replace

from fl_chaincode import access, args, disputes, locks, repetition
from fl_chaincode.args import Fields, line
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.market_records import CANCELLED, OFFER, OPEN, SETTLED, TAKEN, WITHDRAWN
from fl_chaincode.records import Ballot, Offer
from fl_chaincode.state import Points, Reader, Writer

SETTLE, CANCEL = "settle", "cancel"
OUTCOMES = (SETTLE, CANCEL)
payment_reference = line(140, shortest=1)  # as long as SEPA's remittance information


@dataclass(frozen=True)
class OfferRequest:
    """The argument of offers:Make: ``{"request_id","inputs":[id],"amount","price","currency","terms"}``."""

    request_id: str
    inputs: tuple[str, ...]
    amount: int
    price: int
    currency: str
    terms: str


def offer_request(what: str, text: str) -> OfferRequest:
    with Fields.of(what, text) as fields:
        return OfferRequest(
            request_id=fields.take("request_id", args.identifier),
            inputs=fields.listed("inputs", args.digest, low=1),
            amount=fields.integer("amount", 1),
            price=fields.integer("price", 1),
            currency=fields.take("currency", args.currency),
            terms=fields.take("terms", line(1000)),
        )


def make(state: Writer, caller: Caller, request: OfferRequest) -> Offer:
    """Offer tokens for money, and lock them."""
    stored = state.get(Offer, caller.msp_id, request.request_id)
    if stored is not None:
        repetition.check_same(stored, request)
        return stored
    offer = Offer(
        seller=caller.msp_id,
        **vars(request),
        status=OPEN,
        buyer=None,
        reference=None,
        cancelled_by=(),
        ended_by=None,
    )
    locks.lock(state, OFFER, offer.seller, offer.request_id, offer.inputs, offer.amount, offer.key)
    state.put(offer)
    return offer


def take(state: Writer, caller: Caller, seller: str, request_id: str, reference: str) -> Offer:
    """Take an open offer and name the reference under which the money is paid."""
    offer = _offer(state, seller, request_id)
    if offer.buyer == caller.msp_id:
        if offer.reference != reference:
            raise FLError("FL-CONFLICT", f"{caller.msp_id} has taken this offer with another reference")
        return offer
    if caller.msp_id == seller:
        raise FLError("FL-MARKET-SELF", f"{seller} is the seller itself")
    _check_status(offer, OPEN)
    access.check_owner(state, seller)  # who is suspended cannot confirm
    taken = replace(offer, status=TAKEN, buyer=caller.msp_id, reference=reference)
    state.put(taken)
    return taken


def withdraw(state: Writer, caller: Caller, request_id: str) -> Offer:
    """Take the caller's own offer back while nobody has taken it."""
    offer = _offer(state, caller.msp_id, request_id)
    if offer.status == WITHDRAWN:
        return offer
    _check_status(offer, OPEN)
    return _end(state, offer, WITHDRAWN, "seller")


def confirm(state: Writer, caller: Caller, request_id: str, reference: str) -> Offer:
    """Confirm, as the seller, that the money has come under the agreed reference: the buyer gets the tokens."""
    offer = _offer(state, caller.msp_id, request_id)
    if offer.status not in (TAKEN, SETTLED):
        _check_status(offer, TAKEN)
    if offer.reference != reference:
        raise FLError("FL-OFFER-REFERENCE", "the buyer named another reference")
    return offer if offer.status == SETTLED else _end(state, offer, SETTLED, "confirmation")


def cancel(state: Writer, caller: Caller, seller: str, request_id: str) -> Offer:
    """Ask to cancel a taken offer; when buyer and seller have both asked, the seller gets the tokens back."""
    offer = _offer(state, seller, request_id)
    if caller.msp_id not in (offer.seller, offer.buyer):
        raise FLError("FL-MARKET-PARTY", f"{caller.msp_id} neither sells nor buys here")
    if offer.status == CANCELLED or (offer.status == TAKEN and caller.msp_id in offer.cancelled_by):
        return offer
    _check_status(offer, TAKEN)
    asked = replace(offer, cancelled_by=tuple(sorted((*offer.cancelled_by, caller.msp_id))))
    if len(asked.cancelled_by) == 2:
        return _end(state, asked, CANCELLED, "agreement")
    state.put(asked)
    return asked


def vote(state: Writer, caller: Caller, seller: str, request_id: str, outcome: str) -> Ballot:
    """Vote, as a member of the consortium, to settle or to cancel a taken offer."""
    offer = _offer(state, seller, request_id)
    ballot = disputes.ballot(state, caller, OFFER, seller, request_id, outcome)
    if not disputes.was_cast(state, ballot):
        _check_status(offer, TAKEN)
        state.put(ballot)
    return ballot


def decide(state: Writer, _caller: Caller, seller: str, request_id: str, outcome: str) -> Offer:
    """Carry out what a majority of the consortium has voted for."""
    offer = _offer(state, seller, request_id)
    status = {SETTLE: SETTLED, CANCEL: CANCELLED}[outcome]
    if offer.status == status:
        return offer
    _check_status(offer, TAKEN)
    disputes.check_majority(state, OFFER, seller, request_id, outcome)
    return _end(state, offer, status, "vote")


def read(state: Reader, seller: str, request_id: str) -> Offer:
    """Return an offer."""
    return _offer(state, seller, request_id)


def _offer(state: Points, seller: str, request_id: str) -> Offer:
    stored = state.get(Offer, seller, request_id)
    if stored is None:
        raise FLError("FL-OFFER-UNKNOWN", f"{seller} has made no offer {request_id}")
    return stored


def _check_status(offer: Offer, needed: str) -> None:
    if offer.status != needed:
        raise FLError("FL-OFFER-STATUS", f"the offer {offer.request_id} of {offer.seller} is {offer.status}")


def _end(state: Writer, offer: Offer, status: str, ended_by: str) -> Offer:
    payee = offer.buyer if status == SETTLED and offer.buyer else offer.seller
    locks.release(state, OFFER, offer.seller, offer.request_id, payee, offer.key)
    ended = replace(offer, status=status, ended_by=ended_by)
    state.put(ended)
    return ended
