"""Bytes that are no message, to every method: INTERNAL, in the words of gRPC for Go."""

import grpc
import pytest

UNARY = "grpc: error unmarshalling request: "
STREAM = "grpc: failed to unmarshal the received message: "


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/gateway.Gateway/Evaluate", UNARY),
        ("/gateway.Gateway/Endorse", UNARY),
        ("/gateway.Gateway/Submit", UNARY),
        ("/gateway.Gateway/CommitStatus", UNARY),
        ("/gateway.Gateway/ChaincodeEvents", STREAM),
        ("/protos.Endorser/ProcessProposal", UNARY),
        ("/protos.Deliver/Deliver", STREAM),
        ("/protos.Deliver/DeliverFiltered", STREAM),
    ],
)
@pytest.mark.parametrize(
    "data", [b"\xff\xff", b"\x0b" * 10_000, b"\x0a\x80\x80\x80\x80\x08"], ids=["noise", "groups", "length"]
)
def test_what_cannot_be_parsed_is_an_internal_error(network, path, text, data):
    call = network.organisations[0].channel.stream_stream(path)(iter([data]), timeout=15)
    with pytest.raises(grpc.RpcError) as refused:
        list(call)
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert refused.value.details().startswith(text)
