"""One process of the chaincode `fl` for each organisation: every endorser executes its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from fabric_fl.network.plan import Plan
from fabric_fl.network.program import Program


def chaincode_programs(
    plan: Plan, registered_as: str, tls: Callable[[str], Mapping[str, str]] = lambda _: {}
) -> list[Program]:
    """Returns the chaincode process of every organisation here, but for those that somebody else runs.

    Args:
        plan: The network.
        registered_as: The id with which the processes register at the peers.
        tls: Returns the TLS settings of an organisation's process.
    """
    consortium = plan.consortium
    elsewhere = {external.organisation for external in plan.chaincodes if external.name == consortium.chaincode}
    return [
        Program(
            name=f"{consortium.chaincode}-{one.name}",
            command=(sys.executable, "-m", "fl_chaincode"),
            environment={
                "CHAINCODE_ID": registered_as,
                "CHAINCODE_SERVER_ADDRESS": str(one.chaincode),
                "FL_CONSORTIUM": ",".join(consortium.msp_ids),
                **tls(one.name),
            },
            listens={f"{one.name}.chaincode": one.chaincode},
        )
        for one in plan.organisations
        if one.name not in elsewhere
    ]
