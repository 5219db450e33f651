"""`fabric-fl audit`: nobody has to be believed."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.command()
@click.argument("task")
@click.option("--records", is_flag=True, help="Print the records instead, as JSON: what docs/audit.md asks `peer` for.")
@with_profile
@with_output
def audit(task: str, records: bool, profile: Path, out: Output) -> None:
    """Recompute every committed round of TASK from ledger and blobs alone; exit code 1 when anything differs."""
    from fabric_fl.audit import replay

    if records:
        out.value(_records(task, profile))
        return
    # in a directory of the system's: what is recomputed is only compared
    with open_session(profile) as session, tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        rounds = list(replay(session.ledger, session.reader, task, Path(folder)))
    rows = [
        (
            *(one.number, one.j, one.committed[:16], (one.recomputed or "")[:16]),
            "identical" if one.identical else "; ".join(finding.message for finding in one.findings) or "differs",
        )
        for one in rounds
    ]
    identical = all(one.identical for one in rounds)
    value = {
        "task": task,
        "identical": identical,
        "rounds": [{**dataclasses.asdict(one), "identical": one.identical} for one in rounds],
    }
    out.table(("ROUND", "MODEL", "COMMITTED", "RECOMPUTED", "RESULT"), rows, value)
    if not identical:
        sys.exit(1)


def _records(task: str, profile: Path) -> dict[str, Any]:
    from fabric_fl import evidence
    from fabric_fl.fabric.profile import ConnectionProfile
    from fabric_fl.gateway import connect

    loaded = ConnectionProfile.load(profile)
    settings = loaded.participant
    with connect(loaded) as gateway:
        return evidence.records(gateway.network(settings.channel), settings.chaincode, loaded, task)
