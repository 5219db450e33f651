"""`fabric-fl task`: create, list and show tasks."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.group()
def task() -> None:
    """Create, list, show and cancel tasks, elect their validators."""


@task.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_profile
@with_output
def create(file: Path, profile: Path, out: Output) -> None:
    """Publish the initial model and create the task that FILE describes; repeating it changes nothing."""
    from fabric_fl.coordinator import create_task, read_task_file

    draft = read_task_file(file)
    with open_session(profile) as session:
        created = create_task(session.ledger, session.store, session.msp_id, draft)
    out.text(f"Task {created.id} is open for {', '.join(created.trainers)}.", created.to_json())


@task.command(name="list")
@with_profile
@with_output
def list_(profile: Path, out: Output) -> None:
    """List the tasks and where each stands."""
    with open_session(profile) as session:
        found = [session.ledger.status(one.id) for one in session.ledger.tasks()]
    rows = [
        (one.task.id, one.state, f"{one.head.j}/{one.task.rounds}", one.task.sponsor, one.task.budget) for one in found
    ]
    value = [{"task": one.task.to_json(), "head": one.head.to_json(), "state": one.state} for one in found]
    out.table(("TASK", "STATUS", "MODELS", "SPONSOR", "BUDGET"), rows, value)


@task.command()
@click.argument("task")
@with_profile
@with_output
def show(task: str, profile: Path, out: Output) -> None:
    """Show everything that was decided about TASK, and where it stands."""
    with open_session(profile) as session:
        status = session.ledger.status(task)
    spec, head = status.task.to_json(), status.head.to_json()
    shown = {**spec, **{f"head.{name}": value for name, value in head.items() if name not in ("schema", "task")}}
    rows = [(name, _short(value)) for name, value in shown.items()]
    out.table(("FIELD", "VALUE"), rows, {"task": spec, "head": head})


@task.command()
@click.argument("task")
@with_profile
@with_output
def cancel(task: str, profile: Path, out: Output) -> None:
    """Ask for the end of TASK: its sponsor decides alone, its validators by their quorum.

    It comes with the end of the round that runs; committed rounds are paid, and the rest of the budget returns.
    """
    with open_session(profile) as session:
        record = session.ledger.cancel_task(task)
        status = session.ledger.status(task)
    wanted = ", ".join(status.cancel_wanted_by)
    effect = f"ends with round {status.round.number}" if status.cancelled else "goes on until more of them want it"
    out.text(f"{task} is to end for {wanted}: it {effect}.", record.to_json())


@task.command()
@click.argument("task")
@with_profile
@with_output
def validators(task: str, profile: Path, out: Output) -> None:
    """Show who validates TASK at present, and whom they have voted for."""
    with open_session(profile) as session:
        found = session.ledger.electorate(task)
    votes = {one.organisation: one for one in found.votes}
    rows = [
        (one, f"{', '.join(votes[one].validators)} with q = {votes[one].q}" if one in votes else None)
        for one in found.validators
    ]
    value = {"task": task, "term": found.term, "validators": list(found.validators), "q": found.q}
    out.table(
        (f"VALIDATORS (q = {found.q})", "VOTES FOR"), rows, value | {"votes": [one.to_json() for one in found.votes]}
    )


@task.command()
@click.argument("task")
@click.argument("organisations", nargs=-1, required=True)
@click.option("--q", required=True, type=click.IntRange(1), help="So many of them must agree.")
@with_profile
@with_output
def elect(task: str, organisations: tuple[str, ...], q: int, profile: Path, out: Output) -> None:
    """Vote, as a validator of TASK, for ORGANISATIONS (MSP ids) as its validators from the next round on."""
    with open_session(profile) as session:
        record = session.ledger.elect(task, session.ledger.electorate(task).term, organisations, q)
        present = session.ledger.electorate(task)
    same = sum((one.validators, one.q) == (record.validators, record.q) for one in present.votes)
    out.text(f"{same} of {present.q} votes for {', '.join(record.validators)} with q = {q}.", record.to_json())


def _short(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    text = str(value)
    return f"{text[:61]}…" if isinstance(value, str) and len(text) > 64 else value
