"""The records of tokens: what is held, what is locked, and the answers that are kept for repetitions."""

from dataclasses import dataclass

from fl_chaincode.codec import Record


@dataclass(frozen=True)
class Entry(Record):
    """``token/entry/<owner>/<id>``: ``{"id","owner","amount","cause"}``: tokens that nobody has spent yet.

    The cause is the key of the record that made it: an issue, a transfer, a task (change, or the escrow's return) or a
    settlement.
    """

    PREFIX = "token/entry"
    KEY = ("owner", "id")

    id: str
    owner: str
    amount: int
    cause: str


@dataclass(frozen=True)
class Escrow(Record):
    """``token/escrow/<task>``: ``{"task","sponsor","amount"}``: what is left of a task's locked budget."""

    PREFIX = "token/escrow"
    KEY = ("task",)

    task: str
    sponsor: str
    amount: int


@dataclass(frozen=True)
class Issue(Record):
    """``token/issue/<request_id>``: ``{"request_id","to","amount","votes":[msp],"issued":bool}``."""

    PREFIX = "token/issue"
    KEY = ("request_id",)

    request_id: str
    to: str
    amount: int
    votes: tuple[str, ...]
    issued: bool


@dataclass(frozen=True)
class Supply(Record):
    """``token/supply``: ``{"supply"}``: all tokens ever issued; none are destroyed."""

    PREFIX = "token/supply"

    supply: int


@dataclass(frozen=True)
class Transfer(Record):
    """``token/transfer/<sender>/<request_id>``: the answer to a transfer, kept for its repetitions.

    ``{"sender","request_id","inputs":[id],"to","amount","outputs":[id]}``
    """

    PREFIX = "token/transfer"
    KEY = ("sender", "request_id")

    sender: str
    request_id: str
    inputs: tuple[str, ...]
    to: str
    amount: int
    outputs: tuple[str, ...]  # the payment, then the change if there is any


@dataclass(frozen=True)
class Allowance(Record):
    """``token/allowance/<owner>/<spender>``: ``{"owner","spender","amount"}``: what the spender may still spend."""

    PREFIX = "token/allowance"
    KEY = ("owner", "spender")

    owner: str
    spender: str
    amount: int


@dataclass(frozen=True)
class Approval(Record):
    """``token/approval/<owner>/<request_id>``: the answer to an approval, kept for its repetitions.

    ``{"owner","request_id","spender","expected","amount"}``
    """

    PREFIX = "token/approval"
    KEY = ("owner", "request_id")

    owner: str
    request_id: str
    spender: str
    expected: int  # the allowance that this one replaced
    amount: int


@dataclass(frozen=True)
class Spending(Record):
    """``token/spending/<spender>/<request_id>``: a transfer from an allowance, kept for its repetitions.

    ``{"spender","request_id","owner","inputs":[id],"to","amount","outputs":[id]}``
    """

    PREFIX = "token/spending"
    KEY = ("spender", "request_id")

    spender: str
    request_id: str
    owner: str
    inputs: tuple[str, ...]
    to: str
    amount: int
    outputs: tuple[str, ...]  # the payment, then the owner's change if there is any


@dataclass(frozen=True)
class Lock(Record):
    """``token/lock/<kind>/<owner>/<request_id>``: ``{"kind","owner","request_id","amount"}``.

    Tokens that an order or an offer holds until it ends; the owner is its buyer or seller.
    """

    PREFIX = "token/lock"
    KEY = ("kind", "owner", "request_id")

    kind: str  # order | offer
    owner: str
    request_id: str
    amount: int
