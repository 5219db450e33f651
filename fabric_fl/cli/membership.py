"""`fabric-fl participant …`: the organisation's own profile and status, and what it declares to train on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.command()
@click.option("--name", help="The new name; default: as it is.")
@click.option("--description", help="Who or what it is, in a sentence; default: as it is.")
@with_profile
@with_output
def update(name: str | None, description: str | None, profile: Path, out: Output) -> None:
    """Change the organisation's profile."""
    with open_session(profile) as session:
        record = session.ledger.update_profile(name=name, description=description)
    out.text(f"{record.msp_id} takes part as {record.name}.", record.to_json())


@click.command()
@with_profile
@with_output
def suspend(profile: Path, out: Output) -> None:
    """Suspend the organisation: none of its certificates writes any more, until it is reinstated."""
    with open_session(profile) as session:
        record = session.ledger.suspend()
    out.text(f"{record.msp_id} is {record.status} by the {record.suspended_by}.", record.to_json())


@click.command()
@with_profile
@with_output
def reinstate(profile: Path, out: Output) -> None:
    """End a suspension that the organisation began itself; the consortium ends its own with a motion."""
    with open_session(profile) as session:
        record = session.ledger.reinstate()
    out.text(f"{record.msp_id} is {record.status}.", record.to_json())


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_profile
@with_output
def withdraw(yes: bool, profile: Path, out: Output) -> None:
    """End the organisation's participation for good. What it owns and has contributed stays."""
    with open_session(profile) as session:
        if not yes:
            click.confirm(f"{session.msp_id} will never take part again. Go on?", abort=True, err=True)
        record = session.ledger.withdraw()
    out.text(f"{record.msp_id} has withdrawn.", record.to_json())


@click.command()
@click.argument("purpose")
@click.option("--data", required=True, type=click.Path(path_type=Path), help=".npz file with x and y to train on.")
@click.option("--last-round", type=click.IntRange(1), help="Last round of a task that may use it. Default: no end.")
@with_profile
@with_output
def declare(purpose: str, data: Path, last_round: int | None, profile: Path, out: Output) -> None:
    """Declare the data that the organisation trains on for PURPOSE: its digest and size, never the data itself."""
    from fabric_fl.coordinator import declare_data

    with open_session(profile) as session:
        record = declare_data(session.ledger, session.msp_id, purpose, data, last_round)
    end = f"up to round {record.last_round}" if record.last_round else "without an end"
    text = f"Declaration {record.number} for {purpose}: {record.num_examples} examples, {end}, {record.digest}."
    out.text(text, record.to_json())


@click.command()
@click.argument("purpose")
@click.argument("number", type=click.IntRange(1))
@with_profile
@with_output
def revoke(purpose: str, number: int, profile: Path, out: Output) -> None:
    """Revoke declaration NUMBER for PURPOSE for good: it is refused from now on, and the models it went into marked."""
    with open_session(profile) as session:
        record = session.ledger.revoke(purpose, number)
    out.text(f"Declaration {number} for {purpose} is revoked.", record.to_json())


@click.command()
@click.option("--of", "participant", help="MSP id of another organisation. Default: the own one.")
@with_profile
@with_output
def declarations(participant: str | None, profile: Path, out: Output) -> None:
    """List what an organisation has declared to train on."""
    with open_session(profile) as session:
        found = session.ledger.declarations(participant or session.msp_id)
    rows = [
        (one.purpose, one.number, one.num_examples, one.last_round, "revoked" if one.revoked else "valid", one.digest)
        for one in found
    ]
    columns = ("PURPOSE", "NUMBER", "EXAMPLES", "LAST ROUND", "STATUS", "DIGEST")
    out.table(columns, rows, [one.to_json() for one in found])


@click.command()
@with_profile
@with_output
def todo(profile: Path, out: Output) -> None:
    """List what the tasks wait for from this organisation, and what it may vote on."""
    with open_session(profile) as session:
        found = session.ledger.todo()
    rows = [(one.task, one.round, one.function, one.kind, one.when, _listed(one.about)) for one in found]
    records = [{**vars(one), "about": dict(one.about)} for one in found]
    out.table(("TASK", "ROUND", "FUNCTION", "VOTE", "WHEN", "ABOUT"), rows, records)


def _listed(about: Mapping[str, Any]) -> str:
    texts = {name: ",".join(value) if isinstance(value, list) else value for name, value in about.items()}
    return " ".join(f"{name}={text}" for name, text in texts.items())


COMMANDS = (update, suspend, reinstate, withdraw, declare, revoke, declarations, todo)
