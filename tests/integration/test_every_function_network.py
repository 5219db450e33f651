"""Every function of the contract, called through gateways on both engines; whatever writes is called three times.

Twice at once, so that both transactions were endorsed on the same state, and once more afterwards: it acts once. On
devnet the two are ordered in one block; on Fabric the orderer decides. An auditor then asks every question with
Fabric's own command line, where there is one.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from fabric_programs import needs_fabric
from fabric_protos.gateway import gateway_pb2
from waiting import wait_for

sys.path.append(str(Path(__file__).parents[1] / "contract"))  # what is called is the contract's

from contract_scenario import argument
from every_call import THREE, ask_everything, call_everything
from market_scenario import Market
from network_scenario import GatewayScenario, one_block

from fabric_fl.fabric import protoutil
from fabric_fl.fabric.ledger.rwset import TxRWSet
from fabric_fl.gateway import connect
from fabric_fl.gateway.commit import Status
from fabric_fl.gateway.network import Network as Channel
from fabric_fl.gateway.transaction import Transaction
from fabric_fl.network import Consortium, lifecycle
from fabric_fl.network.engine import find_program
from fabric_fl.testing import Network
from fl_chaincode.functions import FUNCTIONS

Order: TypeAlias = Callable[[Sequence[Transaction]], list[Status]]
"""Has transactions ordered, and returns what became of them when every organisation's peer has them."""
BLIND = "rounds:Vote"  # reads nothing that another vote writes: repeated, it writes the same again


PEER = find_program("peer", os.environ)


@contextmanager
def on_devnet(home: Path) -> Iterator[tuple[dict[str, Channel], Order]]:
    with Network(3, directory=home) as network, ExitStack() as stack:
        channels = {
            who: stack.enter_context(network.gateway(name)).network(network.channel)
            for who, name in zip(THREE, network.names, strict=True)
        }
        yield channels, partial(one_block, network)


@contextmanager
def on_fabric(home: Path) -> Iterator[tuple[dict[str, Channel], Order]]:
    try:
        running = lifecycle.up(Consortium.default(3).on_free_ports(), home=home, engine="fabric")
        with ExitStack() as stack:
            folders = zip(THREE, running.profiles(), strict=True)
            channels = {who: stack.enter_context(connect(folder)).network("fl") for who, folder in folders}

            def order(transactions: Sequence[Transaction]) -> list[Status]:
                found = [one.status() for one in [each.submit() for each in transactions]]
                height = 1 + max(one.block_number for one in found)
                for channel in channels.values():  # other organisations' peers have a block a little later
                    wait_for(lambda channel=channel: channel.height() >= height)
                return found

            yield channels, order
    finally:
        lifecycle.down(home, wipe=True)


def writes(transaction: Transaction) -> dict[str, bytes]:
    """What a transaction would write, by key; b"" for a deletion."""
    envelope = gateway_pb2.PreparedTransaction.FromString(transaction.get_bytes()).envelope
    action = protoutil.unpack_transaction(protoutil.unpack_envelope(envelope).payload.data).chaincode_action
    return {one.key: one.value for part in TxRWSet.parse(action.results).namespaces for one in part.kv.writes}


class ThreeTimes(GatewayScenario, Market):
    """Makes every call three times, of which only the first acts.

    Attributes:
        called: The functions that were called with success.
    """

    def __init__(self, channels: Mapping[str, Channel], order: Order) -> None:
        self.order = order
        self.called: set[str] = set()
        super().__init__({who: channel.contract("fl") for who, channel in channels.items()})
        self.stock()

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        call = (who, function, *arguments)
        pair = self.endorsed([call, call])
        assert writes(pair[0]) == writes(pair[1])
        first, second = (one.name for one in self.order(pair))
        assert first == "VALID", f"{function}: {first}"
        blind = function == BLIND or not writes(pair[0])
        assert second == ("VALID" if blind else "MVCC_READ_CONFLICT"), f"{function}: {second}"
        (third,) = self.endorsed([call])
        assert third.result == pair[0].result
        assert writes(third) == (writes(pair[0]) if function == BLIND else {})
        assert self.order([third])[0].successful
        self.called.add(function)
        return json.loads(third.result)

    def read(self, function: str, *arguments: Any) -> Any:
        answer = self.contracts[THREE[0]].evaluate(function, *map(argument, arguments))
        self.called.add(function)
        return json.loads(answer)


class Auditor:
    """Asks with the stock CLI, as whoever has read an organisation's env file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, function: str, *arguments: Any) -> Any:
        call = json.dumps({"Args": [function, *map(argument, arguments)]})
        command = shlex.join([str(PEER), "chaincode", "query", "-C", "fl", "-n", "fl", "-c", call])
        script = f". {shlex.quote(str(self._folder / 'env'))} && exec {command}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.mark.parametrize("engine", [on_devnet, pytest.param(on_fabric, marks=needs_fabric)])
def test_every_function_answers_and_acts_once(engine, tmp_path):
    home = tmp_path / ".network"
    with engine(home) as (channels, order):
        one = ThreeTimes(channels, order)
        call_everything(one)
        ask_everything(one)
        if PEER is not None:
            ask_everything(Auditor(home / "org3"))
    assert one.called == set(FUNCTIONS)
