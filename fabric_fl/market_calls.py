"""The contract's market: price lists, job orders, offers of tokens; docs/market.md has the states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fabric_fl.calls import ContractCalls, decoded
from fl_chaincode.records import Ballot, Offer, Order, PriceList, Publication


class MarketCalls(ContractCalls):
    """prices:*, orders:*, offers:* and market:*. Orders and offers are named by who made them and their request_id."""

    def publish_prices(self, request_id: str, services: Mapping[str, int], description: str = "") -> Publication:
        """Replace the caller's price list: tokens for one unit of each service."""
        fields = {"request_id": request_id, "services": dict(services), "description": description}
        return self._write(Publication, "prices:Publish", fields)

    def prices(self, provider: str) -> PriceList:
        return self._read(PriceList, "prices:Read", provider)

    # Orders

    def place_order(
        self,
        request_id: str,
        inputs: Iterable[str],
        *,
        provider: str,
        service: str,
        version: int,
        quantity: int,
        job: str,
    ) -> Order:
        """Order a job and lock what it costs.

        Args:
            request_id: Names the order among the caller's.
            inputs: ids of the caller's token entries that cover the price.
            provider: Who is to do it.
            service: One of its price list.
            version: Of that price list: at another price the order is refused.
            quantity: Units of the service.
            job: What is ordered, in a line.
        """
        fields = {"provider": provider, "service": service, "version": version, "quantity": quantity, "job": job}
        return self._write(Order, "orders:Place", {"request_id": request_id, "inputs": list(inputs), **fields})

    def confirm_order(self, order: str) -> Order:
        """Confirm that the caller's order was carried out, which pays the provider."""
        return self._write(Order, "orders:Confirm", order)

    def refund_order(self, buyer: str, order: str) -> Order:
        return self._write(Order, "orders:Refund", buyer, order)

    def vote_on_order(self, buyer: str, order: str, outcome: str) -> Ballot:
        """Vote to "settle" or to "refund"; `decide_order` carries it out when a majority has."""
        return self._write(Ballot, "orders:Vote", buyer, order, outcome)

    def decide_order(self, buyer: str, order: str, outcome: str) -> Order:
        return self._write(Order, "orders:Decide", buyer, order, outcome)

    def order(self, buyer: str, order: str) -> Order:
        return self._read(Order, "orders:Read", buyer, order)

    # Offers

    def make_offer(
        self, request_id: str, inputs: Iterable[str], *, amount: int, price: int, currency: str, terms: str = ""
    ) -> Offer:
        """Offer tokens for money, and lock them.

        Args:
            request_id: Names the offer among the caller's.
            inputs: ids of the caller's token entries that cover the amount.
            amount: Tokens.
            price: Of all of them, in the currency's smallest unit.
            currency: Three letters of ISO 4217.
            terms: How the money is to be paid, in a line.
        """
        fields = {"amount": amount, "price": price, "currency": currency, "terms": terms}
        return self._write(Offer, "offers:Make", {"request_id": request_id, "inputs": list(inputs), **fields})

    def take_offer(self, seller: str, offer: str, reference: str) -> Offer:
        """Take an offer and name the reference under which the money is paid."""
        return self._write(Offer, "offers:Take", seller, offer, reference)

    def withdraw_offer(self, offer: str) -> Offer:
        return self._write(Offer, "offers:Withdraw", offer)

    def confirm_offer(self, offer: str, reference: str) -> Offer:
        """Confirm that the money of the caller's offer has come, which gives the buyer the tokens."""
        return self._write(Offer, "offers:Confirm", offer, reference)

    def cancel_offer(self, seller: str, offer: str) -> Offer:
        """Ask to cancel a taken offer; it is cancelled when the other side has asked, too."""
        return self._write(Offer, "offers:Cancel", seller, offer)

    def vote_on_offer(self, seller: str, offer: str, outcome: str) -> Ballot:
        """Vote to "settle" or to "cancel"; `decide_offer` carries it out when a majority has."""
        return self._write(Ballot, "offers:Vote", seller, offer, outcome)

    def decide_offer(self, seller: str, offer: str, outcome: str) -> Offer:
        return self._write(Offer, "offers:Decide", seller, offer, outcome)

    def offer(self, seller: str, offer: str) -> Offer:
        return self._read(Offer, "offers:Read", seller, offer)

    def volumes(self) -> dict[str, Any]:
        """Return what was sold in each currency and of each service, and what is locked, as market:Volumes says."""
        return dict(decoded(self._evaluate("market:Volumes")))
