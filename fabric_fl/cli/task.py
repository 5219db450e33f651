"""`fabric-fl task`: create, list and show tasks."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.group()
def task() -> None:
    """Create, list and show tasks."""


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
        (one.task.id, one.head.status, f"{one.head.j}/{one.task.rounds}", one.task.sponsor, one.task.budget)
        for one in found
    ]
    value = [{"task": one.task.to_json(), "head": one.head.to_json()} for one in found]
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


def _short(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    text = str(value)
    return f"{text[:61]}…" if isinstance(value, str) and len(text) > 64 else value
