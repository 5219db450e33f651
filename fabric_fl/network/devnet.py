"""The engine for one machine: devnet, and one chaincode process for each organisation."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fabric_fl.fabric.mspdir import write_private
from fabric_fl.network.chaincode import chaincode_programs
from fabric_fl.network.consortium import ORDERER_MSP_ID
from fabric_fl.network.errors import EngineError
from fabric_fl.network.fabric.package import VERSION, package, rules_digest
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan
from fabric_fl.network.program import Program
from fabric_fl.network.runner import Runner

_CONFIG = "devnet.json"
_STATE = "devnet"
_ROLES = "trainer,validator,coordinator,auditor,admin"


class DevnetEngine:
    name = "devnet"
    runtime = "native"

    def check(self, plan: Plan) -> None:
        """Raises EngineError when devnet cannot run such a network."""
        if plan.here:
            raise EngineError(
                "devnet is one process for all organisations", remedy="Leave --org out, or choose --engine fabric."
            )
        if len(plan.consortium.ordering) > 1:
            raise EngineError(f"devnet has one orderer, and {len(plan.consortium.ordering)} are listed")
        for one in plan.consortium.organisations:
            if len(one.peers) > 1:
                raise EngineError(f"devnet has one peer an organisation, and {one.name} lists {len(one.peers)}")

    def programs(self, plan: Plan, home: Home) -> list[Program]:
        """Writes devnet.json and returns devnet and the chaincode processes."""
        config, chaincode = home.root / _CONFIG, _chaincode(plan, home)
        text = json.dumps(render(plan, home, chaincode), indent=2, sort_keys=True) + "\n"
        temporary = config.with_suffix(".tmp")
        write_private(temporary, text.encode())
        temporary.replace(config)
        # the chaincode processes listen where they are told; all else is devnet's
        listens = {k: v for k, v in plan.consortium.addresses().items() if not k.endswith(".chaincode")}
        devnet = Program(
            name="devnet",
            command=(sys.executable, "-m", "fabric_fl.devnet", config.name),
            # with another configuration it is another program, which supervisord starts in the old one's place
            environment={"DEVNET_CONFIG": hashlib.sha256(text.encode()).hexdigest()},
            listens=listens,
        )
        return [devnet, *chaincode_programs(plan, chaincode.id)]

    def bring_up(
        self, plan: Plan, home: Home, wanted: Sequence[Program], supervisor: Runner, tell: Callable[[str], None]
    ) -> None:
        """Makes `wanted` run; devnet needs nothing else."""
        supervisor.run(wanted)


@dataclass(frozen=True)
class OwnChaincode:
    """Our contract as devnet defines it: its processes register with `id`."""

    id: str
    sequence: int


def _chaincode(plan: Plan, home: Home) -> OwnChaincode:
    """Returns the definition for the rules that are installed: other rules are the next sequence, as on Fabric."""
    wanted = package(plan.consortium.chaincode, rules_digest()).id
    known = _defined(home, plan.consortium.chaincode)
    if plan.memory:  # an upgrade would start devnet anew, and with it the ledger
        return known or OwnChaincode(wanted, 1)
    if known is None or not (home.root / _STATE).exists():
        return OwnChaincode(wanted, 1)
    # where others run processes of it, nobody knows of which rules they are
    return OwnChaincode(wanted, known.sequence + (known.id not in ("", wanted)))


def _defined(home: Home, name: str) -> OwnChaincode | None:
    try:
        chaincodes = json.loads((home.root / _CONFIG).read_text())["chaincodes"]
    except FileNotFoundError:
        return None
    return next((OwnChaincode(one.get("id", ""), one["sequence"]) for one in chaincodes if one["name"] == name), None)


def render(plan: Plan, home: Home, chaincode: OwnChaincode) -> dict[str, Any]:
    """Returns the configuration of the devnet process."""
    consortium = plan.consortium
    (orderer,) = consortium.ordering
    return {
        "schema": 1,
        "channel": consortium.channel,
        "output": str(home.root),
        "state": None if plan.memory else str(home.root / _STATE),
        "orderer": {"msp_id": ORDERER_MSP_ID, "host": orderer.host, "port": orderer.port},
        "organisations": [
            {
                "name": one.name,
                "msp_id": one.msp_id,
                "host": one.peers[0].host,
                "peer_port": one.peers[0].port,
                "ca_port": one.ca.port,
            }
            for one in consortium.organisations
        ],
        "client_attributes": {"fl.roles": _ROLES},
        "endorsement": consortium.endorsement,
        "batch": consortium.to_json()["batch"],
        "execution": "organisation",
        "chaincodes": _chaincodes(plan, chaincode),
    }


def _chaincodes(plan: Plan, own: OwnChaincode) -> list[dict[str, Any]]:
    consortium = plan.consortium
    addresses = {consortium.chaincode: {one.msp_id: str(one.chaincode) for one in consortium.organisations}}
    msp_ids = {one.name: one.msp_id for one in consortium.organisations}
    for external in plan.chaincodes:
        addresses.setdefault(external.name, {})[msp_ids[external.organisation]] = external.address
    # only where all its processes are ours is it known what they register as
    foreign = {external.name for external in plan.chaincodes}
    return [
        {"name": name, "version": VERSION, "addresses": by_organisation}
        | {"sequence": own.sequence if name == consortium.chaincode else 1}
        | ({} if name in foreign else {"id": own.id})
        for name, by_organisation in addresses.items()
    ]
