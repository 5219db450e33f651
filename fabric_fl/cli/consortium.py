"""`fabric-fl consortium`: who decides together, and the motions that a majority carries."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile
from fl_chaincode.records import MOTIONS


@click.group()
def consortium() -> None:
    """Show the consortium, vote for motions."""


@consortium.command()
@with_profile
@with_output
def show(profile: Path, out: Output) -> None:
    """Show the members and their majority."""
    with open_session(profile) as session:
        record = session.ledger.consortium()
    rows = [(one,) for one in record.organisations]
    out.table((f"MEMBERS ({record.majority} are a majority)",), rows, record.to_json())


@consortium.command()
@click.argument("kind", type=click.Choice(MOTIONS))
@click.argument("subject")
@click.option("--request-id", required=True, help="The same for every organisation that votes for this motion.")
@with_profile
@with_output
def vote(kind: str, subject: str, request_id: str, profile: Path, out: Output) -> None:
    """Vote to add or remove a member, to suspend or reinstate a participant, or to cancel a task.

    SUBJECT is an MSP id, or the task's id. The vote that completes the majority carries the motion out.
    """
    with open_session(profile) as session:
        motion = session.ledger.vote_on_motion(request_id, kind, subject)
    state = "carried" if motion.carried else "no majority yet"
    out.text(f"{kind} {subject}: for it are {', '.join(motion.votes)}; {state}.", motion.to_json())


@consortium.command()
@click.argument("request_id")
@with_profile
@with_output
def retract(request_id: str, profile: Path, out: Output) -> None:
    """Take back the vote for a motion that is not carried yet."""
    with open_session(profile) as session:
        motion = session.ledger.retract_vote(request_id)
    left = ", ".join(motion.votes) or "nobody"
    out.text(f"{motion.kind} {motion.subject}: for it is still {left}.", motion.to_json())


@consortium.command()
@with_profile
@with_output
def motions(profile: Path, out: Output) -> None:
    """List all motions."""
    with open_session(profile) as session:
        found = session.ledger.motions()
    rows = [(one.request_id, one.kind, one.subject, one.votes, "carried" if one.carried else "open") for one in found]
    out.table(("REQUEST", "KIND", "SUBJECT", "VOTES", "STATUS"), rows, [one.to_json() for one in found])
