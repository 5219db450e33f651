"""The contract with two more functions, for measuring: one that does nothing, one that fills an account. Run it.

Noop() answers and writes nothing. Fill(owner, first, count) writes so many entries of one token each.
"""

import os

from fabric_ccaas import Response, ServerConfig, Stub, serve
from fl_chaincode import tokens
from fl_chaincode.server import FLChaincode


class Measured(FLChaincode):
    def invoke(self, stub: Stub) -> Response:
        function, *arguments = stub.parameters
        if function == "Fill":
            owner, first, count = arguments[0], int(arguments[1]), int(arguments[2])
            for number in range(first, first + count):
                entry = tokens.entry(owner, 1, f"filled/{number}", "payment")
                stub.put_state(entry.key, entry.encode())
        return Response.success(b"") if function in ("Noop", "Fill") else super().invoke(stub)


if __name__ == "__main__":
    serve(Measured(os.environ["FL_CONSORTIUM"].split(",")), ServerConfig.from_env(os.environ))
