"""What a chaincode answers."""

from dataclasses import dataclass

from fabric_protos.peer import proposal_response_pb2

OK = 200
ERROR_THRESHOLD = 400  # from here on no peer endorses, and nothing is written


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a message for people and a payload for programs.

    Attributes:
        status: 200 for success; from 400 a refusal, from 500 a failure. Peers endorse below 400 only.
        message: Why it was refused.
        payload: The result.
    """

    status: int = OK
    message: str = ""
    payload: bytes = b""

    @classmethod
    def success(cls, payload: bytes = b"") -> "Response":
        return cls(payload=payload)

    @classmethod
    def refusal(cls, message: str, status: int = ERROR_THRESHOLD) -> "Response":
        return cls(status=status, message=message)

    @property
    def endorsable(self) -> bool:
        return self.status < ERROR_THRESHOLD

    def serialize(self) -> bytes:
        text = self.message.encode(errors="replace").decode()  # a lone surrogate would make the answer fail
        message = proposal_response_pb2.Response(status=self.status, message=text, payload=self.payload)
        serialized: bytes = message.SerializeToString()
        return serialized

    @classmethod
    def parse(cls, serialized: bytes) -> "Response":
        message = proposal_response_pb2.Response.FromString(serialized)
        return cls(status=message.status, message=message.message, payload=message.payload)
