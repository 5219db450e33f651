"""What a caller may do to whom: by its registrar roles, its attributes and its affiliation."""

from __future__ import annotations

from fabric_fl.devnet.ca import attributes
from fabric_fl.devnet.ca.errors import not_authorized
from fabric_fl.devnet.ca.registry import Registered


def is_registrar(caller: Registered) -> bool:
    return bool(caller.values.get(attributes.ROLES))


def require(caller: Registered, attribute: str) -> None:
    """Refuses a caller whose boolean attribute is not true."""
    if not attributes.is_true(caller.values, attribute):
        raise not_authorized(f"'{attribute}' of {caller.id!r} is not true")


def contains(caller: Registered, affiliation: str) -> bool:
    """Tells whether an affiliation is the caller's or lies below it."""
    own = caller.affiliation
    return not own or affiliation == own or affiliation.startswith(own + ".")


def require_affiliation(caller: Registered, affiliation: str) -> None:
    if not contains(caller, affiliation):
        raise not_authorized(f"{caller.id!r} has no authority over affiliation '{affiliation}'")


def may_act_on_type(caller: Registered, kind: str) -> bool:
    roles = {role.lower() for role in attributes.split(caller.values.get(attributes.ROLES, ""))}
    return "*" in roles or (kind or "client").lower() in roles


def require_manager_of(caller: Registered, identity: Registered) -> None:
    """Refuses a caller who is not the registrar of such identities."""
    require_affiliation(caller, identity.affiliation)
    require_type(caller, identity.type)


def require_type(caller: Registered, kind: str) -> None:
    if not may_act_on_type(caller, kind):
        raise not_authorized(f"{caller.id!r} is no registrar of type '{kind}'")
