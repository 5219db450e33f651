"""`fabric-fl ledger`: the records as they stand, and as they came about."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.group()
def ledger() -> None:
    """Read any record, all of a kind, or a record's history."""


@ledger.command()
@click.argument("key")
@with_profile
@with_output
def read(key: str, profile: Path, out: Output) -> None:
    """Print the record under KEY, such as round/t1/00000001."""
    with open_session(profile) as session:
        out.value(session.ledger.record(key))


@ledger.command(name="list")
@click.argument("kind")
@click.argument("where", metavar="[FIELD=VALUE]...", nargs=-1)
@with_profile
@with_output
def list_(kind: str, where: tuple[str, ...], profile: Path, out: Output) -> None:
    """Print a line for each record of KIND, such as update or token/entry, whose fields have these values."""
    from fl_chaincode.kinds import KINDS

    if kind not in KINDS:
        raise click.BadParameter(f"one of {', '.join(KINDS)}", param_hint="KIND")
    fields = _fields(where)
    with open_session(profile) as session:
        for record in session.ledger.records(KINDS[kind], fields):
            out.line(f"{record.key}  {_json(record.to_json())}", {"key": record.key, "record": record.to_json()})


@ledger.command()
@click.argument("key")
@with_profile
@with_output
def history(key: str, profile: Path, out: Output) -> None:
    """Print a line for each version of the record under KEY, the newest first, with the certificate that signed it.

    The time is what the transaction's client said, and proves nothing.
    """
    from fabric_fl.creators import creator

    with open_session(profile) as session:
        for one in session.ledger.history(key):
            who = creator(session.network, one.transaction)
            value = {"transaction": one.transaction, "timestamp_ms": one.timestamp_ms, "record": one.record}
            value["creator"] = dataclasses.asdict(who)
            shown = _json(one.record) if one.record else "deleted"
            signed = f"{who.msp_id} ({who.subject})"
            out.line(f"{one.transaction[:16]}  {_moment(one.timestamp_ms)}  {signed}  {shown}", value)


@ledger.command()
@with_profile
@with_output
def describe(profile: Path, out: Output) -> None:
    """Print the schema of all contracts as JSON."""
    with open_session(profile) as session:
        out.value(session.ledger.describe())


def _moment(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # a client can say anything
        return f"{timestamp_ms} ms"


def _fields(where: tuple[str, ...]) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not of the form task=t1", param_hint="FIELD=VALUE")
        fields[name] = int(value) if value.isascii() and value.isdigit() else value
    return fields


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False)
