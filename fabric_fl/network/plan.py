"""What was asked of `network up`, kept beside the network so that the next `up` starts the same one."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self

from fabric_fl.network.consortium import Consortium, Organisation, Versions
from fabric_fl.network.errors import NetworkChangedError, NetworkError, NoNetworkError
from fabric_fl.network.home import Home

_SCHEMA = 1


@dataclass(frozen=True)
class ExternalChaincode:
    """A chaincode process that somebody else runs, for one organisation."""

    name: str
    organisation: str
    address: str


@dataclass(frozen=True)
class Plan:
    """One network.

    Attributes:
        memory: Nothing of the ledger is written to disk.
        chaincodes: Those that this network reaches but does not run.
        here: Whose part of it runs on this machine; all where empty.
        runtime: native or docker.
    """

    engine: str
    consortium: Consortium
    memory: bool = False
    chaincodes: tuple[ExternalChaincode, ...] = ()
    runtime: str = "native"
    here: tuple[str, ...] = ()

    @property
    def organisations(self) -> tuple[Organisation, ...]:
        """The members whose part runs on this machine."""
        return tuple(one for one in self.consortium.organisations if not self.here or one.name in self.here)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            engine=record["engine"],
            consortium=Consortium.from_json(record["consortium"]),
            memory=record["memory"],
            chaincodes=tuple(ExternalChaincode(**one) for one in record["chaincodes"]),
            here=tuple(record.get("here", ())),  # records of older versions have none
            # records of older versions have none
            runtime=record.get("runtime", "native"),
        )


def settle(home: Home, asked: Plan) -> Plan:
    """Returns `asked` with every port decided, as the first `up` of this network decided them.

    Another version of Fabric is no other network, but an upgrade of this one; nor is it another network when, where
    each organisation runs its own part, others have come or gone.

    Raises:
        NetworkChangedError: Another network than the one asked for lies there.
    """
    if not home.record.exists():
        return dataclasses.replace(asked, consortium=asked.consortium.resolved())
    known_asked, plan = _read(home)
    fabric = asked.consortium.fabric
    common = _of_members(asked, known_asked)
    if common is not None and known_asked != asked and common == _of_members(known_asked, asked):
        return asked
    if _of_fabric(known_asked, fabric) != asked:
        raise NetworkChangedError(f"{home.root} holds another network: {_difference(known_asked, asked)}")
    return plan if fabric is None else _of_fabric(plan, fabric)


def _of_fabric(plan: Plan, versions: Versions | None) -> Plan:
    return dataclasses.replace(plan, consortium=dataclasses.replace(plan.consortium, fabric=versions))


def _of_members(plan: Plan, other: Plan) -> Plan | None:
    """Returns a plan with those organisations alone that another has too; None where that may not be compared."""
    names = {one.name for one in other.consortium.organisations}
    if not plan.here or not names.issuperset(plan.here):
        return None
    common = tuple(one for one in plan.consortium.organisations if one.name in names)
    return dataclasses.replace(plan, consortium=dataclasses.replace(plan.consortium, organisations=common))


def keep(home: Home, asked: Plan, plan: Plan) -> None:
    """Writes down what was asked for and what was decided; nothing when that is written already."""
    if home.record.exists() and _read(home) == (asked, plan):
        return
    record = {"schema": _SCHEMA, "asked": asked.to_json(), "plan": plan.to_json()}
    temporary = home.record.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    temporary.replace(home.record)


def load(home: Home) -> Plan:
    """Returns the plan of the network in `home`.

    Raises:
        NoNetworkError: There is none.
    """
    if not home.record.exists():
        raise NoNetworkError(f"there is no network in {home.root}")
    return _read(home)[1]


def _read(home: Home) -> tuple[Plan, Plan]:
    try:
        record = json.loads(home.record.read_text())
        if record["schema"] != _SCHEMA:
            raise NetworkError(f"{home.record} has schema {record['schema']}; this version reads {_SCHEMA}")
        return Plan.from_json(record["asked"]), Plan.from_json(record["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NetworkError(
            f"{home.record} cannot be read: {error!r}",
            remedy="Restore it, or delete the network with `fabric-fl network down --wipe`.",
        ) from error


def _difference(known: Plan, asked: Plan) -> str:
    before, now = known.to_json(), asked.to_json()
    before |= before.pop("consortium")
    now |= now.pop("consortium")
    return "; ".join(f"{name} was {before[name]}, now {now[name]}" for name in before if before[name] != now[name])
