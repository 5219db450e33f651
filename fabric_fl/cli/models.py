"""`fabric-fl models`: what was committed, and the bytes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from fabric_fl.cli.newfile import new_file
from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.group()
def models() -> None:
    """Show, fetch and export committed models."""


@models.command()
@click.argument("task")
@with_profile
@with_output
def latest(task: str, profile: Path, out: Output) -> None:
    """Show the newest committed model of TASK."""
    with open_session(profile) as session:
        model = session.ledger.latest_model(task)
    record = model.to_json()
    out.table(("FIELD", "VALUE"), [(name, value) for name, value in record.items() if name != "schema"], record)


@models.command()
@click.argument("task")
@click.option("--number", type=click.IntRange(0), help="Which one, 0 for the initial; default: the newest.")
@click.option("--out", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@with_profile
@with_output
def fetch(task: str, number: int | None, target: Path, profile: Path, out: Output) -> None:
    """Fetch a committed model of TASK, verify it and write it; `sha256sum` prints the digest on the ledger."""
    from fabric_fl.models import CommittedModels

    with new_file(target) as file, open_session(profile) as session:
        wanted = session.ledger.latest_model(task).j if number is None else number
        found = CommittedModels(session.ledger, session.reader, session.ledger.task(task)).weights(wanted)
        shutil.copyfile(found.path, file)
        revoked = session.ledger.model(task, wanted).revoked
    for mark in revoked:
        data = f"declaration {mark['number']} of {mark['participant']} for {mark['purpose']}"
        click.echo(f"warning: {data} went into model {mark['j']} and was revoked since", err=True)
    value = {"task": task, "model": wanted, "digest": found.digest, "size": found.size, "file": str(target)}
    out.text(f"{found.digest}  {target}", value)


@models.command()
@click.argument("task")
@click.option("--number", type=click.IntRange(0), help="Which one, 0 for the initial; default: the newest.")
@click.option("--out", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A .keras file.")
@with_profile
@with_output
def export(task: str, number: int | None, target: Path, profile: Path, out: Output) -> None:
    """Export a committed model of TASK as a plain Keras model, for programs that know nothing of this one."""
    if target.suffix != ".keras":  # by it Keras chooses the format
        raise click.BadParameter("the file's name ends in .keras", param_hint="--out")
    from fabric_fl.aggregation import read_model
    from fabric_fl.learning.export import to_keras
    from fabric_fl.models import CommittedModels

    with new_file(target) as file:
        with open_session(profile) as session:
            record = session.ledger.task(task)
            wanted = session.ledger.latest_model(task).j if number is None else number
            found = CommittedModels(session.ledger, session.reader, record).weights(wanted)
        to_keras(record, read_model(found.path, found.digest, found.size)).save(file)
    value = {"task": task, "model": wanted, "digest": found.digest, "file": str(target)}
    out.text(f"{found.digest}  {target}", value)
