"""A devnet of three organisations with the suite's chaincodes, every part of it a process of its own."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from fabric_network import ANY, CHANNEL, MAJORITY, TWO

from fabric_fl.devnet.ca.authority import certificate_pem, subject_name
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.identity import Identity, SigningIdentity

ORGANISATIONS = 3
CONTRACT = Path(__file__).with_name("kv_contract.py")
START = 30  # seconds that a process may take


@contextmanager
def devnet(home, **changes):
    """Run the network; yield the directory of its connection profiles."""
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(chaincode(name, home)) for name in (MAJORITY, ANY, TWO)}
        config = home / "devnet.json"
        config.write_text(json.dumps(configuration(home, addresses) | changes))
        ready = home / "ready.json"
        command = [sys.executable, "-m", "fabric_fl.devnet", config, "--ready-file", ready]
        with process(command, home / "devnet.log") as running:
            wait(running, ready.exists, home / "devnet.log")
            own = Organization.load(home / "state" / "organizations" / "org1")
            write_late(own.ca, own.msp_id, own.write_msp, home / "network" / "org1")
            yield home / "network"


def write_late(authority, msp_id, write, folder):
    """Write an MSP directory with a client's certificate that ended a minute ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = authority.issue(
        key.public_key(),
        subject_name("late", ("client",)),
        not_after=now - datetime.timedelta(minutes=1),
    )
    identity = Identity(msp_id, certificate_pem(certificate))
    write(folder / "expired" / "msp", SigningIdentity(identity, key))


def configuration(home, addresses):
    names = [f"org{number}" for number in range(1, ORGANISATIONS + 1)]
    msp_ids = [f"{name.capitalize()}MSP" for name in names]
    policies = {ANY: "OR({})".format(",".join(f"'{msp_id}.peer'" for msp_id in msp_ids))}
    return {
        "schema": 1,
        "channel": CHANNEL,
        "output": str(home / "network"),
        "state": str(home / "state"),
        "organisations": [{"name": name, "msp_id": msp_id} for name, msp_id in zip(names, msp_ids, strict=True)],
        "batch": {"max_bytes": 10 * 2**20},
        "chaincodes": [
            # One process serves all organisations, each on a stream of its own.
            {
                "name": name,
                "endorsement": policies.get(name),
                "addresses": dict.fromkeys(msp_ids[: 2 if name == TWO else None], address),
            }
            for name, address in addresses.items()
        ],
    }


@contextmanager
def chaincode(name, home, registered_as=None):
    """Run the contract; yield the address on which it listens. Devnet takes any id."""
    log = home / f"{name}.log"
    identifier = registered_as or f"{name}_1.0:{'0' * 64}"
    environ = {"CHAINCODE_ID": identifier, "CHAINCODE_SERVER_ADDRESS": "127.0.0.1:0"}
    with process([sys.executable, CONTRACT], log, environ) as running:
        wait(running, lambda: "listens on" in log.read_text(), log)
        yield re.search(r"listens on (\S+)", log.read_text())[1]


@contextmanager
def process(command, log, environ=None):
    with log.open("wb") as output:
        running = subprocess.Popen(
            [str(part) for part in command], env=os.environ | (environ or {}), stdout=output, stderr=output
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(15)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def wait(running, ready, log):
    deadline = time.monotonic() + START
    while not ready():
        if running.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{running.args} is not ready:\n{log.read_text()}")
        time.sleep(0.05)
