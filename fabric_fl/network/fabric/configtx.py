"""configtx.yaml: the channel that the genesis block founds."""

from __future__ import annotations

from typing import Any

import yaml

from fabric_fl.network.consortium import ORDERER_MSP_ID, Consortium
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import Authority, Topology

PROFILE = "Channel"
IDLE_TIMEOUT_MS = 10
"""Fabric's orderer cannot see whether the committers are idle: where the consortium asks for that, it waits so long."""


def render(consortium: Consortium, topology: Topology, layout: Layout, fabric_version: tuple[int, int]) -> str:
    """Returns configtx.yaml.

    Args:
        consortium: Who takes part.
        topology: With the ports decided.
        layout: Where the organisations' MSP directories and the orderers' TLS certificates lie.
        fabric_version: Major and minor: the channel's capability goes by it.
    """
    return yaml.safe_dump(settings(consortium, topology, layout, fabric_version), sort_keys=False)


def settings(
    consortium: Consortium, topology: Topology, layout: Layout, fabric_version: tuple[int, int]
) -> dict[str, Any]:
    """Returns what configtx.yaml says."""
    channel_capability = "V3_0" if fabric_version >= (3, 0) else "V2_0"
    application_capability = "V2_5" if fabric_version >= (2, 5) else "V2_0"
    return {
        "Profiles": {
            PROFILE: {
                "Policies": _meta_policies(),
                "Capabilities": {channel_capability: True},
                "Orderer": _ordering(consortium, topology, layout),
                "Application": {
                    "Organizations": _members(consortium, layout),
                    "Policies": {
                        **_meta_policies(),
                        "Endorsement": _endorsement(consortium.endorsement),
                        "LifecycleEndorsement": _meta("MAJORITY Endorsement"),
                    },
                    "Capabilities": {application_capability: True},
                },
            }
        }
    }


def _ordering(consortium: Consortium, topology: Topology, layout: Layout) -> dict[str, Any]:
    batch = consortium.batch
    ordering = {one.organisation for one in topology.orderers}
    return {
        "OrdererType": "etcdraft",
        "EtcdRaft": {
            "Consenters": [
                {
                    "Host": one.address.host,
                    "Port": one.address.port,
                    "ClientTLSCert": str(layout.node(one.name) / "tls" / "server.crt"),
                    "ServerTLSCert": str(layout.node(one.name) / "tls" / "server.crt"),
                }
                for one in topology.orderers
            ],
            "Options": {
                "TickInterval": "100ms",
                "ElectionTick": 10,
                "HeartbeatTick": 1,
                "MaxInflightBlocks": 5,
                "SnapshotIntervalSize": "16 MB",
            },
        },
        "BatchTimeout": f"{batch.timeout_ms or IDLE_TIMEOUT_MS}ms",
        "BatchSize": {
            "MaxMessageCount": batch.max_messages,
            "AbsoluteMaxBytes": batch.max_bytes,
            "PreferredMaxBytes": batch.preferred_bytes,
        },
        "MaxChannels": 0,
        "Organizations": [
            _ordering_member(one, topology, layout) for one in topology.authorities if one.organisation in ordering
        ],
        "Policies": {**_meta_policies(), "BlockValidation": _meta("ANY Writers")},
        "Capabilities": {"V2_0": True},
    }


def _ordering_member(member: Authority, topology: Topology, layout: Layout) -> dict[str, Any]:
    msp_id = member.msp_id
    # where an organisation has clients too, blocks are signed by its orderers alone
    writer = "member" if msp_id == ORDERER_MSP_ID else "orderer"
    return {
        "Name": msp_id,
        "ID": msp_id,
        "MSPDir": str(layout.msp(member.organisation)),
        "OrdererEndpoints": [str(one.address) for one in topology.orderers_of(member.organisation)],
        "Policies": {
            "Readers": _signature(f"OR('{msp_id}.member')"),
            "Writers": _signature(f"OR('{msp_id}.{writer}')"),
            "Admins": _signature(f"OR('{msp_id}.admin')"),
        },
    }


def _members(consortium: Consortium, layout: Layout) -> list[dict[str, Any]]:
    return [
        {
            "Name": one.msp_id,
            "ID": one.msp_id,
            "MSPDir": str(layout.msp(one.name)),
            # in the genesis block, so that gossip crosses organisations from the first second
            "AnchorPeers": [{"Host": one.peers[0].host, "Port": one.peers[0].port}],
            "Policies": {
                "Readers": _signature(f"OR('{one.msp_id}.admin', '{one.msp_id}.peer', '{one.msp_id}.client')"),
                "Writers": _signature(f"OR('{one.msp_id}.admin', '{one.msp_id}.client')"),
                "Admins": _signature(f"OR('{one.msp_id}.admin')"),
                "Endorsement": _signature(f"OR('{one.msp_id}.peer')"),
            },
        }
        for one in consortium.organisations
    ]


def _endorsement(asked: str) -> dict[str, str]:
    if asked in ("majority", "all", "any"):
        return _meta(f"{asked.upper()} Endorsement")
    return _signature(asked)


def _meta_policies() -> dict[str, dict[str, str]]:
    return {"Readers": _meta("ANY Readers"), "Writers": _meta("ANY Writers"), "Admins": _meta("MAJORITY Admins")}


def _meta(rule: str) -> dict[str, str]:
    return {"Type": "ImplicitMeta", "Rule": rule}


def _signature(rule: str) -> dict[str, str]:
    return {"Type": "Signature", "Rule": rule}
