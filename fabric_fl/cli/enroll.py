"""`fabric-fl enroll`: an identity from the organisation's certificate authority."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import with_profile
from fabric_fl.errors import FabricFLError


class IdentityExists(FabricFLError):  # noqa: N818 -- what is the matter
    """An identity lies there already."""

    code = "FL-ENROLL-EXISTS"
    remedy = "Name another directory with --out; a key is never overwritten."


@click.command()
@click.argument("enrollment_id")
@click.option(
    "--secret-file",
    type=click.File("r"),
    help="File with the enrolment secret, - for stdin. Default: FABRIC_FL_ENROLLMENT_SECRET, else it is asked for.",
)
@click.option("--attribute", "attributes", multiple=True, help="Attribute that the certificate shall carry.")
@click.option("--out", "target", type=click.Path(path_type=Path), help="MSP directory to write. Default: PROFILE/msp.")
@with_profile
@with_output
def enroll(
    enrollment_id: str,
    secret_file: TextIO | None,
    attributes: tuple[str, ...],
    target: Path | None,
    profile: Path,
    out: Output,
) -> None:
    """Make a key, get a certificate for ENROLLMENT_ID and write both as the MSP directory that `peer` reads."""
    import os

    from fabric_fl.fabric.ca import CAClient
    from fabric_fl.fabric.mspdir import write_msp_dir
    from fabric_fl.fabric.profile import ConnectionProfile

    loaded = ConnectionProfile.load(profile)
    directory = target or loaded.folder / "msp"
    if (directory / "signcerts").exists():
        raise IdentityExists(f"there is an identity in {directory}")
    client = CAClient(loaded.authority, loaded.msp_id)
    secret = (
        secret_file.read().strip()
        if secret_file
        else os.environ.get("FABRIC_FL_ENROLLMENT_SECRET")
        or click.prompt("Enrolment secret", hide_input=True, err=True)
    )
    identity = client.enroll(enrollment_id, secret, attributes=attributes or None)
    tls = [loaded.authority.tls_ca_certs] if loaded.authority.tls_ca_certs else []
    write_msp_dir(directory, ca_certs=[client.ca_certificates()], tls_ca_certs=tls, signer=identity)
    expires = identity.identity.certificate.not_valid_after_utc.isoformat()
    value = {"msp_id": loaded.msp_id, "enrollment_id": enrollment_id, "directory": str(directory), "expires": expires}
    out.text(f"{enrollment_id} of {loaded.msp_id}: {directory}, valid until {expires}.", value)
