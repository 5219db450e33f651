"""Issued certificates: list, revoke, and the list of those revoked."""

from __future__ import annotations

import base64
import datetime
import re
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from fabric_fl.devnet.ca import attributes, permissions
from fabric_fl.devnet.ca.errors import (
    ALREADY_REVOKED,
    BAD_BODY,
    CERTIFICATE_NOT_FOUND,
    GETTING_CERTIFICATE,
    INVALID_EXPIRED_AFTER,
    INVALID_REVOKED_AFTER,
    MISSING_REVOKE_ARGUMENTS,
    REVOKE_ID_NOT_FOUND,
    WRONG_OWNER,
    RequestRefused,
    not_authorized,
)
from fabric_fl.devnet.ca.fabricca import Caller, FabricCA
from fabric_fl.devnet.ca.registry import REVOKED, Issued, authority_key_hex, serial_hex
from fabric_fl.devnet.ca.request import Request

_REASONS = {
    "unspecified": 0,
    "keycompromise": 1,
    "cacompromise": 2,
    "affiliationchanged": 3,
    "superseded": 4,
    "cessationofoperation": 5,
    "certificatehold": 6,
    "removefromcrl": 8,
    "privilegewithdrawn": 9,
    "aacompromise": 10,
}
_DURATION = re.compile(r"([+-])([0-9]{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def list_certificates(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Answers with the certificates below the caller's affiliation that pass the query's filters."""
    caller = ca.authenticate_token(request).identity
    ca.check_name(request)
    if not permissions.is_registrar(caller):
        permissions.require(caller, attributes.REVOKER)
    found = ca.registry.certificates(_filters(request))
    if caller.affiliation:
        below = {identity.id for identity in ca.registry.identities_below(caller.affiliation)}
        found = [each for each in found if each.id in below]
    return {"certs": [{"PEM": each.pem} for each in found], "caname": ca.name}


def revoke(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Revokes one certificate, or an identity with all of its certificates."""
    request.require_body()
    caller = ca.authenticate_token(request)
    ca.check_name(request)
    reason = _REASONS.get(request.text("reason").lower(), 0)
    serial, aki, id_ = _hex(request.text("serial")), _hex(request.text("aki")), request.text("id")
    if serial and aki:
        revoked = _revoke_one(ca, caller, serial, aki, id_, reason)
    elif id_:
        revoked = _revoke_identity(ca, caller, id_, reason)
    else:
        message = "Either Name or Serial and AKI are required for a revoke request"
        raise RequestRefused(400, MISSING_REVOKE_ARGUMENTS, message)
    if revoked:
        ca.announce_revocations()
    crl = _encode_crl(ca) if request.boolean("gencrl") and revoked else ""
    return {"RevokedCerts": [{"Serial": each.serial, "AKI": each.aki} for each in revoked], "CRL": crl}


def generate_crl(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Answers with a revocation list of certificates within the request's limits of time."""
    request.require_body()
    caller = ca.authenticate_token(request).identity
    ca.check_name(request)
    permissions.require(caller, attributes.GEN_CRL)
    limits = {key: _time(request, key) for key in ("revokedafter", "revokedbefore", "expireafter", "expirebefore")}
    for kind, code in (("revoked", INVALID_REVOKED_AFTER), ("expire", INVALID_EXPIRED_AFTER)):
        before = limits[f"{kind}before"]
        if before and limits[f"{kind}after"] > before:
            message = f"Invalid '{kind}after' value. It must not be a timestamp greater than '{kind}before'"
            raise RequestRefused(400, code, message)
    conditions: list[tuple[str, object]] = [
        ("revoked > ?", max(limits["revokedafter"], 0.0)),
        ("expires > ?", limits["expireafter"]),
    ]
    conditions += [("revoked < ?", limits["revokedbefore"])] if limits["revokedbefore"] else []
    conditions += [("expires < ?", limits["expirebefore"])] if limits["expirebefore"] else []
    return {"CRL": _encode_crl(ca, ca.registry.certificates(conditions))}


def revoke_certificates(ca: FabricCA, id_: str, reason: int) -> list[Issued]:
    """Revokes all valid certificates of an identity; returns them."""
    valid = ca.registry.certificates([("id = ?", id_), ("revoked IS ?", None)])
    ca.registry.revoke(valid, reason)
    return valid


def _revoke_one(ca: FabricCA, caller: Caller, serial: str, aki: str, owner: str, reason: int) -> list[Issued]:
    which = f"Certificate with serial {serial} and AKI {aki}"
    with ca.registry.transaction():
        found = ca.registry.certificates([("serial = ?", serial), ("aki = ?", aki)])
        if not found:
            raise RequestRefused(404, CERTIFICATE_NOT_FOUND, f"{which} was not found")
        certificate = found[0]
        if certificate.id != caller.identity.id:
            _require_revoker(caller)
        if certificate.revoked is not None:
            raise RequestRefused(404, ALREADY_REVOKED, f"{which} was already revoked")
        if owner and owner != certificate.id:
            raise RequestRefused(400, WRONG_OWNER, f"{which} is not owned by {owner}")
        if (serial, aki) != _own(caller):
            _require_manager(ca, caller, certificate.id)
        ca.registry.revoke([certificate], reason)
    return [certificate]


def _revoke_identity(ca: FabricCA, caller: Caller, id_: str, reason: int) -> list[Issued]:
    if id_ != caller.identity.id:
        _require_revoker(caller)
        _require_manager(ca, caller, id_)
    with ca.registry.transaction():
        ca.registry.set_state(id_, REVOKED)
        return revoke_certificates(ca, id_, reason)


def _require_revoker(caller: Caller) -> None:
    if not attributes.is_true(caller.identity.values, attributes.REVOKER):
        raise not_authorized("Caller does not have authority to revoke")


def _require_manager(ca: FabricCA, caller: Caller, id_: str) -> None:
    identity = ca.registry.identity(id_)
    if identity is None:
        raise RequestRefused(404, REVOKE_ID_NOT_FOUND, f"Identity {id_} was not found")
    permissions.require_manager_of(caller.identity, identity)


def _own(caller: Caller) -> tuple[str, str] | None:
    if caller.certificate is None:
        return None
    return serial_hex(caller.certificate.serial_number), authority_key_hex(caller.certificate)


def _encode_crl(ca: FabricCA, chosen: list[Issued] | None = None) -> str:
    return base64.b64encode(ca.crl(chosen).public_bytes(Encoding.PEM)).decode()


def _hex(value: str) -> str:
    return value.lower().lstrip("0").replace(":", "")


def _filters(request: Request) -> list[tuple[str, object]]:
    conditions: list[tuple[str, object]] = []
    if request.query.get("id"):
        conditions.append(("id = ?", request.query["id"]))
    conditions += [(f"{key} = ?", _hex(request.query[key])) for key in ("serial", "aki") if request.query.get(key)]
    for column, word in (("expires", "expired"), ("revoked", "revoked")):
        start, end = (request.query.get(f"{word}_{edge}") for edge in ("start", "end"))
        if request.flag(f"not{word}"):
            if start or end:
                message = f"Invalid Request: Can't specify time filter and the 'not{word}' filter"
                raise RequestRefused(400, GETTING_CERTIFICATE, message)
            now = datetime.datetime.now(datetime.UTC).timestamp()
            conditions.append(("revoked IS ?", None) if word == "revoked" else ("expires >= ?", now))
        conditions += [(f"{column} >= ?", _moment(start))] if start else []
        conditions += [(f"{column} <= ?", _moment(end))] if end else []
    return conditions


def _moment(text: str) -> float:
    """Reads a query's time: RFC 3339, a date, or a distance from now such as ``-30d``."""
    relative = _DURATION.fullmatch(text.lower())
    now = datetime.datetime.now(datetime.UTC)
    try:
        if relative:
            seconds = int(relative[2]) * _UNITS[relative[3]]
            return now.timestamp() + (seconds if relative[1] == "+" else -seconds)
        moment = datetime.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise RequestRefused(400, GETTING_CERTIFICATE, f"Invalid Request: {error}") from error


def _time(request: Request, key: str) -> float:
    """Reads a body's time in RFC 3339, which has a zone; 0 where it is absent or Go's zero time."""
    text = request.text(key)
    if not text:
        return 0.0
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("the time zone is missing")  # noqa: TRY301 -- one message for all of them
        return max(moment.timestamp(), 0.0) if moment.year > 1 else 0.0
    except (ValueError, OverflowError) as error:
        raise RequestRefused(400, BAD_BODY, f"Invalid request body: {key}: {error}") from error
