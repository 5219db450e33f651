"""Organisations that trade with each other on the ledger in memory."""

from typing import Any

from contract_scenario import ORG1, ORG2, Scenario

from fl_chaincode.market_records import OFFER, ORDER
from fl_chaincode.records import Lock


class Market(Scenario):
    """Org1 has a hundred tokens; Org2 offers a GPU hour for three tokens and a CPU hour for one."""

    def __init__(self, organisations: int = 3) -> None:
        super().__init__(organisations)
        self.stock()

    def stock(self) -> None:
        self.mint(ORG1, 100, "start")
        self.publish(ORG2, "first", {"gpu-hour": 3, "cpu-hour": 1})

    def publish(self, who: str, request: str, services: dict[str, int]) -> dict[str, Any]:
        return self.call(who, "prices:Publish", {"request_id": request, "services": services})

    def entries(self, who: str) -> list[str]:
        return [one["id"] for one in self.read("tokens:Entries", who)]

    def job(self, who: str = ORG1, **changes: Any) -> dict[str, Any]:
        """An order of four GPU hours, paid with all that the buyer has."""
        wanted = {"provider": ORG2, "service": "gpu-hour", "version": 1, "quantity": 4, "job": "train a model"}
        return {"request_id": "o", **wanted, "inputs": self.entries(who), **changes}

    def sale(self, who: str = ORG1, **changes: Any) -> dict[str, Any]:
        """An offer of forty tokens for ten euros, from all that the seller has."""
        money = {"price": 1000, "currency": "EUR", "terms": "to the account that you know"}
        return {"request_id": "s", "inputs": self.entries(who), "amount": 40, **money, **changes}

    def ordered(self, **changes: Any) -> dict[str, Any]:
        return self.call(ORG1, "orders:Place", self.job(**changes))

    def taken(self, buyer: str = ORG2, reference: str = "invoice 7") -> dict[str, Any]:
        self.call(ORG1, "offers:Make", self.sale())
        return self.call(buyer, "offers:Take", ORG1, "s", reference)

    def locked(self) -> dict[str, int]:
        """What is locked, by the kind of deal and the request."""
        locks = [self.ledger.state().scan(f"token/lock/{kind}/", f"token/lock/{kind}0") for kind in (OFFER, ORDER)]
        found = [Lock.decode(data) for entries in locks for _, data in entries]
        return {f"{one.kind} {one.request_id}": one.amount for one in found}

    def check_conserved(self) -> None:
        held, supply = self.all_tokens()
        assert held == supply
