"""participant.json: what an organisation's SDK needs beside its connection profile."""

from __future__ import annotations

import json

from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan

SCHEMA = 1


def write_participant_files(home: Home, plan: Plan) -> None:
    """Writes each organisation's participant.json where it has none; an operator may have changed the ones that exist.

    Each organisation writes to its own blob store and knows, by operator's configuration, where the others' are.
    Relative paths are relative to the file.
    """
    consortium = plan.consortium
    for one in plan.organisations:
        path = home.organisation(one.name) / "participant.json"
        if path.exists():
            continue
        record = {
            "schema": SCHEMA,
            "msp_id": one.msp_id,
            "channel": consortium.channel,
            "chaincode": consortium.chaincode,
            "private": "private",
            "store": "blobs",
            "stores": {
                other.msp_id: other.blobs or f"../{other.name}/blobs"
                for other in consortium.organisations
                if other is not one and (other.blobs or other in plan.organisations)
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
