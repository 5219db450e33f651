"""`fabric-fl models`: what was committed, and the bytes of it."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
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
@click.option(
    "--as",
    "form",
    type=click.Choice(["keras", "tff"]),
    default="keras",
    show_default=True,
    help="A plain Keras model, or the state that a TFF learning process goes on from.",
)
@click.option(
    "--out", "target", required=True, type=click.Path(path_type=Path), help="A .keras file; with --as tff a new folder."
)
@with_profile
@with_output
def export(task: str, number: int | None, form: str, target: Path, profile: Path, out: Output) -> None:
    """Export a committed model of TASK, for programs that know nothing of this one."""
    _require_fitting(target, form)
    from fabric_fl.aggregation import read_model, read_state
    from fabric_fl.models import CommittedModels

    with new_file(target) if form == "keras" else nullcontext(target) as place:
        with open_session(profile) as session:
            record = session.ledger.task(task)
            wanted = session.ledger.latest_model(task).j if number is None else number
            committed = CommittedModels(session.ledger, session.reader, record)
            found = committed.weights(wanted)
            state = committed.files(wanted).state if form == "tff" else None
        model = read_model(found.path, found.digest, found.size)
        value = {"task": task, "model": wanted, "digest": found.digest}
        if form == "keras":
            from fabric_fl.learning.export import to_keras

            to_keras(record, model).save(place)
            written = target
            value["file"] = str(target)
        else:
            from fabric_fl.learning.program_state import save_program_state

            step = None if state is None else read_state(state.path, state.digest, state.size)
            written = save_program_state(place, record, wanted, model, step)
            value |= {"folder": str(target), "version": wanted}
    out.text(f"{found.digest}  {written}", value)


def _require_fitting(target: Path, form: str) -> None:
    """Refuse a name that the form does not go with, before anything is fetched.

    Raises:
        BadParameter: What is wrong with it.
    """
    wrong = None
    if form == "keras" and target.suffix != ".keras":  # by it Keras chooses the format
        wrong = "the file's name ends in .keras"
    elif form == "tff" and target.suffix == ".keras":
        wrong = "with --as tff it is a folder, not a .keras file"
    elif form == "tff" and not target.absolute().parent.is_dir():
        wrong = f"there is no folder {target.absolute().parent}"
    if wrong is not None:
        raise click.BadParameter(wrong, param_hint="--out")
