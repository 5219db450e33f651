"""Networks to run on: started, watched and ended the same way whatever ledger stands below."""

from fabric_fl.network.consortium import Address, Batch, Consortium, Organisation, Versions
from fabric_fl.network.consortiumfile import load_consortium
from fabric_fl.network.errors import (
    ConsortiumError,
    DockerError,
    EngineError,
    ExchangeError,
    NetworkChangedError,
    NetworkError,
    NoNetworkError,
    NotReadyError,
    OthersAwaitedError,
    PortTakenError,
)
from fabric_fl.network.lifecycle import NetworkStatus, RunningNetwork, down, log_command, restart, status, up
from fabric_fl.network.plan import ExternalChaincode, Plan

__all__ = [
    "Address",
    "Batch",
    "Consortium",
    "ConsortiumError",
    "DockerError",
    "EngineError",
    "ExchangeError",
    "ExternalChaincode",
    "NetworkChangedError",
    "NetworkError",
    "NetworkStatus",
    "NoNetworkError",
    "NotReadyError",
    "Organisation",
    "OthersAwaitedError",
    "Plan",
    "PortTakenError",
    "RunningNetwork",
    "Versions",
    "down",
    "load_consortium",
    "log_command",
    "restart",
    "status",
    "up",
]
