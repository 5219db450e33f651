"""Policies: whose signatures are enough.

A signature policy counts identities, each at most once; an implicit meta policy counts the groups below it whose
policy of a given name is satisfied. Evaluation follows Fabric's, greedy order included (``common/cauthdsl``): there
are policies that a cleverer search would satisfy and Fabric does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2

from fabric_fl.fabric import policydsl
from fabric_fl.fabric.identity import Identity, InvalidIdentity
from fabric_fl.fabric.msp import MSPManager
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal

_ROLE_NAMES = {number: name for name, number in policydsl.ROLES.items()}
_THRESHOLDS: dict[int, Callable[[int], int]] = {
    policies_pb2.ImplicitMetaPolicy.ANY: lambda count: min(1, count),
    policies_pb2.ImplicitMetaPolicy.ALL: lambda count: count,
    policies_pb2.ImplicitMetaPolicy.MAJORITY: lambda count: count // 2 + 1 if count else 0,
}


class InvalidPolicy(ValueError):  # noqa: N818 -- what it is
    """A policy that cannot be evaluated."""


class Policy(Protocol):
    """Something that a set of identities satisfies or not."""

    def evaluate(self, identities: Sequence[Identity], msps: MSPManager) -> bool: ...


@dataclass(frozen=True)
class SignedData:
    """A signature, what it is over, and whose it claims to be (serialised)."""

    data: bytes
    identity: bytes
    signature: bytes


class SignaturePolicy:
    """Gates over principals.

    Raises:
        InvalidPolicy: The envelope holds a rule that cannot be evaluated.
    """

    def __init__(self, envelope: policies_pb2.SignaturePolicyEnvelope) -> None:
        if envelope.version != 0:
            raise InvalidPolicy(f"only version 0 of signature policies is understood, not {envelope.version}")
        _check_rule(envelope.rule, len(envelope.identities))
        self.envelope = envelope

    @classmethod
    def parse(cls, rule: str) -> SignaturePolicy:
        """Reads Fabric's policy language, such as ``AND('Org1MSP.peer', 'Org2MSP.peer')``."""
        return cls(policydsl.parse(rule))

    @classmethod
    def from_bytes(cls, data: bytes) -> SignaturePolicy:
        """Reads a serialised ``SignaturePolicyEnvelope``."""
        try:
            return cls(unmarshal(policies_pb2.SignaturePolicyEnvelope, data))
        except MalformedMessage as error:
            raise InvalidPolicy(str(error)) from error

    def __repr__(self) -> str:
        try:
            return f"SignaturePolicy({policydsl.to_string(self.envelope)!r})"
        except (ValueError, KeyError, IndexError):
            return "SignaturePolicy(…)"

    def evaluate(self, identities: Sequence[Identity], msps: MSPManager) -> bool:
        """Tells whether the identities, whose signatures somebody has verified, satisfy the policy."""
        return self._evaluate(self.envelope.rule, identities, msps, frozenset()) is not None

    def _evaluate(
        self,
        rule: policies_pb2.SignaturePolicy,
        identities: Sequence[Identity],
        msps: MSPManager,
        used: frozenset[int],
    ) -> frozenset[int] | None:
        """Returns which identities are used up after the rule, or None where it does not hold."""
        if rule.WhichOneof("Type") == "signed_by":
            principal = self.envelope.identities[rule.signed_by]
            for index, identity in enumerate(identities):
                if index not in used and satisfies_principal(identity, principal, msps):
                    return used | {index}
            return None
        satisfied = 0
        for inner in rule.n_out_of.rules:
            after = self._evaluate(inner, identities, msps, used)
            if after is not None:
                satisfied += 1
                used = after
        return used if satisfied >= rule.n_out_of.n else None


@dataclass(frozen=True)
class ImplicitMetaPolicy:
    """ANY, ALL or a MAJORITY of the groups below satisfy their policy of one name."""

    rule: int
    sub_policy: str
    sub_policies: tuple[Policy, ...]

    def __post_init__(self) -> None:
        if self.rule not in _THRESHOLDS:
            raise InvalidPolicy(f"implicit meta policies know ANY, ALL and MAJORITY, not {self.rule}")

    def evaluate(self, identities: Sequence[Identity], msps: MSPManager) -> bool:
        needed = _THRESHOLDS[self.rule](len(self.sub_policies))
        return sum(policy.evaluate(identities, msps) for policy in self.sub_policies) >= needed


@dataclass(frozen=True)
class RejectPolicy:
    """Stands where a group lacks the policy that an implicit meta policy asks for."""

    def evaluate(self, identities: Sequence[Identity], msps: MSPManager) -> bool:
        return False


def implicit_meta(rule: str) -> policies_pb2.ImplicitMetaPolicy:
    """Reads ``MAJORITY Admins`` and the like.

    Raises:
        InvalidPolicy: It is none.
    """
    kind, _, sub_policy = rule.partition(" ")
    if kind not in policies_pb2.ImplicitMetaPolicy.Rule.keys() or not sub_policy or " " in sub_policy:  # noqa: SIM118
        raise InvalidPolicy(f"expected ALL, ANY or MAJORITY and the name of a policy, found {rule!r}")
    return policies_pb2.ImplicitMetaPolicy(rule=policies_pb2.ImplicitMetaPolicy.Rule.Value(kind), sub_policy=sub_policy)


def satisfies_principal(identity: Identity, principal: msp_principal_pb2.MSPPrincipal, msps: MSPManager) -> bool:
    """Tells whether a valid identity is the principal; a malformed principal is nobody."""
    kinds = msp_principal_pb2.MSPPrincipal
    kind, data = principal.principal_classification, principal.principal
    try:
        if kind == kinds.ROLE:
            role = unmarshal(msp_principal_pb2.MSPRole, data)
            return role.role in _ROLE_NAMES and msps.satisfies(identity, role.msp_identifier, _ROLE_NAMES[role.role])
        if kind == kinds.ORGANIZATION_UNIT:
            return _is_in_unit(identity, unmarshal(msp_principal_pb2.OrganizationUnit, data), msps)
        if kind == kinds.IDENTITY:
            named = msps.deserialize(data)
            return named.msp_id == identity.msp_id and _tbs(named) == _tbs(identity)
        if kind == kinds.COMBINED:
            combined = unmarshal(msp_principal_pb2.CombinedPrincipal, data).principals
            return bool(combined) and all(satisfies_principal(identity, each, msps) for each in combined)
    except (MalformedMessage, InvalidIdentity):
        return False
    return False


def _tbs(identity: Identity) -> bytes:
    return identity.certificate.tbs_certificate_bytes


def _is_in_unit(identity: Identity, unit: msp_principal_pb2.OrganizationUnit, msps: MSPManager) -> bool:
    if identity.msp_id != unit.msp_identifier:
        return False
    msp = msps[identity.msp_id]
    msp.validate(identity)
    return (
        unit.organizational_unit_identifier in identity.organizational_units
        and unit.certifiers_identifier == msp.certifiers_identifier(identity)
    )


def _check_rule(rule: policies_pb2.SignaturePolicy, principals: int) -> None:
    kind = rule.WhichOneof("Type")
    if kind == "signed_by":
        if not 0 <= rule.signed_by < principals:
            raise InvalidPolicy(f"the policy names principal {rule.signed_by}, but has {principals}")
    elif kind == "n_out_of":
        for inner in rule.n_out_of.rules:
            _check_rule(inner, principals)
    else:
        raise InvalidPolicy("empty policy element")
