"""The smallest chaincode that writes: what a ledger costs, and not what a contract does. Run it: it serves itself."""

import os

from fabric_ccaas import Response, ServerConfig, Stub, serve


class KeyValue:
    def invoke(self, stub: Stub) -> Response:
        function, key, *value = stub.parameters
        if function == "Put":
            stub.put_state(key, value[0].encode())
            return Response.success(b"")
        return Response.success(stub.get_state(key) or b"")


if __name__ == "__main__":
    serve(KeyValue(), ServerConfig.from_env(os.environ))
