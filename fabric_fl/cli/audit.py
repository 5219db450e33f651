"""`fabric-fl audit`: nobody has to be believed."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fabric_fl.cli.newfile import new_file
from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile
from fabric_fl.cli.verified import numbered, verified_rows, verified_value


class _TaskOrCommand(click.Group):
    """`audit TASK` is short for `audit task TASK`; a task that is called as a command needs the long form."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["task", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `audit --profile X TASK` was all there was once
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            at = self._first_word(args)
            command = args[at : at + 1] if args[at : at + 1] and args[at] in self.commands else []
            args = [*command, *args[:at], *args[at + 1 :]] if command else ["task", *args]
        return super().parse_args(ctx, args)

    def _first_word(self, args: Sequence[str]) -> int:
        """Returns where the options that come first end."""
        with_value = {name for one in self.commands["task"].params for name in one.opts if name.startswith("--")}
        at = 0
        while at < len(args) and args[at].startswith("-"):
            at += 2 if args[at] in with_value else 1
        return at


@click.group(cls=_TaskOrCommand)
def audit() -> None:
    """Recompute what was decided: `audit TASK` from ledger and blobs, `audit verify FILE` from an export alone."""


@audit.command("task")
@click.argument("task")
@with_profile
@with_output
def audit_task(task: str, profile: Path, out: Output) -> None:
    """Recompute every round of TASK from ledger and blobs alone.

    Exit code 1 when what was committed does not follow; 3 when nothing is known to be wrong, but not all could be
    recomputed: blobs have expired, or nothing has been committed. Who was outvoted is listed, and changes neither.
    """
    from fabric_fl.audit import replay_task
    from fabric_fl.cli import replayed

    # in a directory of the system's: what is recomputed is only compared
    with open_session(profile) as session, tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        found = replay_task(session.ledger, session.reader, task, Path(folder))
    out.table(replayed.COLUMNS, replayed.rows(found), replayed.value(found))
    for sentence in replayed.sentences(found):
        click.echo(sentence, err=True)
    sys.exit(replayed.status(found))


@audit.command("export")
@click.argument("task")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--no-blobs", is_flag=True, help="Leave the blobs out, as for those who may not read them.")
@with_profile
@with_output
def export_(task: str, file: Path, no_blobs: bool, profile: Path, out: Output) -> None:
    """Write all of TASK into FILE: blocks, certificates and, as a validator of the task, blobs."""
    from fabric_fl.audit import export
    from fabric_fl.fabric.profile import ConnectionProfile

    settings = ConnectionProfile.load(profile).participant
    with new_file(file) as target, open_session(profile) as session:
        reader = None if no_blobs else session.reader
        done = export(session.network, settings.chaincode, task, target, reader, session.msp_id)
    value = {"file": str(file), "size": file.stat().st_size, **dataclasses.asdict(done)}
    held = f"no blobs ({done.without})" if done.without else f"{done.blobs} blobs"
    if done.withheld:
        held += f", no updates of {numbered(done.withheld)} ({session.msp_id} does not validate them)"
    if done.missing:
        held += f", {len(done.missing)} blobs are no longer to be had"
    out.text(f"{file}: {done.blocks} blocks, {held}, {value['size']} bytes", value)


@audit.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--roots",
    type=click.Path(path_type=Path, exists=True),
    help="PEM file, or a folder of them: the root certificates that count. Otherwise compare the fingerprints shown.",
)
@with_output
def verify_(file: Path, roots: Path | None, out: Output) -> None:
    """Check an export without network, ledger or TensorFlow; exit code 1 when anything does not hold."""
    from fabric_fl.audit import verify
    from fabric_fl.audit.roots import read_roots

    found = verify(file, None if roots is None else read_roots(roots))
    out.table(("WHAT", "WHERE", "WHO", "RESULT"), verified_rows(found, compare=roots is None), verified_value(found))
    if not found.holds:
        sys.exit(1)


@audit.command("replay")
@click.argument("task")
@click.option("--without", "organisation", required=True, metavar="ORG", help="MSP id of who is left out.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Where the last model goes.")
@with_profile
@with_output
def replay_(task: str, organisation: str, output: Path | None, profile: Path, out: Output) -> None:
    """Rebuild TASK's models from the others' recorded updates, as if ORG had not taken part; no retraining.

    A file whose name ends in .keras becomes a plain Keras model, as `models export` writes it. The server step's state
    goes beside either, to FILE.state.safetensors.
    """
    from fabric_fl.audit.rebuild import state_beside, without

    target = output or Path(f"{task}-without-{organisation}.safetensors")
    with new_file(target) as file, tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        made = Path(folder) / "rebuilt.safetensors"
        with open_session(profile) as session:
            record = session.ledger.task(task)
            rounds = list(without(session.ledger, session.reader, task, organisation, Path(folder), made))
        if target.suffix == ".keras":
            from fabric_fl.aggregation import read_model
            from fabric_fl.learning.export import to_keras  # TensorFlow, in whose process nothing is summed any more

            to_keras(record, read_model(made, rounds[-1].rebuilt, made.stat().st_size)).save(file)
        else:
            shutil.copyfile(made, file)
        if rounds[-1].state is not None:
            with new_file(state_beside(target)) as beside:
                shutil.copyfile(state_beside(made), beside)
    rows = [(one.number, one.j, one.committed[:16], one.rebuilt[:16], one.kept or one.included) for one in rounds]
    value = {
        "task": task,
        "without": organisation,
        "file": str(target),
        "state": None if rounds[-1].state is None else str(state_beside(target)),
        "rounds": [dataclasses.asdict(one) for one in rounds],
    }
    out.table(("ROUND", "MODEL", "COMMITTED", "REBUILT", "FROM"), rows, value)


@audit.command("records")
@click.argument("task")
@with_profile
@with_output
def audit_records(task: str, profile: Path, out: Output) -> None:
    """Print TASK's records and the chain they stand in, always as JSON: what docs/audit.md asks Fabric's `peer` for."""
    from fabric_fl import evidence
    from fabric_fl.fabric.profile import ConnectionProfile
    from fabric_fl.gateway import connect

    loaded = ConnectionProfile.load(profile)
    settings = loaded.participant
    with connect(loaded) as gateway:
        out.value(evidence.records(gateway.network(settings.channel), settings.chaincode, loaded, task))
