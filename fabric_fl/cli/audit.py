"""`fabric-fl audit`: nobody has to be believed."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_fl.cli.newfile import new_file
from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile
from fabric_fl.cli.verified import numbered, verified_rows, verified_value

if TYPE_CHECKING:
    from fabric_fl.audit import RoundReplay

_ROUNDS = ("ROUND", "MODEL", "COMMITTED", "RECOMPUTED", "RESULT")


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
    """Recompute every committed round of TASK from ledger and blobs alone; exit code 1 when anything differs."""
    from fabric_fl.audit import replay

    # in a directory of the system's: what is recomputed is only compared
    with open_session(profile) as session, tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        rounds = list(replay(session.ledger, session.reader, task, Path(folder)))
    identical = all(one.identical for one in rounds)
    value = {"task": task, "identical": identical, "first": _first(rounds), "rounds": _values(rounds)}
    out.table(_ROUNDS, _rows(rounds), value)
    if not identical:
        click.echo(_first(rounds), err=True)
        sys.exit(1)


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
    """Rebuild TASK's models from the others' recorded updates, as if ORG had not taken part; no retraining."""
    from fabric_fl.audit import without

    target = output or Path(f"{task}-without-{organisation}.safetensors")
    with open_session(profile) as session, tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        rounds = list(without(session.ledger, session.reader, task, organisation, Path(folder), target))
    rows = [(one.number, one.j, one.committed[:16], one.rebuilt[:16], one.kept or one.included) for one in rounds]
    value = {"task": task, "without": organisation, "file": str(target)}
    value["rounds"] = [dataclasses.asdict(one) for one in rounds]  # type: ignore[assignment]
    out.table(("ROUND", "MODEL", "COMMITTED", "REBUILT", "FROM"), rows, value)


def _outcome(one: RoundReplay) -> str:
    return "identical" if one.identical else "; ".join(map(str, one.findings)) or "differs"


def _rows(rounds: Sequence[RoundReplay]) -> list[tuple[object, ...]]:
    return [(one.number, one.j, one.committed[:16], (one.recomputed or "")[:16], _outcome(one)) for one in rounds]


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


def _values(rounds: Sequence[RoundReplay]) -> list[dict[str, Any]]:
    return [{**dataclasses.asdict(one), "identical": one.identical} for one in rounds]


def _first(rounds: Sequence[RoundReplay]) -> str | None:
    """Returns the first round that does not agree, and whose records it is."""
    for one in rounds:
        if not one.identical:
            named = dict.fromkeys(finding.organisation for finding in one.findings if finding.organisation)
            who = ", ".join(named) or "the contract itself (`fabric-fl audit verify` names the transaction)"
            return f"round {one.number} is the first that differs; what does not agree is of {who}"
    return None
