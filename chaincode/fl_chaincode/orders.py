"""Job orders: compute at a listed price, paid into a lock when placed; docs/market.md has the states.

The buyer's confirmation or a majority's vote pays the provider; the provider or a majority's vote refunds the buyer.
"""

from dataclasses import dataclass, replace

from fl_chaincode import access, args, disputes, locks, prices, repetition
from fl_chaincode.args import Fields, between, line
from fl_chaincode.caller import Caller
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.errors import FLError
from fl_chaincode.market_records import ORDER, PLACED, REFUNDED, SETTLED
from fl_chaincode.records import Ballot, Order
from fl_chaincode.state import Points, Reader, Writer

SETTLE, REFUND = "settle", "refund"
OUTCOMES = (SETTLE, REFUND)
_STATUS = {SETTLE: SETTLED, REFUND: REFUNDED}


@dataclass(frozen=True)
class OrderRequest:
    """The argument of orders:Place.

    ``{"request_id","provider","service","version","quantity","job","inputs":[id]}``
    """

    request_id: str
    provider: str
    service: str
    version: int
    quantity: int
    job: str
    inputs: tuple[str, ...]


def order_request(what: str, text: str) -> OrderRequest:
    with Fields.of(what, text) as fields:
        return OrderRequest(
            request_id=fields.take("request_id", args.identifier),
            provider=fields.take("provider", args.msp_id),
            service=fields.take("service", args.identifier),
            version=fields.integer("version", 1),
            quantity=fields.integer("quantity", 1),
            job=fields.take("job", line(200, shortest=1)),
            inputs=fields.listed("inputs", args.digest, low=1),
        )


def place(state: Writer, caller: Caller, request: OrderRequest) -> Order:
    """Order a job and lock what it costs, at the version of the price list that the buyer has seen."""
    stored = state.get(Order, caller.msp_id, request.request_id)
    if stored is not None:
        repetition.check_same(stored, request)
        return stored
    if request.provider == caller.msp_id:
        raise FLError("FL-MARKET-SELF", f"{caller.msp_id} is the provider itself")
    access.check_active(state, request.provider)
    order = Order(
        buyer=caller.msp_id,
        **vars(request),
        amount=_cost(state, request),
        status=PLACED,
        ended_by=None,
    )
    locks.lock(state, ORDER, order.buyer, order.request_id, order.inputs, order.amount, order.key)
    state.put(order)
    return order


def confirm(state: Writer, caller: Caller, request_id: str) -> Order:
    """Confirm that the caller's order was carried out: the provider gets what is locked."""
    return _end(state, _order(state, caller.msp_id, request_id), SETTLE, "confirmation")


def refund(state: Writer, caller: Caller, buyer: str, request_id: str) -> Order:
    """Give an order back, as its provider: the buyer gets what is locked."""
    order = _order(state, buyer, request_id)
    if caller.msp_id != order.provider:
        raise FLError("FL-MARKET-PARTY", f"{order.provider} is the provider of this order")
    return _end(state, order, REFUND, "provider")


def vote(state: Writer, caller: Caller, buyer: str, request_id: str, outcome: str) -> Ballot:
    """Vote, as a member of the consortium, to settle or to refund an order that has not ended."""
    order = _order(state, buyer, request_id)
    ballot = disputes.ballot(state, caller, ORDER, buyer, request_id, outcome)
    if not disputes.was_cast(state, ballot):
        _check_placed(order)
        state.put(ballot)
    return ballot


def decide(state: Writer, _caller: Caller, buyer: str, request_id: str, outcome: str) -> Order:
    """Carry out what a majority of the consortium has voted for."""
    order = _order(state, buyer, request_id)
    if order.status == PLACED:
        disputes.check_majority(state, ORDER, buyer, request_id, outcome)
    return _end(state, order, outcome, "vote")


def read(state: Reader, buyer: str, request_id: str) -> Order:
    """Return an order."""
    return _order(state, buyer, request_id)


def _order(state: Points, buyer: str, request_id: str) -> Order:
    stored = state.get(Order, buyer, request_id)
    if stored is None:
        raise FLError("FL-ORDER-UNKNOWN", f"{buyer} has placed no order {request_id}")
    return stored


def _cost(state: Points, request: OrderRequest) -> int:
    listed = prices.current(state, request.provider)
    if request.version != listed.version:
        raise FLError("FL-PRICE-CHANGED", f"the price list of {request.provider} has version {listed.version}")
    price = listed.services.get(request.service)
    if price is None:
        raise FLError("FL-PRICE-UNKNOWN", f"{request.provider} lists no price for {request.service}")
    return between(1, MAX_INTEGER)("the price of the order", price * request.quantity)


def _end(state: Writer, order: Order, outcome: str, ended_by: str) -> Order:
    if order.status == _STATUS[outcome]:
        return order
    _check_placed(order)
    payee = order.provider if outcome == SETTLE else order.buyer
    locks.release(state, ORDER, order.buyer, order.request_id, payee, order.key)
    ended = replace(order, status=_STATUS[outcome], ended_by=ended_by)
    state.put(ended)
    return ended


def _check_placed(order: Order) -> None:
    if order.status != PLACED:
        raise FLError("FL-ORDER-ENDED", f"the order {order.request_id} of {order.buyer} is {order.status}")
