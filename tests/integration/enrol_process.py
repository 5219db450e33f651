"""Registers and enrols an identity of an organisation.

python enrol_process.py ORGANISATION_FOLDER ENROLLMENT_ID MSP_DIRECTORY
"""

from __future__ import annotations

import sys

from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.mspdir import write_msp_dir
from fabric_fl.fabric.profile import ConnectionProfile

folder, enrollment_id, directory = sys.argv[1:]
profile = ConnectionProfile.load(folder)
client = CAClient(profile.authority, profile.msp_id)
secret = client.register(client.enroll(*profile.authority.registrar), enrollment_id, attributes={"fl.roles": "trainer"})
write_msp_dir(
    directory,
    ca_certs=[client.ca_certificates()],
    tls_ca_certs=[profile.authority.tls_ca_certs],
    signer=client.enroll(enrollment_id, secret),
)
