"""Every way to lie or to fail that fault_rows.py names, through the real protocol on devnet, and what came of it.

What is compared with docs/verification.md was read off the ledger, the stores and a replay, fault by fault;
UPDATE_FAULTS=1 writes it there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from devnet_tasks import ORGANISATIONS, Tasks, three_organisations
from fabric_protos.common import common_pb2
from fault_rows import FAULTS
from fault_trial import Readings, Trial, versions

from fabric_fl.aggregation import AggregationWorker
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.protoutil import unpack_envelope

PAGE = Path(__file__).parents[2] / "docs" / "verification.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
AT_ONCE = 8


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as running:
        yield running


@pytest.fixture(scope="module")
def readings() -> Iterator[Readings]:
    logger, handler = logging.getLogger("fabric_fl.blobs.reader"), Readings()
    before = logger.level
    logger.setLevel(logging.INFO)  # also where an earlier test has made the logger remember another level
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture(scope="module")
def trials(
    tasks: Tasks, worker: AggregationWorker, readings: Readings, tmp_path_factory: pytest.TempPathFactory
) -> list[Trial]:
    """All faults, each run to its end."""
    folder = tmp_path_factory.mktemp("faults")
    started = [Trial(number, fault, tasks, worker, folder) for number, fault in enumerate(FAULTS, start=1)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert [failure for failure in pool.map(Trial.outcome_of_run, started) if failure] == []
    return started


def test_every_fault_is_detected_and_no_wrong_model_is_committed(
    trials: list[Trial], readings: Readings, record_property
) -> None:
    record_property("count", len(FAULTS))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25
    rows = []
    for trial in trials:
        detected, recorded, outcome = trial.observe(readings)
        rows.append(f"| {trial.fault.name} | {detected} | {recorded} | {outcome} |\n")
        model = trial.ledger.model(trial.task, 1)
        if trial.fault.beyond:
            named = {finding.organisation for finding in trial.findings if finding.organisation}
            assert named == set(trial.fault.lies)
        else:
            assert trial.findings == [], trial.fault.name
            assert trial.rounds[0].recomputed == model.digest
            assert model.included == tuple(trial.fault.included), trial.fault.name
        if "aggregation" in trial.fault.changes:
            assert trial.between_the_honest(model.round, model), trial.fault.name
    table = "| fault | detected by | recorded as | outcome |\n|---|---|---|---|\n" + "".join(rows)
    assert "| nobody |" not in table, table
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    written, _, tail = rest.partition(END)
    if os.environ.get("UPDATE_FAULTS"):
        PAGE.write_text(f"{head}{BEGIN}{table}{END}{tail}")
    else:
        assert table.splitlines() == written.splitlines()


def test_everything_that_was_said_stays_readable_with_the_certificate_of_who_said_it(
    trials: list[Trial], tasks: Tasks
) -> None:
    """Also what was corrected, outvoted or belongs to a round that was run again."""
    creators, corrected, said = {}, 0, 0
    with tasks.network.gateway("org1") as gateway:
        network = gateway.network(tasks.network.channel)
        height = network.height()
        with network.block_events(start_block=0) as blocks:
            for block in blocks:
                if block.header.number == 0:
                    msps = ChannelConfig.from_block(block).msps
                for data in block.data.data if block.header.number else ():
                    envelope = unpack_envelope(data)
                    identity = msps.deserialize(envelope.signature_header.creator)  # vouched for by its root
                    signed = common_pb2.Envelope.FromString(data)
                    assert identity.verify(signed.payload, signed.signature)
                    creators[envelope.channel_header.tx_id] = identity
                if block.header.number == height - 1:
                    break
    for trial in trials:
        for round_ in trial.ledger.rounds(trial.task):
            for organisation in ORGANISATIONS:
                where = f"{trial.task}/{round_.number:08d}/{organisation}"
                results = []
                for kind in ("update", "reveal", "attestation", "opening"):
                    for version in versions(trial.ledger, f"{kind}/{where}"):
                        assert creators[version.transaction].msp_id == organisation, (kind, where)
                        assert creators[version.transaction].role == "client"
                        said += 1
                        results += [version.record["result"]] if kind == "attestation" else []
                corrected += len(set(results)) > 1
    assert said > 10 * len(trials)
    assert corrected >= 1  # both results of who corrected itself are there
