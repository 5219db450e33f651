"""Records about organisations: who decides together, who takes part, and on which data."""

from dataclasses import dataclass

from fl_chaincode.codec import Record

ACTIVE, SUSPENDED, WITHDRAWN = "active", "suspended", "withdrawn"
ADD, REMOVE, SUSPEND, REINSTATE, CANCEL = "add", "remove", "suspend", "reinstate", "cancel"
MOTIONS = (ADD, REMOVE, SUSPEND, REINSTATE, CANCEL)


@dataclass(frozen=True)
class Consortium(Record):
    """``consortium``: ``{"organisations":[msp],"changes"}``."""

    PREFIX = "consortium"

    organisations: tuple[str, ...]
    changes: int = 0  # how often a majority has changed it since consortium:Init

    @property
    def majority(self) -> int:
        return len(self.organisations) // 2 + 1


@dataclass(frozen=True)
class Motion(Record):
    """``motion/<request_id>``: what members of the consortium want, carried out once when a majority has voted for it.

    ``{"request_id","kind":"add|remove|suspend|reinstate|cancel","subject","votes":[msp],"carried":bool}``
    """

    PREFIX = "motion"
    KEY = ("request_id",)

    request_id: str
    kind: str
    subject: str  # an organisation; of "cancel" a task
    votes: tuple[str, ...]
    carried: bool


@dataclass(frozen=True)
class Participant(Record):
    """``participant/<msp>``: ``{"msp_id","name","description","roles":[role],"status","suspended_by":…|null}``.

    Roles are those of the certificate that registered, for information: each call is judged by its own certificate.
    """

    PREFIX = "participant"
    KEY = ("msp_id",)

    msp_id: str
    name: str
    description: str
    roles: tuple[str, ...]
    status: str  # active | suspended | withdrawn
    suspended_by: str | None = None  # organisation | consortium, while it is suspended


@dataclass(frozen=True)
class Declaration(Record):
    """``declaration/<msp>/<purpose>/<number>``: a commitment to the data that a participant trains on.

    ``{"participant","purpose","number","digest","num_examples","last_round":int|null,"revoked":bool}``

    It says that training on this data for this purpose is allowed, in a task's rounds up to the last one.
    """

    PREFIX = "declaration"
    KEY = ("participant", "purpose", "number")

    participant: str
    purpose: str
    number: int
    digest: str  # of the data, or whatever its owner can later open
    num_examples: int
    last_round: int | None  # null: without an end
    revoked: bool

    def covers(self, round_number: int) -> bool:
        """Whether a round of this number may use the data."""
        return not self.revoked and (self.last_round is None or round_number <= self.last_round)


@dataclass(frozen=True)
class Declared(Record):
    """``declared/<msp>/<purpose>``: ``{"participant","purpose","number"}``: which declaration is the newest."""

    PREFIX = "declared"
    KEY = ("participant", "purpose")

    participant: str
    purpose: str
    number: int
