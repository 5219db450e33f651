"""Fabric's signature policy language: ``AND('Org1MSP.peer', OR('Org2MSP.peer', 'Org3MSP.admin'))``.

A policy is a tree of gates over principals ``MSP.ROLE``; ``OutOf(2, …)`` is the gate that the others stand for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2

ROLES = {
    "member": msp_principal_pb2.MSPRole.MEMBER,
    "admin": msp_principal_pb2.MSPRole.ADMIN,
    "client": msp_principal_pb2.MSPRole.CLIENT,
    "peer": msp_principal_pb2.MSPRole.PEER,
    "orderer": msp_principal_pb2.MSPRole.ORDERER,
}
_PRINCIPAL = re.compile(r"([A-Za-z0-9.-]+)\.(admin|member|client|peer|orderer)")
_TOKEN = re.compile(r"""\s*(?:([A-Za-z]+)|([0-9]+)|'([^']*)'|"([^"]*)"|([(),]))""")
_GATES = {
    spelling: gate
    for gate in ("and", "or", "outof")
    for spelling in (gate, gate.upper(), {"and": "And", "or": "Or", "outof": "OutOf"}[gate])
}
_MAX_DEPTH = 20
_MAX_LENGTH = 100_000


class PolicySyntaxError(ValueError):
    """A text that is no signature policy."""


def parse(rule: str) -> policies_pb2.SignaturePolicyEnvelope:
    """Reads a policy.

    Raises:
        PolicySyntaxError: The text is none.
    """
    if len(rule) > _MAX_LENGTH:
        raise PolicySyntaxError(f"a policy of {len(rule)} characters is too long")
    return _Parser(rule).envelope()


def to_string(envelope: policies_pb2.SignaturePolicyEnvelope) -> str:
    """Writes a policy over roles as text that `parse` reads back to the same gates.

    Raises:
        ValueError: It names principals that the language has no words for.
    """
    return _write(envelope.rule, [_role_text(principal) for principal in envelope.identities])


def role_principal(msp_id: str, role: str) -> msp_principal_pb2.MSPPrincipal:
    """Returns the principal ``MSP.ROLE``."""
    return msp_principal_pb2.MSPPrincipal(
        principal_classification=msp_principal_pb2.MSPPrincipal.ROLE,
        principal=msp_principal_pb2.MSPRole(msp_identifier=msp_id, role=ROLES[role]).SerializeToString(),
    )


class _Parser:
    """Recursive descent; principals are numbered as Fabric's own parser does, inner gates first."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._tokens = _tokens(rule)
        self._principals: list[msp_principal_pb2.MSPPrincipal] = []

    def envelope(self) -> policies_pb2.SignaturePolicyEnvelope:
        rule = self._gate(next(self._tokens), 1)
        kind, text = next(self._tokens)
        if kind != "end":
            raise PolicySyntaxError(f"unexpected {text!r} after the policy {self._rule!r}")
        return policies_pb2.SignaturePolicyEnvelope(version=0, rule=rule, identities=self._principals)

    def _gate(self, token: tuple[str, str], depth: int) -> policies_pb2.SignaturePolicy:
        kind, text = token
        if kind != "word" or text not in _GATES:
            raise PolicySyntaxError(f"expected AND, OR or OutOf, found {text!r}")
        if depth > _MAX_DEPTH:
            raise PolicySyntaxError(f"gates nested more than {_MAX_DEPTH} deep")
        self._expect("(")
        count = None
        if _GATES[text] == "outof":
            kind, number = next(self._tokens)
            if kind != "number":
                raise PolicySyntaxError(f"OutOf starts with a number, found {number!r}")
            count = int(number)
            self._expect(",")
        items = list(self._arguments(depth))
        if count is None:
            count = len(items) if _GATES[text] == "and" else 1
        if count > len(items) + 1:
            raise PolicySyntaxError(f"invalid t-out-of-n predicate, t {count}, n {len(items)}")
        rules = [self._signed_by(item) if isinstance(item, str) else item for item in items]
        return policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=count, rules=rules))

    def _arguments(self, depth: int) -> Iterator[str | policies_pb2.SignaturePolicy]:
        while True:
            token = next(self._tokens)
            yield token[1] if token[0] == "string" else self._gate(token, depth + 1)
            kind, text = next(self._tokens)
            if (kind, text) == ("mark", ")"):
                return
            if (kind, text) != ("mark", ","):
                raise PolicySyntaxError(f"expected ',' or ')', found {text!r}")

    def _signed_by(self, text: str) -> policies_pb2.SignaturePolicy:
        match = _PRINCIPAL.fullmatch(text)
        if match is None:
            raise PolicySyntaxError(
                f"error parsing principal {text!r}: expected MSP.ROLE, with one of the roles {', '.join(ROLES)}"
            )
        self._principals.append(role_principal(match[1], match[2]))
        return policies_pb2.SignaturePolicy(signed_by=len(self._principals) - 1)

    def _expect(self, mark: str) -> None:
        kind, text = next(self._tokens)
        if (kind, text) != ("mark", mark):
            raise PolicySyntaxError(f"expected {mark!r}, found {text!r}")


def _tokens(rule: str) -> Iterator[tuple[str, str]]:
    position = 0
    end = len(rule.rstrip())
    while position < end:
        match = _TOKEN.match(rule, position)
        if match is None:
            raise PolicySyntaxError(f"cannot read the policy at {rule[position : position + 20]!r}")
        position = match.end()
        word, number, single, double, mark = match.groups()
        if word is not None:
            yield "word", word
        elif number is not None:
            yield "number", number
        elif mark is not None:
            yield "mark", mark
        else:
            yield "string", single if single is not None else double
    while True:
        yield "end", "the end"


def _role_text(principal: msp_principal_pb2.MSPPrincipal) -> str:
    if principal.principal_classification != msp_principal_pb2.MSPPrincipal.ROLE:
        raise ValueError("the policy language has words for roles only")
    role = msp_principal_pb2.MSPRole.FromString(principal.principal)
    names = {number: name for name, number in ROLES.items()}
    return f"'{role.msp_identifier}.{names[role.role]}'"


def _write(rule: policies_pb2.SignaturePolicy, principals: list[str]) -> str:
    if rule.WhichOneof("Type") == "signed_by":
        principal: str = principals[rule.signed_by]
        return principal
    gate = rule.n_out_of
    if not gate.rules:
        raise ValueError("the policy language has no words for a gate over nothing")
    inner = ", ".join(_write(each, principals) for each in gate.rules)
    if gate.n == len(gate.rules):
        return f"AND({inner})"
    return f"OR({inner})" if gate.n == 1 else f"OutOf({gate.n}, {inner})"
