"""The client on a bad day: every write happens once, every event is seen once, whatever is killed, cut or lost."""

import json
import shlex
import subprocess
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest
import yaml

from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.gateway import connect, connect_from_environment, retry
from fabric_fl.ledger import FLLedger
from fabric_fl.testing import Network

ORGANISATIONS = ("org1", "org2")


@pytest.fixture(scope="module")
def network():
    with Network(2) as network:
        yield network


@pytest.fixture(scope="module")
def ledgers(network):
    with ExitStack() as stack:
        ledgers = [
            FLLedger.on(stack.enter_context(network.gateway(name)).network("fl"), patience=30) for name in ORGANISATIONS
        ]
        ledgers[0].init_consortium()
        for ledger, name in zip(ledgers, ORGANISATIONS, strict=True):
            ledger.register(name)
        yield ledgers


@pytest.fixture
def one(ledgers, monkeypatch):
    monkeypatch.setattr(retry, "ASK_AGAIN", 0.3)
    return ledgers[0]


@pytest.fixture
def seen(ledgers):
    """The second organisation's votes as they are written; call it to close the stream and count them."""
    events = ledgers[0].events()
    names = []
    reader = threading.Thread(target=lambda: names.extend(name for name, _ in events))
    reader.start()

    def close(expected):
        deadline = time.monotonic() + 10
        while len(names) < expected and time.monotonic() < deadline:
            time.sleep(0.02)
        events.close()
        reader.join(5)
        return Counter(names)

    yield close
    events.close()


def later(seconds, call, *args, **kwargs):
    timer = threading.Timer(seconds, call, args, kwargs)
    timer.start()
    return timer


def vote(ledger, request):
    return ledger.issue(f"{request}-{time.monotonic_ns()}", "Org1MSP", 1)


def test_a_commit_status_that_never_comes_does_not_make_a_second_transaction(network, one, seen):
    network.fault("drop_commit_status", msp_id="Org1MSP")
    timer = later(1.0, network.fault, "clear")
    assert vote(one, "dropped").votes == ("Org1MSP",)
    timer.join()
    assert seen(1) == {"tokens:Issue": 1}


def test_an_orderer_that_orders_nothing_for_a_while_gets_the_same_bytes_again(network, one, seen):
    network.fault("stall_ordering")
    timer = later(1.0, network.fault, "resume_ordering")
    assert vote(one, "stalled").votes == ("Org1MSP",)
    timer.join()
    network.fault("clear")
    assert seen(1) == {"tokens:Issue": 1}


def test_a_full_disk_is_waited_for(network, one, seen):
    network.fault("fill_disk")
    timer = later(1.0, network.fault, "free_disk")
    assert vote(one, "full").votes == ("Org1MSP",)
    timer.join()
    network.fault("clear")
    assert seen(1) == {"tokens:Issue": 1}


def test_endorsements_that_differ_for_a_moment_are_asked_for_again(network, one, seen):
    network.fault("alter_endorsements", msp_id="Org2MSP", times=2)
    assert vote(one, "altered").votes == ("Org1MSP",)
    network.fault("clear")
    assert seen(1) == {"tokens:Issue": 1}


def test_a_stream_that_is_cut_between_events_misses_none(network, one, seen):
    for number in range(6):
        vote(one, f"cut-{number}")
        if number % 2:
            network.fault("cut_streams", msp_id="Org1MSP")
    assert seen(6) == {"tokens:Issue": 6}


@pytest.mark.parametrize("process", ["devnet", "fl-org1", "fl-org2"])
def test_a_process_killed_under_load_costs_time_and_nothing_else(network, one, seen, process):
    finished = []

    def kill_and_start():
        network.kill(process)
        time.sleep(0.5)
        network.start(process)

    timer = later(0.2, kill_and_start)
    while timer.is_alive() or len(finished) < 10:
        finished.append(vote(one, process).request_id)
    timer.join()
    assert len(set(finished)) == len(finished)
    assert seen(len(finished)) == {"tokens:Issue": len(finished)}


def test_organisations_that_write_one_record_at_once_both_get_through(ledgers, one):
    before = one.supply()
    failures = []

    def vote_all(ledger):
        try:
            for number in range(8):
                ledger.issue(f"together-{number}", "Org2MSP", 10)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=vote_all, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert one.supply() == before + 80
    assert one.balance("Org2MSP") == 80


def test_the_env_file_that_the_peer_cli_reads_is_enough(network, ledgers):
    script = f". {shlex.quote(str(network.organization('org2') / 'env'))} && env -0"
    printed = subprocess.run(
        ["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    ).stdout
    environ = dict(line.split("=", 1) for line in printed.decode().split("\0") if line)

    with connect_from_environment(environ) as gateway:
        assert gateway.identity.msp_id == "Org2MSP"
        assert (
            json.loads(gateway.network("fl").contract("fl").evaluate("participants:Read", "Org2MSP"))["name"] == "org2"
        )


def test_a_profile_in_yaml_two_pem_files_and_a_signing_hook_serve_as_well(network, ledgers, tmp_path):
    folder = network.organization("org1")
    path = tmp_path / "connection.yaml"
    path.write_text(yaml.safe_dump(json.loads((folder / "connection.json").read_text())))
    (key,) = (folder / "msp" / "keystore").iterdir()
    (certificate,) = (folder / "msp" / "signcerts").iterdir()
    signer = SigningIdentity.from_pem("Org1MSP", certificate, key)
    signed = []

    def hsm(digest):
        signed.append(digest)
        return signer.sign_digest(digest)

    with connect(path, identity=signer.identity, sign=hsm) as gateway:
        contract = gateway.network("fl").contract("fl")
        contract.submit("participants:Register", '{"name":"by a hook"}')
        assert json.loads(contract.evaluate("participants:Read", "Org1MSP"))["name"] == "by a hook"
    assert len(signed) == 4, "proposal, transaction, commit status; and the query"
