"""What organisations on different machines give each other before their channel is there; nothing in it is secret.

An organisation's part says who it is: the root of its certificates, and the TLS certificates of its orderers, which
stand in the channel's configuration. The founder's also holds the channel's first block, which nobody has to believe:
whoever receives it renders the configuration from consortium.yaml and the parts, and takes it only if both are equal.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fabric_fl.fabric.mspdir import make_private, write_msp_dir
from fabric_fl.network.errors import ExchangeError
from fabric_fl.network.fabric import configchange
from fabric_fl.network.fabric.channel import make_genesis
from fabric_fl.network.fabric.configupdate import config_of
from fabric_fl.network.fabric.enrolment import whole
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import ORDERER_ORGANISATION, Authority, Topology
from fabric_fl.network.plan import Plan

SCHEMA = 1


def lacking(topology: Topology, layout: Layout) -> list[str]:
    """Returns the organisations whose part is not here, neither made nor received."""
    return [one.organisation for one in topology.authorities if not _is_known(one, topology, layout)]


def founds(plan: Plan) -> bool:
    """Tells whether the channel's first block is made here: by the first organisation of consortium.yaml."""
    return not plan.here or plan.consortium.organisations[0].name in plan.here


def pack(plan: Plan, topology: Topology, layout: Layout) -> bytes:
    """Returns what the others need of the organisations here, as a JSON document.

    Raises:
        ExchangeError: This machine's part is not made yet, or there is nobody to give it to.
    """
    if not plan.here:
        raise ExchangeError(
            "this network runs every organisation here",
            remedy="`fabric-fl network up --org ORGANISATION` runs one on a machine of its own.",
        )
    own = [one for one in topology.authorities if one.organisation in plan.here]
    missing = [one.organisation for one in own if not _is_known(one, topology, layout)]
    if missing:
        raise ExchangeError(
            f"{', '.join(missing)} has no certificates yet",
            remedy=f"`fabric-fl network up --org {missing[0]}` has them made.",
        )
    genesis = base64.b64encode(layout.genesis.read_bytes()).decode() if layout.genesis.exists() else None
    document = {
        "schema": SCHEMA,
        "consortium": _digest(plan),
        "parts": [_part(one, topology, layout) for one in own],
        "genesis": genesis if founds(plan) else None,
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def unpack(content: bytes, plan: Plan, topology: Topology, layout: Layout, tools: Tools) -> list[str]:
    """Takes what another machine packed; returns the organisations that it holds.

    Raises:
        ExchangeError: It does not fit this network, or something else is here under that name.
    """
    document = _read(content)
    if document["consortium"] != _digest(plan):
        raise ExchangeError(
            "it was made with another consortium.yaml", remedy="All organisations start from the same file."
        )
    names = [str(part["organisation"]) for part in document["parts"]]
    for name in names:
        if name not in {one.organisation for one in topology.authorities}:
            raise ExchangeError(f"it holds {name}, which does not stand in consortium.yaml")
    for part in document["parts"]:
        if part["organisation"] not in plan.here:
            _keep(part, topology, layout)
    if document["genesis"] is not None:
        _keep_genesis(document["genesis"], plan, topology, layout, tools)
    return names


def fingerprint(content: bytes) -> str:
    """Returns what two people compare who have the same file."""
    digest = hashlib.sha256(content).hexdigest()
    return " ".join(digest[index : index + 4] for index in range(0, 64, 4))


def _is_known(one: Authority, topology: Topology, layout: Layout) -> bool:
    orderers = topology.orderers_of(one.organisation)
    needed = [layout.ca_certificate(one.name), *(_tls_certificate(each.name, layout) for each in orderers)]
    return layout.msp(one.organisation).exists() and all(path.exists() for path in needed)


def _tls_certificate(orderer: str, layout: Layout) -> Path:
    return layout.node(orderer) / "tls" / "server.crt"


def _part(one: Authority, topology: Topology, layout: Layout) -> dict[str, Any]:
    orderers = topology.orderers_of(one.organisation)
    return {
        "organisation": one.organisation,
        "msp_id": one.msp_id,
        "root": layout.ca_certificate(one.name).read_text(),
        "orderers": {each.name: _tls_certificate(each.name, layout).read_text() for each in orderers},
    }


def _digest(plan: Plan) -> str:
    """Returns the digest of what all must agree on before there is a channel."""
    agreed = plan.consortium.to_json()
    agreed.pop("fabric", None)  # machines may be upgraded one after the other
    return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()


def _read(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
        if document["schema"] != SCHEMA:
            raise ExchangeError(f"it has schema {document['schema']}; this version reads {SCHEMA}")
        if set(document) != {"schema", "consortium", "parts", "genesis"}:
            raise ExchangeError("it has fields that this version does not know")
        for part in document["parts"]:
            if set(part) != {"organisation", "msp_id", "root", "orderers"}:
                raise ExchangeError("a part of it has fields that this version does not know")
            texts = [part["organisation"], part["msp_id"], part["root"], *part["orderers"].values()]
            if not all(isinstance(text, str) for text in texts):
                raise ExchangeError("it is nothing that `network share` writes: a part holds more than text")
        if document["genesis"] is not None:
            document["genesis"] = base64.b64decode(document["genesis"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExchangeError(f"it is nothing that `network share` writes: {error!r}") from error
    return dict(document)


def _keep(part: dict[str, Any], topology: Topology, layout: Layout) -> None:
    one = topology.authority(part["organisation"])
    root = _certificate(part["root"], f"{one.organisation}'s root")
    orderers = topology.orderers_of(one.organisation)
    if part["msp_id"] != one.msp_id or set(part["orderers"]) != {each.name for each in orderers}:
        raise ExchangeError(f"{one.organisation} has another MSP id or other orderers than consortium.yaml says")
    try:
        authority = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    if not authority:
        raise ExchangeError(f"{one.organisation}'s root is not the certificate of an authority")
    files = {layout.ca_certificate(one.name): part["root"]}
    for each in orderers:
        _check_issued(_certificate(part["orderers"][each.name], each.name), root, each.name)
        files[_tls_certificate(each.name, layout)] = part["orderers"][each.name]
    for path, text in files.items():
        if path.exists() and path.read_text() != text:
            raise ExchangeError(
                f"another certificate of {one.organisation} is here already: {path}",
                remedy="Ask that organisation which is right; once the channel exists, only the channel can change it.",
            )
    for path, text in files.items():
        make_private(path.parent)
        path.write_text(text)
    pem = part["root"].encode()
    whole(layout.msp(one.organisation), lambda to: write_msp_dir(to, ca_certs=[pem], tls_ca_certs=[pem]))


def _certificate(text: str, whose: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise ExchangeError(f"{whose} is no certificate") from error
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise ExchangeError(f"{whose} has ended on {certificate.not_valid_after_utc:%Y-%m-%d}")
    return certificate


def _check_issued(certificate: x509.Certificate, root: x509.Certificate, whose: str) -> None:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ExchangeError(f"the TLS certificate of {whose} is not issued by its organisation") from error


def _keep_genesis(block: bytes, plan: Plan, topology: Topology, layout: Layout, tools: Tools) -> None:
    if layout.genesis.exists():
        if layout.genesis.read_bytes() != block:
            raise ExchangeError(
                "another first block is here already", remedy="A channel has one; ask the founder which it is."
            )
        return
    if missing := lacking(topology, layout):
        raise ExchangeError(
            f"the first block cannot be checked before the parts of {', '.join(missing)} are here",
            remedy="Import those, then this file again.",
        )
    founded = config_of(block)
    members = founded.channel_group.groups["Application"].groups
    consortium = plan.consortium
    newcomer = not any(one.msp_id in members for one in plan.organisations)
    if newcomer:
        # the older members founded the channel without it, with the certificates that their orderers had then
        older = tuple(one for one in consortium.organisations if one.msp_id in members)
        consortium = dataclasses.replace(consortium, organisations=older)
    rendered = layout.root / "rendered.block"
    part = topology.part({ORDERER_ORGANISATION, *(one.name for one in consortium.organisations)})
    make_genesis(tools, consortium, part, layout, rendered)
    expected = config_of(rendered.read_bytes())
    if newcomer:
        founded, expected = (configchange.changed(one, configchange.forget_orderers) for one in (founded, expected))
    if founded != expected:
        raise ExchangeError(
            "the first block holds another configuration than consortium.yaml and the parts here give",
            remedy="Do not join: compare consortium.yaml, the fingerprints of all parts and the versions of Fabric.",
        )
    rendered.unlink()
    temporary = layout.genesis.with_suffix(".tmp")
    temporary.write_bytes(block)
    temporary.replace(layout.genesis)
