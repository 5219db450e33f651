"""Attributes of registered identities: which ones a registrar may give, and which ones go into a certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ROLES = "hf.Registrar.Roles"
DELEGATE_ROLES = "hf.Registrar.DelegateRoles"
REGISTRAR_ATTRIBUTES = "hf.Registrar.Attributes"
REVOKER = "hf.Revoker"
GEN_CRL = "hf.GenCRL"
AFFILIATION_MANAGER = "hf.AffiliationMgr"
ENROLLMENT_ID = "hf.EnrollmentID"
TYPE = "hf.Type"
AFFILIATION = "hf.Affiliation"

_BOOLEANS = {REVOKER, GEN_CRL, AFFILIATION_MANAGER, "hf.IntermediateCA"}
_LISTS = {ROLES, DELEGATE_ROLES, REGISTRAR_ATTRIBUTES}
_FIXED = {ENROLLMENT_ID, TYPE, AFFILIATION}
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}


@dataclass(frozen=True)
class Attribute:
    """A name and a value; ``ecert`` puts it into enrolment certificates unless the request says otherwise."""

    name: str
    value: str
    ecert: bool = False


class AttributeRefused(ValueError):  # noqa: N818 -- what happened
    """An attribute that this registrar may not give."""


def registrar_attributes() -> tuple[Attribute, ...]:
    """Returns what a CA's first registrar has: everything."""
    lists = [Attribute(name, "*") for name in sorted(_LISTS)]
    return (*lists, *(Attribute(name, "true") for name in sorted(_BOOLEANS)))


def standard_attributes(identity: str, kind: str, affiliation: str) -> tuple[Attribute, ...]:
    """Returns those that every registered identity carries in its certificate."""
    values = {ENROLLMENT_ID: identity, TYPE: kind, AFFILIATION: affiliation}
    return tuple(Attribute(name, value, ecert=True) for name, value in values.items())


def is_true(attributes: Mapping[str, str], name: str) -> bool:
    return attributes.get(name) in _TRUE


def split(values: str) -> list[str]:
    """Splits a list attribute at its commas."""
    return [value.strip() for value in values.split(",") if value.strip()]


def merge(old: Iterable[Attribute], new: Iterable[Attribute]) -> tuple[Attribute, ...]:
    """Replaces and adds attributes; an empty value removes one."""
    merged = {attribute.name: attribute for attribute in old}
    for attribute in new:
        if attribute.value:
            merged[attribute.name] = attribute
        else:
            merged.pop(attribute.name, None)
    return tuple(merged.values())


def for_certificate(
    attributes: Sequence[Attribute], requests: Sequence[tuple[str, bool]] | None
) -> dict[str, str] | None:
    """Chooses what goes into a certificate's attribute extension.

    Args:
        attributes: All that the identity has.
        requests: Names with whether each may be missing; None for those marked ``ecert``.

    Returns:
        Values by name, or None for no extension at all.

    Raises:
        AttributeRefused: One that may not be missing is.
    """
    if requests is None:
        chosen = {attribute.name: attribute.value for attribute in attributes if attribute.ecert}
        return chosen or None
    values = {attribute.name: attribute.value for attribute in attributes}
    missing = [name for name, optional in requests if name not in values and not optional]
    if missing:
        raise AttributeRefused(f"The following required attributes are missing: {missing}")
    return {name: values[name] for name, _ in requests if name in values}


def check_registration(
    requested: Sequence[Attribute], registrar: Mapping[str, str], existing: Mapping[str, str] | None = None
) -> None:
    """Checks that a registrar may give all the requested attributes.

    Args:
        requested: What it wants to give.
        registrar: Its own attributes.
        existing: What the identity already has; None for a new one.

    Raises:
        AttributeRefused: It may not.
    """
    allowed = split(registrar.get(REGISTRAR_ATTRIBUTES, ""))
    for attribute in requested:
        _check_listed(attribute.name, allowed)
        if attribute.name in _FIXED:
            raise AttributeRefused(f"Cannot register fixed value attribute '{attribute.name}'")
        if attribute.name in _BOOLEANS | _LISTS:
            if attribute.name not in registrar:
                raise AttributeRefused(f"the registrar does not own '{attribute.name}'")
            _check_reserved(attribute, requested, registrar, existing or {})
        elif attribute.name.startswith("hf."):
            raise AttributeRefused(f"'{attribute.name}' uses the reserved prefix 'hf.'")


def _check_reserved(
    attribute: Attribute,
    requested: Sequence[Attribute],
    registrar: Mapping[str, str],
    existing: Mapping[str, str],
) -> None:
    name, value = attribute.name, attribute.value
    if name in _BOOLEANS:
        if not is_true(registrar, name):
            raise AttributeRefused(f"the registrar's own '{name}' is not true")
        if value and value not in _TRUE | _FALSE:
            raise AttributeRefused(f"'{value}' is no boolean")
    elif name == REGISTRAR_ATTRIBUTES:
        given = {each.name for each in requested} | set(existing)
        for item in split(value):
            _check_listed(item, split(registrar[name]))
            # A wildcard stands for no attribute that anyone could own.
            if item.startswith("hf.") and item not in given:
                raise AttributeRefused(f"'{name}' lists '{item}', which the identity does not have")
    elif value:
        _check_subset(value, registrar[name], f"the registrar's '{name}'")
        if name == DELEGATE_ROLES:
            roles = {each.name: each.value for each in requested}.get(ROLES) or existing.get(ROLES, "")
            _check_subset(value, roles, "the identity's roles")


def _check_listed(name: str, allowed: Sequence[str]) -> None:
    for pattern in allowed:
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern.rstrip("*"))):
            return
    raise AttributeRefused(f"'{name}' is not part of the registrar's attribute list {allowed}")


def _check_subset(values: str, allowed: str, whose: str) -> None:
    known = {value.lower() for value in split(allowed)}
    if "*" not in known and not {value.lower() for value in split(values)} <= known:
        raise AttributeRefused(f"'{values}' is not a subset of {whose}")
