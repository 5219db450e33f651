"""What starting, watching and ending a network can fail with.

FabricFLError
└── NetworkError
    ├── ConsortiumError     consortium.yaml says something that cannot be
    ├── EngineError         the engine that was asked for cannot run here
    │   └── DockerError     Docker does not answer, or refused
    ├── PortTakenError      another process listens on a port that the network needs
    ├── NetworkChangedError what was asked for differs from the network that exists
    ├── ExchangeError       what another organisation's machine sent does not fit
    ├── OthersAwaitedError  this machine's part waits for what the others send
    ├── NoNetworkError      there is nothing to show, log or restart
    └── NotReadyError       the network did not endorse in time
"""

from __future__ import annotations

from fabric_fl.errors import FabricFLError


class NetworkError(FabricFLError):
    code = "FL-NETWORK"
    remedy = "`fabric-fl network status` shows what runs, `fabric-fl network logs` what it said."


class ConsortiumError(NetworkError):
    code = "FL-NETWORK-CONSORTIUM"
    remedy = "Correct that line; network/consortium.yaml in the repository is a complete example."


class EngineError(NetworkError):
    code = "FL-NETWORK-ENGINE"
    remedy = "ENGINE=devnet starts the embedded ledger, which needs nothing."


class DockerError(EngineError):
    code = "FL-NETWORK-DOCKER"
    remedy = "Start Docker (its Compose plugin is needed too), or leave FABRIC_RUNTIME out to run without containers."


class PortTakenError(NetworkError):
    code = "FL-NETWORK-PORT"


class NetworkChangedError(NetworkError):
    code = "FL-NETWORK-CHANGED"
    remedy = (
        "Ask for the network that exists, choose another --home, or delete it with `fabric-fl network down --wipe`."
    )


class NoNetworkError(NetworkError):
    code = "FL-NETWORK-NONE"
    remedy = "Start one with `fabric-fl network up`, or name its directory with --home."


class ExchangeError(NetworkError):
    code = "FL-NETWORK-EXCHANGE"
    remedy = "Ask whoever sent it to run `fabric-fl network share` again."


class OthersAwaitedError(NetworkError):
    code = "FL-NETWORK-OTHERS"


class NotReadyError(NetworkError):
    code = "FL-NETWORK-NOT-READY"
