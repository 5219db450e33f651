"""A client for Fabric's Gateway service, shaped like the official ones for Go, Node and Java.

    with connect(".network/org1") as gateway:
        contract = gateway.network("fl").contract("fl")
        contract.submit("participants:Register", '{"name":"Hospital 1"}')

Gateway → Network → Contract → Proposal → Transaction → SubmittedTransaction → Status: a noun for each step.
"""

from fabric_fl.gateway.block_events import BlockEventsRequest, FilteredBlockEventsRequest
from fabric_fl.gateway.chaincode_events import ChaincodeEvent, ChaincodeEventsRequest
from fabric_fl.gateway.checkpointer import Checkpoint, CheckpointError, FileCheckpointer, InMemoryCheckpointer
from fabric_fl.gateway.commit import Commit, Status, SubmittedTransaction
from fabric_fl.gateway.connection import connect, connect_from_environment, open_channel
from fabric_fl.gateway.contract import Contract
from fabric_fl.gateway.errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    EventsError,
    GatewayError,
    NotSignedError,
    SubmitError,
)
from fabric_fl.gateway.event_stream import EventStream
from fabric_fl.gateway.failover import FailoverChannel
from fabric_fl.gateway.gateway import Gateway
from fabric_fl.gateway.network import Network
from fabric_fl.gateway.proposal import Proposal
from fabric_fl.gateway.signable import Sign
from fabric_fl.gateway.timeouts import Timeouts
from fabric_fl.gateway.transaction import Transaction

__all__ = [
    "BlockEventsRequest",
    "ChaincodeEvent",
    "ChaincodeEventsRequest",
    "Checkpoint",
    "CheckpointError",
    "Commit",
    "CommitError",
    "CommitStatusError",
    "Contract",
    "EndorseError",
    "ErrorDetail",
    "EvaluateError",
    "EventStream",
    "EventsError",
    "FailoverChannel",
    "FileCheckpointer",
    "FilteredBlockEventsRequest",
    "Gateway",
    "GatewayError",
    "InMemoryCheckpointer",
    "Network",
    "NotSignedError",
    "Proposal",
    "Sign",
    "Status",
    "SubmitError",
    "SubmittedTransaction",
    "Timeouts",
    "Transaction",
    "connect",
    "connect_from_environment",
    "open_channel",
]
