"""`fabric-fl participant`: who takes part, and taking part."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_fl.cli.membership import COMMANDS
from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.group()
def participant() -> None:
    """Register, declare data, take part, list who takes part."""


for _command in COMMANDS:
    participant.add_command(_command)


@participant.command(name="list")
@with_profile
@with_output
def list_(profile: Path, out: Output) -> None:
    """List the registered participants."""
    with open_session(profile) as session:
        found = session.ledger.participants()
    rows = [(one.msp_id, one.name, one.status, one.roles, one.description) for one in found]
    out.table(("MSP ID", "NAME", "STATUS", "ROLES", "DESCRIPTION"), rows, [one.to_json() for one in found])


@participant.command()
@click.argument("name")
@click.option("--description", default="", help="Who or what it is, in a sentence.")
@with_profile
@with_output
def register(name: str, description: str, profile: Path, out: Output) -> None:
    """Record the organisation on the ledger under NAME; repeating it changes nothing."""
    with open_session(profile) as session:
        record = session.ledger.register(name, description)
    out.text(f"{record.msp_id} takes part as {record.name}.", record.to_json())


@participant.command()
@click.argument("task")
@click.option("--data", required=True, type=click.Path(path_type=Path), help=".npz file with x and y to train on.")
@click.option("--holdout", type=click.Path(path_type=Path), help=".npz file with x and y to validate on.")
@with_profile
@with_output
def run(task: str, data: Path, holdout: Path | None, profile: Path, out: Output) -> None:
    """Take part in TASK until it ends: train when selected, validate when the task names the organisation."""
    from fabric_fl.cli.dataset import trainer_for
    from fabric_fl.participant import Participant

    with open_session(profile) as session:
        kind = session.ledger.task(task).model.kind
    trainer = trainer_for(kind, data, holdout)
    with Participant.connect(profile, trainer=trainer, on_step=_tell) as me:
        model = me.run(task)
        metrics = me.evaluate(model) if holdout else {}
    text = "".join(f", {name} {value:.4f}" for name, value in sorted(metrics.items()))
    value = {"task": task, "model": model.number, "digest": model.digest, "metrics": metrics}
    out.text(f"Model {model.number} of {task}: {model.digest}{text}", value)


def _tell(step: str, task: str, number: int) -> None:
    click.echo(f"{task}, round {number}: {step}", err=True)
