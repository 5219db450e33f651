"""Certificates that the channel does not accept, and authorities that do not answer: told at once, nothing is lost."""

from __future__ import annotations

import datetime
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from devnet_tasks import FOLDERS, Tasks, three_organisations, undisturbed

from fabric_fl.devnet.ca.authority import CertificateAuthority, certificate_pem, subject_name
from fabric_fl.fabric.ca import CAClient, CAUnavailable
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.mspdir import write_msp_dir
from fabric_fl.fabric.profile import Authority, ConnectionProfile
from fabric_fl.gateway import GatewayError
from fabric_fl.testing import ALL_ROLES

AT_ONCE = 20.0  # seconds; what may pass by itself is tried again for a minute


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as started:
        yield started


def authority(tasks: Tasks, msp_id: str) -> CertificateAuthority:
    return CertificateAuthority.load(tasks.network.directory / "devnet" / "organizations" / FOLDERS[msp_id] / "ca")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@contextmanager
def certificate(
    tasks: Tasks, issuer: CertificateAuthority, not_after: datetime.datetime | None = None
) -> Iterator[None]:
    """Puts a client certificate of another authority, or for another time, into Org2's folder, and its own back."""
    folder = tasks.folder("Org2MSP")
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = {"hf.EnrollmentID": "ward-7", "hf.Type": "client", "hf.Affiliation": ""} | ALL_ROLES
    issued = issuer.issue(
        key.public_key(),
        subject_name("ward-7", ("client",)),
        attributes=attributes,
        not_before=now() - datetime.timedelta(minutes=4),
        not_after=not_after,
    )
    (folder / "msp").rename(folder / "right")
    try:
        signer = SigningIdentity(Identity("Org2MSP", certificate_pem(issued)), key)
        write_msp_dir(folder / "msp", ca_certs=[issuer.certificate_pem], signer=signer)
        yield
    finally:
        shutil.rmtree(folder / "msp")
        (folder / "right").rename(folder / "msp")


def refused(tasks: Tasks, task: str, steps: list[str] | None = None) -> GatewayError:
    """Has Org2 take part and returns what it fails with, at once."""
    noted = [] if steps is None else steps
    began = time.monotonic()
    with (
        tasks.participant("Org2MSP", on_step=lambda step, _task, _round: noted.append(step)) as me,
        pytest.raises(GatewayError) as failure,
    ):
        me.run(task)
    assert time.monotonic() - began < AT_ONCE
    return failure.value


@pytest.mark.parametrize("issuer", ["another organisation's", "self-made"])
def test_a_wrong_certificate_is_refused_and_the_right_one_goes_on(issuer: str, tasks: Tasks, tmp_path: Path) -> None:
    task = tasks.create(f"issuer-{issuer[0]}")
    made = CertificateAuthority.create("ca.org2", "org2") if issuer == "self-made" else authority(tasks, "Org3MSP")
    with certificate(tasks, made):
        error = refused(tasks, task)
    assert error.code == "FL-IDENTITY-REFUSED"
    assert error.remedy.startswith("Use a client certificate that the organisation's own CA issued")
    tasks.finish(task)
    assert tasks.digests(task) == undisturbed(task, tmp_path)


def test_an_expired_certificate_is_refused_and_a_new_one_goes_on(tasks: Tasks, tmp_path: Path) -> None:
    task = tasks.create("expired")
    with certificate(tasks, authority(tasks, "Org2MSP"), not_after=now() - datetime.timedelta(minutes=1)):
        error = refused(tasks, task)
    assert error.code == "FL-IDENTITY-EXPIRED"
    assert error.remedy.startswith("Enrol the identity again")
    tasks.finish(task)
    assert tasks.digests(task) == undisturbed(task, tmp_path)


def test_a_certificate_that_expires_during_a_round_ends_the_process_and_a_new_one_goes_on(
    tasks: Tasks, tmp_path: Path
) -> None:
    task = tasks.create("expires")
    steps: list[str] = []
    with certificate(tasks, authority(tasks, "Org2MSP"), not_after=now() + datetime.timedelta(seconds=4)):
        assert refused(tasks, task, steps).code == "FL-IDENTITY-EXPIRED"
    assert steps[-1] == "submitted"  # it then waited for the others, who had not begun
    tasks.finish(task)
    assert tasks.digests(task) == undisturbed(task, tmp_path)


def test_an_authority_that_is_down_refuses_nobody_for_good(tasks: Tasks) -> None:
    profile = ConnectionProfile.load(tasks.folder("Org2MSP"))
    client = CAClient(profile.authority, profile.msp_id)
    tasks.network.kill("devnet")
    try:
        with pytest.raises(CAUnavailable, match=r"FL-CA-UNAVAILABLE: https://localhost:\d+.* refused") as failure:
            client.enroll(*profile.authority.registrar)
    finally:
        tasks.network.start("devnet")
    assert failure.value.remedy.startswith("See that the CA runs")
    assert client.enroll(*profile.authority.registrar).msp_id == "Org2MSP"


def test_an_authority_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = CAClient(
            Authority(name="ca-org1", url=url, tls_ca_certs=None, ca_name="", registrar=None), "Org1MSP", timeout=0.3
        )
        with pytest.raises(CAUnavailable, match="no answer in time"):
            client.enroll("ward-7", "secret")
