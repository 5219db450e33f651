"""The command `fl-chaincode`: serve the contract to an organisation's peers."""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from fabric_ccaas import ConfigError, ServerConfig, serve
from fl_chaincode.args import MSP_ID
from fl_chaincode.server import FLChaincode

CONSORTIUM = "FL_CONSORTIUM"
HELP = """\
Serve the chaincode fl to an organisation's peers, until SIGTERM.

Everything is set in the environment:
  CHAINCODE_ID              the package id that the peers installed, label:hash
  CHAINCODE_SERVER_ADDRESS  host:port to listen on, as 0.0.0.0:9999
  FL_CONSORTIUM             the MSP ids of the organisations that decide together, separated by commas;
                            the same at every organisation
  CHAINCODE_TLS_DISABLED    true or false; without it TLS is on as soon as a key is set
  CHAINCODE_TLS_KEY         file with this server's private key
  CHAINCODE_TLS_CERT        file with its certificate
  CHAINCODE_CLIENT_CA_CERT  file with the authorities whose clients may connect; without it everybody's may
"""


def read_consortium(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Read the operator's list of organisations.

    Raises:
        ConfigError: It is missing, empty, names one twice or something that is no MSP id.
    """
    names = [name.strip() for name in environ.get(CONSORTIUM, "").split(",")]
    if names == [""]:
        raise ConfigError(f"{CONSORTIUM} is not set: the MSP ids of all organisations, as Org1MSP,Org2MSP,Org3MSP")
    for name in names:
        if not MSP_ID.fullmatch(name):
            raise ConfigError(f"{CONSORTIUM} lists {name!r}, which is no MSP id")
        if names.count(name) > 1:
            raise ConfigError(f"{CONSORTIUM} lists {name} twice")
    return tuple(names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop.

    Returns:
        The exit status: 0 after an orderly end, 1 for a setting that is missing or wrong.
    """
    parser = argparse.ArgumentParser(
        prog="fl-chaincode", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(FLChaincode(read_consortium(os.environ)), ServerConfig.from_env(os.environ))
    except ConfigError as error:
        print(f"fl-chaincode: {error}", file=sys.stderr)  # noqa: T201 - for the operator, not for the log
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
