"""Each hospital gets its identity from its own certificate authority, over Fabric CA's REST API."""

from __future__ import annotations

import shutil
from pathlib import Path

from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.mspdir import write_msp_dir
from fabric_fl.fabric.profile import ConnectionProfile

ROLES = "admin,auditor,coordinator,trainer,validator"


def enrol(folder: Path) -> str:
    """Registers and enrols a hospital's program, and makes it the identity that the folder's profile connects with.

    Args:
        folder: the organisation's folder, with the profile that names its CA and its registrar.

    Returns:
        The subject of the new certificate.
    """
    profile = ConnectionProfile.load(folder)
    authority = profile.authority
    if authority.registrar is None:
        raise SystemExit(f"{profile.file} names no registrar for {authority.name}")
    client = CAClient(authority, profile.msp_id)
    registrar = client.enroll(*authority.registrar)
    secret = client.register(registrar, "training-job", attributes={"fl.roles": ROLES})
    identity = client.enroll("training-job", secret)
    shutil.rmtree(folder / "msp", ignore_errors=True)
    tls = [authority.tls_ca_certs] if authority.tls_ca_certs else []
    write_msp_dir(folder / "msp", ca_certs=[client.ca_certificates()], tls_ca_certs=tls, signer=identity)
    return identity.identity.certificate.subject.rfc4514_string()
