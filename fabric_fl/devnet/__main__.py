"""``python -m fabric_fl.devnet``: a devnet in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.config import ChaincodeConfig, DevnetConfig, InvalidConfig
from fabric_fl.devnet.node import Devnet, PortTaken
from fabric_fl.devnet.storage import Storage
from fabric_fl.fabric.ledger.kvledger import KVLedger, LedgerCorrupt, LedgerInUse


def main(arguments: list[str] | None = None) -> int:
    """Runs a devnet; returns the process's exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
    try:
        config = _config(options)
        if options.rebuild_dbs:
            return _rebuild(config)
        asyncio.run(_run(config, options.ready_file))
    except (InvalidConfig, PortTaken, LedgerInUse, LedgerCorrupt) as error:
        print(f"devnet: {error}", file=sys.stderr)  # noqa: T201 -- a command
        return 1
    return 0


def _is_news(record: logging.LogRecord) -> bool:
    """Drops what gRPC has to say, at length, about clients that left while they were answered or that sent nonsense."""
    return not record.getMessage().startswith(("ExecuteBatchError raised in core", "Invalid encoding on"))


async def _run(config: DevnetConfig, ready_file: Path | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with Devnet(config) as devnet:
        _announce(devnet, ready_file)
        await stopped.wait()


def _rebuild(config: DevnetConfig) -> int:
    """Makes state, history and index anew from the blocks, and says whether they were what they are now."""
    folder = Storage(config.state).ledger if config.state is not None and config.state.is_dir() else None
    if folder is None or not folder.is_dir():
        raise InvalidConfig(f"there is no ledger in {config.state or 'memory'} to be rebuilt")
    ledger = KVLedger.open(folder, config.channel)
    try:
        before = ledger.state_hash()
        ledger.verify_chain()
        ledger.rebuild_state()
        after = ledger.state_hash()
        result = {"height": ledger.height, "state_hash": after.hex(), "unchanged": before == after}
    finally:
        ledger.close()
    print(json.dumps(result))  # noqa: T201 -- what the command is asked for
    return 0


def _announce(devnet: Devnet, ready_file: Path | None) -> None:
    ready: dict[str, Any] = {
        "ready": True,
        "pid": os.getpid(),
        "channel": devnet.config.channel,
        "orderer": devnet.orderer_address,
        "control": devnet.control_port or None,
        "organisations": [
            {
                "name": each.name,
                "msp_id": each.msp_id,
                "peer": each.peer,
                "ca": f"https://{each.ca}",
                "directory": str(each.directory),
            }
            for each in devnet.endpoints
        ],
    }
    line = json.dumps(ready)
    if ready_file is None:
        print(line, flush=True)  # noqa: T201 -- what the command is asked for
    else:
        temporary = ready_file.with_suffix(".part")
        temporary.write_text(line + "\n")
        temporary.replace(ready_file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fabric_fl.devnet", description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, help="configuration file; instead of the flags below")
    parser.add_argument("--home", type=Path, help="folder of the client files, and of keys and ledger")
    parser.add_argument("--orgs", type=int, default=2, help="how many organisations (default: 2)")
    parser.add_argument(
        "--chaincode",
        action="append",
        default=[],
        metavar="NAME@ORG=ADDRESS",
        help="a chaincode process of an organisation, such as fl@org1=127.0.0.1:7052; may be repeated",
    )
    parser.add_argument("--endorsement", default="majority", help="majority, all, any or a policy in Fabric's language")
    parser.add_argument("--once", action="store_true", help="run a chaincode once for all endorsers")
    parser.add_argument("--memory", action="store_true", help="keep nothing")
    parser.add_argument(
        "--rebuild-dbs",
        action="store_true",
        help="start nothing: make state, history and index anew from the blocks, and tell the state's hash",
    )
    parser.add_argument("--control-port", type=int, help="loopback port of the control interface for faults")
    parser.add_argument("--ready-file", type=Path, help="where to write the line that says it is ready")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return parser


def _config(options: argparse.Namespace) -> DevnetConfig:
    if options.config is not None:
        try:
            return DevnetConfig.from_json(options.config.read_text())
        except OSError as error:
            raise InvalidConfig(f"{options.config}: {error.strerror}") from error
    if options.home is None:
        raise InvalidConfig("a configuration file or --home is needed")
    return DevnetConfig.default(
        options.home,
        options.orgs,
        memory=options.memory,
        chaincodes=_chaincodes(options.chaincode),
        endorsement=options.endorsement,
        execution="once" if options.once else "organisation",
        control_port=options.control_port,
    )


def _chaincodes(texts: list[str]) -> tuple[ChaincodeConfig, ...]:
    servers: dict[str, dict[str, ChaincodeServer]] = {}
    for text in texts:
        name, _, rest = text.partition("@")
        organization, _, address = rest.partition("=")
        if not (name and organization.startswith("org") and organization[3:].isdecimal() and address):
            raise InvalidConfig(f"--chaincode {text}: NAME@ORG=ADDRESS is needed, such as fl@org1=127.0.0.1:7052")
        servers.setdefault(name, {})[f"Org{organization[3:]}MSP"] = ChaincodeServer(address)
    return tuple(ChaincodeConfig(name, addresses) for name, addresses in servers.items())


if __name__ == "__main__":
    sys.exit(main())
