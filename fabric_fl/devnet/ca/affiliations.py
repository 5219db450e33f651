"""Affiliations: the dotted tree of departments that identities and registrars belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fabric_fl.devnet.ca import attributes, permissions
from fabric_fl.devnet.ca.certificates import revoke_certificates
from fabric_fl.devnet.ca.errors import (
    ADD_AFFILIATION,
    GETTING_AFFILIATION,
    MODIFY_AFFILIATION,
    NOT_FOUND,
    RequestRefused,
    not_authorized,
)
from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.identities import describe
from fabric_fl.devnet.ca.registry import Registered
from fabric_fl.devnet.ca.request import Request

_AFFILIATION_CHANGED = 3


def list_affiliations(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Answers with the tree below the caller's affiliation."""
    caller = _manager(ca, request)
    return _tree(ca, ca.registry.affiliations(caller.affiliation), caller.affiliation)


def get_affiliation(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Answers with the tree below one affiliation."""
    _existing(ca, request, _manager(ca, request))
    return _tree(ca, ca.registry.affiliations(request.name), request.name)


def add_affiliation(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Adds an affiliation; with ``force``, the missing ones above it too."""
    caller = _manager(ca, request)
    request.require_body()
    name = _valid(request.text("name"), ADD_AFFILIATION)
    if ca.registry.has_affiliation(name):
        raise RequestRefused(409, ADD_AFFILIATION, "Affiliation already exists")
    permissions.require_affiliation(caller, name)
    parts = name.split(".")
    above = [".".join(parts[:size]) for size in range(1, len(parts))]
    if above and not request.flag("force") and not ca.registry.has_affiliation(above[-1]):
        message = "Parent affiliation does not exist, 'force' option required on request to add affiliation"
        raise RequestRefused(400, ADD_AFFILIATION, message)
    ca.registry.add_affiliations([*above, name])
    return {"name": name, "caname": ca.name}


def modify_affiliation(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Renames an affiliation with all below it; with ``force``, where identities belong to them too."""
    caller = _manager(ca, request)
    request.require_body()
    new = _valid(request.text("name"), MODIFY_AFFILIATION)
    permissions.require_affiliation(caller, new)
    with ca.registry.transaction():
        old = _existing(ca, request, caller)
        if ca.registry.has_affiliation(new):
            raise RequestRefused(400, MODIFY_AFFILIATION, f"Affiliation '{new}' already exists")
        names, identities = ca.registry.affiliations(old), ca.registry.identities_below(old)
        if identities:
            _require_registrar(caller)
            if not request.flag("force"):
                listed = ",".join(identity.id for identity in identities)
                message = (
                    f"The request to modify affiliation '{old}' has the following identities associated: {listed}. "
                    "Need to use 'force' to remove identities and affiliation"
                )
                raise RequestRefused(400, MODIFY_AFFILIATION, message)
        renamed = {name: new + name[len(old) :] for name in names}
        ca.registry.remove_affiliations(names)
        ca.registry.add_affiliations(renamed.values())
        moved = [_moved(identity, new + identity.affiliation[len(old) :]) for identity in identities]
        for identity in moved:
            ca.registry.put_identity(identity)
    return _tree(ca, sorted(renamed.values()), new, moved)


def remove_affiliation(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Removes an affiliation; with ``force``, all below it and their identities, whose certificates it revokes."""
    caller = _manager(ca, request)
    if caller.affiliation == request.name:
        raise not_authorized("the caller belongs to the affiliation")
    revoked = []
    with ca.registry.transaction():
        name = _existing(ca, request, caller)
        names, identities = ca.registry.affiliations(name), ca.registry.identities_below(name)
        if identities:
            _require_registrar(caller)
        if (identities or len(names) > 1) and not request.flag("force"):
            raise not_authorized(f"affiliation '{name}' has identities or affiliations below it, and no 'force'")
        for identity in identities:
            ca.registry.remove_identity(identity.id)
            revoked += revoke_certificates(ca, identity.id, _AFFILIATION_CHANGED)
        ca.registry.remove_affiliations(names)
    if revoked:
        ca.announce_revocations()
    return _tree(ca, names, name, identities)


def _manager(ca: FabricCA, request: Request) -> Registered:
    caller = ca.authenticate_token(request).identity
    ca.check_name(request)
    permissions.require(caller, attributes.AFFILIATION_MANAGER)
    return caller


def _existing(ca: FabricCA, request: Request, caller: Registered) -> str:
    permissions.require_affiliation(caller, request.name)
    if not ca.registry.has_affiliation(request.name):
        raise RequestRefused(404, NOT_FOUND, f"Failed to get affiliation: no affiliation '{request.name}'")
    return request.name


def _require_registrar(caller: Registered) -> None:
    if not permissions.is_registrar(caller):
        raise not_authorized("the affiliation has identities, but the caller is no registrar")


def _valid(name: str, code: int) -> str:
    if not name or any(not part or part != part.strip() for part in name.split(".")):
        raise RequestRefused(400, code, f"'{name}' is no affiliation")
    return name


def _moved(identity: Registered, affiliation: str) -> Registered:
    fixed = attributes.Attribute(attributes.AFFILIATION, affiliation, ecert=True)
    return replace(identity, affiliation=affiliation, attributes=attributes.merge(identity.attributes, [fixed]))


def _tree(ca: FabricCA, names: Sequence[str], root: str, identities: Sequence[Registered] = ()) -> dict[str, Any]:
    if not names:
        raise RequestRefused(404, GETTING_AFFILIATION, "No affiliations are configured on the CA")
    return {**_node(root, names, identities), "caname": ca.name}


def _node(name: str, names: Sequence[str], identities: Sequence[Registered]) -> dict[str, Any]:
    prefix = f"{name}." if name else ""
    children = [each for each in names if each.startswith(prefix) and each and "." not in each[len(prefix) :]]
    node: dict[str, Any] = {"name": name}
    if children:
        node["affiliations"] = [_node(child, names, identities) for child in children]
    members = [describe(identity) for identity in identities if identity.affiliation == name]
    if members:
        node["identities"] = members
    return node
