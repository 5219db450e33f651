"""One process of the chaincode `fl` for each organisation: every endorser executes its own."""

from __future__ import annotations

import sys

from fabric_fl.network.plan import Plan
from fabric_fl.network.program import Program


def chaincode_id(name: str) -> str:
    """The id with which our chaincode processes register at the peer."""
    return f"{name}_1.0"


def chaincode_programs(plan: Plan) -> list[Program]:
    """Returns the chaincode process of every organisation, but for those that somebody else runs."""
    consortium = plan.consortium
    elsewhere = {external.organisation for external in plan.chaincodes if external.name == consortium.chaincode}
    return [
        Program(
            name=f"{consortium.chaincode}-{one.name}",
            command=(sys.executable, "-m", "fl_chaincode"),
            environment={
                "CHAINCODE_ID": chaincode_id(consortium.chaincode),
                "CHAINCODE_SERVER_ADDRESS": str(one.chaincode),
                "FL_CONSORTIUM": ",".join(consortium.msp_ids),
            },
            listens={f"{one.name}.chaincode": one.chaincode},
        )
        for one in consortium.organisations
        if one.name not in elsewhere
    ]
