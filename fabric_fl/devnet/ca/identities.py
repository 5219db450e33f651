"""Registered identities: register, list, read, change, remove."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fabric_fl.devnet.ca import attributes, permissions
from fabric_fl.devnet.ca.attributes import Attribute, AttributeRefused
from fabric_fl.devnet.ca.certificates import revoke_certificates
from fabric_fl.devnet.ca.errors import (
    ADD_IDENTITY,
    BAD_BODY,
    DUPLICATE_IDENTITY,
    MAX_ENROLLMENTS,
    MODIFYING_IDENTITY,
    NOT_FOUND,
    REMOVE_IDENTITY,
    RequestRefused,
    not_authorized,
)
from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.registry import Registered
from fabric_fl.devnet.ca.request import Request

_CESSATION_OF_OPERATION = 5


def register(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Registers an identity; answers with the secret with which it enrols."""
    request.require_body()
    ca.check_name(request)
    caller = ca.authenticate_token(request).identity
    _, secret = _register(ca, request, caller)
    return {"secret": secret}


def add_identity(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Registers an identity; answers with all of it."""
    ca.check_name(request)
    caller = ca.authenticate_token(request).identity
    request.require_body()
    identity, secret = _register(ca, request, caller)
    return {**describe(identity), "secret": secret, "caname": ca.name}


def list_identities(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Answers with the identities that the caller may manage."""
    ca.check_name(request)
    caller = ca.authenticate_token(request).identity
    if not permissions.is_registrar(caller):
        raise not_authorized(f"{caller.id!r} is no registrar")
    below = ca.registry.identities_below(caller.affiliation)
    listed = [describe(each) for each in below if permissions.may_act_on_type(caller, each.type)]
    return {"identities": listed, "caname": ca.name}


def get_identity(ca: FabricCA, request: Request) -> dict[str, Any]:
    _, identity = _managed(ca, request)
    return {**describe(identity), "caname": ca.name}


def modify_identity(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Changes what the request names, and leaves the rest."""
    caller, identity = _managed(ca, request)
    request.require_body()
    requested = _attributes(request)
    affiliation, kind, secret = request.text("affiliation"), request.text("type"), request.text("secret")
    changed = identity
    if affiliation:
        affiliation = "" if affiliation == "." else affiliation
        if affiliation and not ca.registry.has_affiliation(affiliation):
            raise RequestRefused(400, MODIFYING_IDENTITY, f"Affiliation '{affiliation}' is not supported")
        permissions.require_affiliation(caller, affiliation)
        requested_fixed = [Attribute(attributes.AFFILIATION, affiliation, ecert=True)]
        changed = replace(
            changed, affiliation=affiliation, attributes=attributes.merge(changed.attributes, requested_fixed)
        )
    if kind:
        permissions.require_type(caller, kind)
        merged = attributes.merge(changed.attributes, [Attribute(attributes.TYPE, kind, ecert=True)])
        changed = replace(changed, type=kind, attributes=merged)
    if requested:
        _check_attributes(requested, caller, identity)
        changed = replace(changed, attributes=attributes.merge(changed.attributes, requested))
    if request.integer("max_enrollments"):
        # Zero cannot be told from absent in Go, so the protocol writes -2 for it.
        wanted = request.integer("max_enrollments")
        changed = replace(changed, max_enrollments=0 if wanted == -2 else wanted)
    if secret:
        changed = replace(changed, failures=0)
    ca.registry.put_identity(changed, secret or None)
    return {**describe(changed), "secret": secret, "caname": ca.name}


def remove_identity(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Removes an identity and revokes its certificates."""
    caller, identity = _managed(ca, request)
    if caller.id == identity.id and not request.flag("force"):
        raise RequestRefused(403, REMOVE_IDENTITY, "Need to use 'force' option to delete your own identity")
    with ca.registry.transaction():
        ca.registry.remove_identity(identity.id)
        revoked = revoke_certificates(ca, identity.id, _CESSATION_OF_OPERATION)
    if revoked:
        ca.announce_revocations()
    return {**describe(identity), "caname": ca.name}


def describe(identity: Registered) -> dict[str, Any]:
    """Returns an identity as the API writes it."""
    return {
        "id": identity.id,
        "type": identity.type,
        "affiliation": identity.affiliation,
        "attrs": [{"name": each.name, "value": each.value, "ecert": each.ecert} for each in identity.attributes],
        "max_enrollments": identity.max_enrollments,
    }


def _managed(ca: FabricCA, request: Request) -> tuple[Registered, Registered]:
    """Returns the caller and the identity in the path, once it is sure that the one may manage the other."""
    ca.check_name(request)
    caller = ca.authenticate_token(request).identity
    identity = ca.registry.identity(request.name)
    if identity is None:
        raise RequestRefused(404, NOT_FOUND, f"Failed to get User: no identity '{request.name}'")
    permissions.require_manager_of(caller, identity)
    return caller, identity


def _register(ca: FabricCA, request: Request, caller: Registered) -> tuple[Registered, str]:
    id_ = request.text("id")
    if not id_:
        raise RequestRefused(400, ADD_IDENTITY, "Missing 'ID' in request to add a new identity")
    kind = request.text("type") or caller.type
    affiliation = request.text("affiliation") or caller.affiliation
    affiliation = "" if affiliation == "." else affiliation
    requested = _attributes(request)
    permissions.require_type(caller, kind)
    permissions.require_affiliation(caller, affiliation)
    if affiliation and not ca.registry.has_affiliation(affiliation):
        raise not_authorized(f"there is no affiliation '{affiliation}'")
    _check_attributes(requested, caller)
    enrollments = request.integer("max_enrollments") or -1
    if enrollments < -1:
        message = f"Max enrollment in registration request may not be less than -1, but was {enrollments}"
        raise RequestRefused(400, MAX_ENROLLMENTS, message)
    given = attributes.merge([], requested) + attributes.standard_attributes(id_, kind, affiliation)
    identity = Registered(id_, kind, affiliation, given, enrollments)
    secret = request.text("secret") or secrets.token_urlsafe(12)
    with ca.registry.transaction():
        if ca.registry.identity(id_) is not None:
            raise RequestRefused(409, DUPLICATE_IDENTITY, f"Identity '{id_}' is already registered")
        ca.registry.put_identity(identity, secret)
    return identity, secret


def _attributes(request: Request) -> list[Attribute]:
    given = []
    for each in request.objects("attrs") or []:
        name, value, ecert = each.get("name"), each.get("value", ""), each.get("ecert", False)
        if not isinstance(name, str) or not name or not isinstance(value, str) or not isinstance(ecert, bool):
            raise RequestRefused(400, BAD_BODY, "Invalid request body: attrs")
        given.append(Attribute(name, value, ecert))
    return given


def _check_attributes(requested: Sequence[Attribute], caller: Registered, existing: Registered | None = None) -> None:
    try:
        attributes.check_registration(requested, caller.values, existing.values if existing else None)
    except AttributeRefused as error:
        raise not_authorized(f"Failed to register attribute: {error}") from error
