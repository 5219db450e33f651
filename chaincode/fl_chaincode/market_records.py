"""The records of compute fees and of the market; docs/market.md has their states."""

from collections.abc import Mapping
from dataclasses import dataclass

from fl_chaincode.codec import Record

ORDER, OFFER = "order", "offer"  # what holds a lock and can be voted on
PLACED, SETTLED, REFUNDED = "placed", "settled", "refunded"
OPEN, TAKEN, WITHDRAWN, CANCELLED = "open", "taken", "withdrawn", "cancelled"


@dataclass(frozen=True)
class PriceList(Record):
    """``market/prices/<provider>``: ``{"provider","version","services":{name:int},"description"}``.

    What one unit of each service costs now, in tokens.
    """

    PREFIX = "market/prices"
    KEY = ("provider",)

    provider: str
    version: int  # counts the publications
    services: Mapping[str, int]
    description: str


@dataclass(frozen=True)
class Publication(Record):
    """``market/publication/<provider>/<request_id>``: a price list as it was published, kept for repetitions.

    ``{"provider","request_id","version","services":{name:int},"description"}``
    """

    PREFIX = "market/publication"
    KEY = ("provider", "request_id")

    provider: str
    request_id: str
    version: int
    services: Mapping[str, int]
    description: str


@dataclass(frozen=True)
class Order(Record):
    """``market/order/<buyer>/<request_id>``: a job order, paid when it is placed.

    ``{"buyer","request_id","provider","service","version","quantity","amount","job","inputs":[id],"status",
    "ended_by":"confirmation"|"provider"|"vote"|null}``
    """

    PREFIX = "market/order"
    KEY = ("buyer", "request_id")

    buyer: str
    request_id: str
    provider: str
    service: str
    version: int  # of the price list
    quantity: int
    amount: int  # quantity times the listed price
    job: str  # what is ordered: for people, or the digest of a description
    inputs: tuple[str, ...]
    status: str  # placed | settled | refunded
    ended_by: str | None


@dataclass(frozen=True)
class Offer(Record):
    """``market/offer/<seller>/<request_id>``: tokens for money; the tokens are locked until the offer ends.

    ``{"seller","request_id","inputs":[id],"amount","price","currency","terms","status","buyer":msp|null,
    "reference":text|null,"cancelled_by":[msp],"ended_by":"seller"|"confirmation"|"agreement"|"vote"|null}``
    """

    PREFIX = "market/offer"
    KEY = ("seller", "request_id")

    seller: str
    request_id: str
    inputs: tuple[str, ...]
    amount: int  # tokens
    price: int  # of all of them, in the currency's smallest unit
    currency: str  # ISO 4217
    terms: str  # how the money is to be paid
    status: str  # open | taken | settled | withdrawn | cancelled
    buyer: str | None
    reference: str | None  # under which the money is paid; the buyer names it, the seller confirms it
    cancelled_by: tuple[str, ...]  # which of the two have asked to cancel
    ended_by: str | None


@dataclass(frozen=True)
class Ballot(Record):
    """``market/vote/<kind>/<owner>/<request_id>/<outcome>/<msp>``: a member of the consortium's vote on a dispute.

    ``{"kind","owner","request_id","outcome","organisation"}``
    """

    PREFIX = "market/vote"
    KEY = ("kind", "owner", "request_id", "outcome", "organisation")

    kind: str  # order | offer
    owner: str  # the order's buyer, the offer's seller
    request_id: str
    outcome: str  # settle | refund of an order, settle | cancel of an offer
    organisation: str
