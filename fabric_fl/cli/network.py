"""`fabric-fl network`: a network to run on, whatever ledger stands below."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from fabric_fl import network as networks
from fabric_fl.cli.output import Output, aligned, with_output
from fabric_fl.network import Consortium, ExternalChaincode, NetworkStatus, sharing
from fabric_fl.network.fabric import exchange

_CONSORTIUM = Path("network/consortium.yaml")

_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".network"),
    show_default=True,
    help="Directory for all that the network writes.",
)


@click.group()
def network() -> None:
    """Start, show and end a network to run on."""


class _Chaincode(click.ParamType[ExternalChaincode]):
    name = "NAME@ORG=ADDRESS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ExternalChaincode:
        if isinstance(value, ExternalChaincode):
            return value
        name, at, rest = str(value).partition("@")
        organisation, equals, address = rest.partition("=")
        if not (name and at and organisation and equals and address):
            self.fail(f"{value!r} is not NAME@ORG=ADDRESS, as fl@org2=localhost:7062", param, ctx)
        return ExternalChaincode(name, organisation, address)


@network.command()
@click.option("--consortium", type=click.Path(path_type=Path, dir_okay=False), help=f"Default: {_CONSORTIUM}.")
@click.option("--orgs", type=click.IntRange(1, 50), help="org1 … orgN on this machine instead of a consortium file.")
@click.option("--engine", help="fabric or devnet; default: ENGINE, else what is installed.")
@click.option("--chaincode", "chaincodes", type=_Chaincode(), multiple=True, help="A chaincode process of your own.")
@click.option("--org", "here", multiple=True, help="Run this organisation's part alone; others run theirs elsewhere.")
@click.option("--memory", is_flag=True, help="Keep the ledger off the disk (devnet).")
@_home
@with_output
def up(
    consortium: Path | None,
    orgs: int | None,
    engine: str | None,
    chaincodes: tuple[ExternalChaincode, ...],
    here: tuple[str, ...],
    memory: bool,
    home: Path,
    out: Output,
) -> None:
    """Start what does not run yet; return when every organisation's gateway endorses."""
    if consortium and orgs:
        raise click.UsageError("--orgs and --consortium exclude each other.")
    running = networks.up(
        _consortium(consortium, orgs),
        home=home,
        engine=engine,
        memory=memory,
        chaincodes=chaincodes,
        here=here,
        tell=lambda line: click.echo(line, err=True),
    )
    profiles = [_shown(profile) for profile in running.profiles()]
    next_commands = [
        command
        for profile in profiles[:1]
        for command in (
            f"fabric-fl participant list --profile {profile}",
            f". {profile}/env && peer channel getinfo -c {running.consortium.channel}",
        )
    ]
    value = {"home": str(running.home), "engine": running.plan.engine, "profiles": profiles, "next": next_commands}
    out.text(
        "\n".join([f"The network is up: {', '.join(profiles)}. Next:", *(f"  {one}" for one in next_commands)]), value
    )


@network.command()
@click.option("--wipe", is_flag=True, help="Delete the network's state too: ledger, keys, blobs.")
@_home
@with_output
def down(wipe: bool, home: Path, out: Output) -> None:
    """End exactly what `up` started; the state stays."""
    ran = networks.down(home, wipe=wipe)
    out.text("The network is down." if ran else "No network was running.", {"home": str(home), "was_running": ran})


@network.command()
@_home
@with_output
def status(home: Path, out: Output) -> None:
    """Show what runs, where, and whether every gateway endorses; exit code 1 when not."""
    now = networks.status(home)
    if out.is_json:
        out.value(_status_record(now))
    else:
        _print_status(now)
    if any(now.endorses.values()):
        sys.exit(1)


@network.command()
@click.argument("name", required=False)
@click.option("--lines", default=50, show_default=True, type=click.IntRange(0), help="How many of the last lines.")
@click.option("--follow", is_flag=True, help="Go on printing what is added.")
@_home
def logs(name: str | None, lines: int, follow: bool, home: Path) -> None:
    """Print what the network's processes said; NAME is one that `status` lists."""
    command = networks.log_command(name, home, lines=lines, follow=follow)
    sys.exit(subprocess.run(command, check=False).returncode)


@network.command()
@click.argument("name")
@_home
@with_output
def restart(name: str, home: Path, out: Output) -> None:
    """End one process and start it again; NAME is one that `status` lists."""
    networks.restart(name, home)
    out.text(f"{name} was started again.", {"home": str(home), "restarted": name})


@network.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_home
@with_output
def share(file: Path, home: Path, out: Output) -> None:
    """Write to FILE what the other organisations' machines need of this one: certificates, never a key."""
    content = sharing.share(home)
    file.write_bytes(content)
    fingerprint = exchange.fingerprint(content)
    out.text(
        f"{file} is for the other organisations. Its fingerprint, to be told them another way:\n{fingerprint}",
        {"file": str(file), "fingerprint": fingerprint},
    )


@network.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@_home
@with_output
def import_(files: tuple[Path, ...], home: Path, out: Output) -> None:
    """Take what other organisations' machines have shared; compare the fingerprints with what they say."""
    for file in files:
        content = file.read_bytes()
        try:
            received = sharing.receive(content, home)
        except networks.ExchangeError as error:
            raise networks.ExchangeError(f"{file}: {error.message}", remedy=error.remedy) from error
        fingerprint = exchange.fingerprint(content)
        lines = [f"{', '.join(received.organisations)}: {fingerprint}"]
        if file == files[-1] and received.lacking:
            lines.append(f"Not here yet: {', '.join(received.lacking)}.")
        elif file == files[-1] and received.founded:
            lines.append("The channel's first block is made: `network share FILE` now holds it for the others.")
        out.line("\n".join(lines), vars(received) | {"file": str(file), "fingerprint": fingerprint})


def _consortium(path: Path | None, organisations: int | None) -> Consortium:
    if organisations:
        return Consortium.default(organisations)
    if path or _CONSORTIUM.exists():
        return networks.load_consortium(path or _CONSORTIUM)
    return Consortium.default()


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _status_record(now: NetworkStatus) -> dict[str, object]:
    return {
        "home": str(now.home),
        "engine": now.plan.engine,
        "channel": now.plan.consortium.channel,
        "processes": [vars(process) for process in now.processes],
        "organisations": [
            {
                "name": one.name,
                "msp_id": one.msp_id,
                "gateway": str(one.peers[0]),
                "ca": f"https://{one.ca}",
                "profile": str(now.home / one.name),
                "endorses": not now.endorses[one.name],
                "problem": now.endorses[one.name],
            }
            for one in now.plan.organisations
        ],
    }


def _print_status(now: NetworkStatus) -> None:
    rows = [("PROCESS", "STATE", "PID", "UP", "LOG")]
    rows += [
        (one.name, one.state, str(one.pid or "-"), f"{one.uptime_s} s", _shown(now.home / "logs" / f"{one.name}.log"))
        for one in now.processes
    ]
    rows_of_organisations = [("ORGANISATION", "MSP ID", "GATEWAY", "CA", "ENDORSES")]
    rows_of_organisations += [
        (one.name, one.msp_id, str(one.peers[0]), str(one.ca), now.endorses[one.name] or "yes")
        for one in now.plan.organisations
    ]
    for line in [*aligned(rows), "", *aligned(rows_of_organisations)]:
        click.echo(line)
