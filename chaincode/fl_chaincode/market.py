"""What was traded: volumes and prices over all offers and orders that have been settled."""

from fl_chaincode.answers import SoldService, TradedTokens, UnitPrice, Volumes
from fl_chaincode.market_records import OFFER, ORDER, SETTLED
from fl_chaincode.records import Lock, Offer, Order
from fl_chaincode.state import Reader


def volumes(state: Reader) -> Volumes:
    """Return what was sold in each currency and of each provider's services, and what is locked now.

    Sums are decimal text, because the same tokens can be traded any number of times.
    """
    return {
        "offers": _offers(state),
        "orders": _orders(state),
        "locked": {kind: sum(one.amount for one in state.scan(Lock, kind)) for kind in (OFFER, ORDER)},
    }


def _offers(state: Reader) -> dict[str, TradedTokens]:
    traded: dict[str, list[Offer]] = {}
    for offer in state.scan(Offer):
        if offer.status == SETTLED:
            traded.setdefault(offer.currency, []).append(offer)
    return {
        currency: {
            "trades": len(offers),
            "tokens": str(sum(one.amount for one in offers)),
            "money": str(sum(one.price for one in offers)),
            "lowest": _unit_price(_cheapest(offers)),
            "highest": _unit_price(_dearest(offers)),
        }
        for currency, offers in traded.items()
    }


def _cheapest(offers: list[Offer]) -> Offer:
    found = offers[0]
    for one in offers[1:]:
        if one.price * found.amount < found.price * one.amount:  # prices per token, without dividing
            found = one
    return found


def _dearest(offers: list[Offer]) -> Offer:
    found = offers[0]
    for one in offers[1:]:
        if one.price * found.amount > found.price * one.amount:
            found = one
    return found


def _unit_price(offer: Offer) -> UnitPrice:
    """Return a price per token as a fraction: price / amount."""
    return {"price": offer.price, "amount": offer.amount}


def _orders(state: Reader) -> dict[str, dict[str, SoldService]]:
    sold: dict[str, dict[str, list[Order]]] = {}
    for order in state.scan(Order):
        if order.status == SETTLED:
            sold.setdefault(order.provider, {}).setdefault(order.service, []).append(order)
    return {
        provider: {
            service: {
                "orders": len(orders),
                "quantity": str(sum(one.quantity for one in orders)),
                "tokens": str(sum(one.amount for one in orders)),
            }
            for service, orders in services.items()
        }
        for provider, services in sold.items()
    }
