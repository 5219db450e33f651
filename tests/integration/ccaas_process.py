"""A chaincode process under test: started, waited for until it listens, ended by its own id."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

PROGRAM = (sys.executable, str(Path(__file__).with_name("ccaas_chaincode.py")))
CHAINCODE_ID = "test_1.0:" + "ab" * 32


class ChaincodeProcess:
    """Context manager. Its log is in `log`; `address` is where it listens."""

    def __init__(self, overrides=None, env=None, command=PROGRAM, address="127.0.0.1:0"):
        clean = {name: value for name, value in os.environ.items() if "CHAINCODE" not in name and "GRPC" not in name}
        settings = {"CHAINCODE_ID": CHAINCODE_ID, "CHAINCODE_SERVER_ADDRESS": address} | (env or {})
        arguments = [] if overrides is None else [json.dumps(overrides)]
        self.process = subprocess.Popen(
            [*command, *arguments], env=clean | settings, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.address = None
        self._lines = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self):
        self._listening.wait(20)
        if self.address is None:
            self.__exit__()
            raise AssertionError(f"the chaincode does not listen:\n{self.log}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.wait()

    def wait(self, timeout=10):
        """Return its exit status once it has ended by itself."""
        status = self.process.wait(timeout)
        self._reader.join()
        self.process.stderr.close()
        return status

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    @property
    def log(self):
        return "".join(self._lines)

    def _read(self):
        for line in self.process.stderr:
            self._lines.append(line)
            if found := re.search(r"listens on (\S+)", line):
                self.address = found[1]
                self._listening.set()
        self._listening.set()
