"""Endorsement policies that nobody can meet."""

from __future__ import annotations

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2

from fabric_fl.fabric.policydsl import PolicySyntaxError, parse
from fabric_fl.network.consortium import Consortium
from fabric_fl.network.doctor.finding import Finding

_REMEDY = "Correct endorsement in network/consortium.yaml; only peers of its organisations endorse."


def unmeetable(consortium: Consortium) -> list[Finding]:
    """Finds out whether all peers of all organisations together could satisfy the policy.

    An identity counts once, as in Fabric: a policy that names one organisation twice needs two of its peers.
    """
    if consortium.endorsement in ("majority", "all", "any"):
        return []
    try:
        envelope = parse(consortium.endorsement)
    except PolicySyntaxError as error:
        return [Finding(f"the endorsement policy cannot be read: {error}", _REMEDY)]
    peers = [one.msp_id for one in consortium.organisations for _ in one.peers]
    if _satisfied(envelope.rule, list(envelope.identities), peers):
        return []
    return [Finding(f"no set of peers can meet the endorsement policy {consortium.endorsement}", _REMEDY)]


def _satisfied(
    rule: policies_pb2.SignaturePolicy, principals: list[msp_principal_pb2.MSPPrincipal], peers: list[str]
) -> bool:
    """Evaluates as Fabric's cauthdsl does; uses up the `peers` that were counted."""
    if rule.WhichOneof("Type") == "signed_by":
        role = msp_principal_pb2.MSPRole.FromString(principals[rule.signed_by].principal)
        endorses = role.role in (msp_principal_pb2.MSPRole.PEER, msp_principal_pb2.MSPRole.MEMBER)
        if not endorses or role.msp_identifier not in peers:
            return False
        peers.remove(role.msp_identifier)
        return True
    met = 0
    for one in rule.n_out_of.rules:
        left = list(peers)
        if _satisfied(one, principals, left):
            peers[:] = left
            met += 1
    return met >= int(rule.n_out_of.n)
