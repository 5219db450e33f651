"""The one message of the chaincode protocol, and how large it may be."""

from typing import Any

from fabric_protos.peer import chaincode_shim_pb2

Message = Any  # protos.ChaincodeMessage; the bindings ship without types
ChaincodeMessage = chaincode_shim_pb2.ChaincodeMessage

MAX_MESSAGE_BYTES = 100 * 1024 * 1024  # the limit of Fabric's own chaincode streams, both ways
MAX_PAYLOAD_BYTES = MAX_MESSAGE_BYTES - 64 * 1024  # leaves room for what surrounds a payload


def type_name(message_type: int) -> str:
    """Returns a kind's name, or the number of one that a later Fabric may know."""
    known = message_type in ChaincodeMessage.Type.values()
    name: str = ChaincodeMessage.Type.Name(message_type) if known else str(message_type)
    return name
