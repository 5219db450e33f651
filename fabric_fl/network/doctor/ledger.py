"""What the network itself says: heights, approvals, clocks, endorsement."""

from __future__ import annotations

import datetime
import email.utils
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress

from fabric_protos.common import ledger_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from fabric_fl.errors import FabricFLError
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.gateway.peer import ask
from fabric_fl.network.doctor.finding import Finding
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan

_SKEW_SECONDS = 60.0  # Fabric itself refuses proposals from 15 minutes on
_BLOCKS = 10


def behind(heights: Mapping[str, int]) -> list[Finding]:
    """Finds peers whose chain is more than some blocks shorter than the longest.

    Args:
        heights: By peer.
    """
    top = max(heights.values(), default=0)
    return [
        Finding(
            f"the peer {name} is at height {height}, others are at {top}",
            "Give it time; if it stays behind, its log says why it does not get blocks from the orderers.",
        )
        for name, height in heights.items()
        if top - height > _BLOCKS
    ]


def unapproved(approvals: Mapping[str, bool], chaincode: str) -> list[Finding]:
    """Finds organisations that have not approved the committed definition."""
    return [
        Finding(
            f"{msp_id} has not approved the definition of the chaincode {chaincode}: its peers do not endorse",
            "Its administrator runs `peer lifecycle chaincode install` and `approveformyorg`; `network up` does both.",
        )
        for msp_id, approved in approvals.items()
        if not approved
    ]


def silent(problems: Mapping[str, str]) -> list[Finding]:
    """Finds gateways through which not every organisation endorses.

    Args:
        problems: "" or what went wrong, by organisation.
    """
    return [
        Finding(
            f"through the gateway of {name} not every organisation endorses: {problem}",
            "`fabric-fl network status` shows which process is missing, `fabric-fl network up` starts it.",
        )
        for name, problem in problems.items()
        if problem
    ]


def skewed(clocks: Mapping[str, datetime.datetime], now: datetime.datetime) -> list[Finding]:
    """Finds CAs whose clock is apart from this machine's by more than a minute."""
    return [
        Finding(
            f"the clock of {name} is {abs((clock - now).total_seconds()):.0f} s apart from this machine's",
            "Synchronise both with NTP: Fabric refuses what was signed 15 minutes ago, or too early a certificate.",
        )
        for name, clock in clocks.items()
        if abs((clock - now).total_seconds()) > _SKEW_SECONDS
    ]


def heights(home: Home, plan: Plan) -> dict[str, int]:
    """Returns the height of each peer's chain, whosever it is; those that do not answer are left out."""
    channel = plan.consortium.channel
    found: dict[str, int] = {}
    for one in plan.organisations:
        try:
            profile = ConnectionProfile.load(home.organisation(one.name))
            missing = [peer for peer in profile.channel_peers if peer.name not in found]
            identity = profile.identity
        except (FabricFLError, OSError):
            continue  # that it has no profile is another check's finding, and so is a peer that does not answer
        for peer in missing:
            with suppress(FabricFLError, OSError):
                answer = ask(peer, identity, channel, "qscc", "GetChainInfo", channel)
                found[peer.name] = ledger_pb2.BlockchainInfo.FromString(answer).height
    return found


def approvals(home: Home, plan: Plan) -> dict[str, bool]:
    """Returns who has approved the committed definition, as the first gateway that answers says."""
    consortium = plan.consortium
    arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=consortium.chaincode).SerializeToString()
    for one in plan.organisations:
        try:
            with connect(home.organisation(one.name)) as gateway:
                contract = gateway.network(consortium.channel).contract("_lifecycle")
                answer = contract.evaluate("QueryChaincodeDefinition", arguments)
        except (FabricFLError, OSError):
            continue
        return dict(lifecycle_pb2.QueryChaincodeDefinitionResult.FromString(answer).approvals)
    return {}


def clocks(home: Home, plan: Plan) -> dict[str, datetime.datetime]:
    """Returns the time of each organisation's CA; those that do not answer are left out."""
    found = {}
    for one in plan.organisations:
        try:
            authority = ConnectionProfile.load(home.organisation(one.name)).authority
            context = ssl.create_default_context(cadata=(authority.tls_ca_certs or b"").decode())
            # the scheme is https: the profile's reader sees to that
            with urllib.request.urlopen(f"{authority.url}/cainfo", timeout=5, context=context) as answer:  # noqa: S310
                said = answer.headers.get("Date")
        except urllib.error.HTTPError as error:
            said = error.headers.get("Date")
        except (FabricFLError, OSError):
            continue
        if said:
            found[f"{one.name}'s CA"] = email.utils.parsedate_to_datetime(said)
    return found
