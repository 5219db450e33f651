"""The SDK's exceptions.

Every error carries a stable `code`, and a `remedy` that says what to do about it; commands print both.

    FabricFLError
    ├── AggregationError                 an update set that cannot be aggregated
    ├── BlobError                        a blob whose content is invalid
    ├── BlobStoreError                   a store failed
    │   ├── BlobCorruptError             it has other bytes under the digest
    │   ├── BlobMissingError             it has none
    │   ├── BlobUnavailableError         no store has the blob
    │   ├── BlobUnreachableError         it does not answer
    │   └── StoreFullError               it takes nothing more
    ├── CAError                          a certificate authority refused
    ├── CAMissing                        the extra that speaks to one is not installed
    ├── CAUnavailable                    it does not answer
    ├── CheckpointError                  a reader's position cannot be read
    ├── GatewayError                     a call to the ledger failed
    │   ├── CommitError                  committed as invalid: decide anew
    │   ├── CommitStatusError            sent; whether it was committed is unknown: ask again
    │   ├── EndorseError                 not endorsed; nothing was sent to the orderer
    │   ├── EvaluateError                a query was not answered
    │   ├── EventsError                  a stream of events ended
    │   └── SubmitError                  perhaps not sent: submit the same transaction again
    ├── IdentityExists                   a key would be overwritten
    ├── JournalError                     the private folder cannot be read or written
    ├── LearningError                    training or evaluation cannot go on
    │   ├── DataError                    the organisation's data do not fit
    │   ├── LearningUnavailableError     no TensorFlow Federated here
    │   ├── ModelError                   the task's model cannot be used
    │   └── TrainingError                training diverged
    ├── LedgerFormatError                the contract's answer is of a newer version
    ├── LedgerRefused                    the contract refused, with its own code
    ├── NetworkError                     `fabric-fl network` cannot go on
    │   ├── ConsortiumError              a line of consortium.yaml
    │   ├── EngineError                  no engine, or not the one that was asked for
    │   │   ├── DockerError              Docker does not answer, or refused
    │   │   └── ToolError                one of Fabric's programs failed
    │   ├── ExchangeError                what another organisation's machine sent does not fit
    │   ├── NetworkChangedError          another network exists there
    │   ├── NoNetworkError               no network exists there
    │   ├── NotReadyError                it does not get ready in time
    │   ├── OthersAwaitedError           what other organisations' machines send is not here yet
    │   └── PortTakenError               somebody else listens there
    ├── NotFiniteError                   an update holds NaN or infinity
    ├── NotNamedError                    the task names this organisation neither as trainer nor as validator
    ├── NotSignedError                   no signature was given and nobody can make one
    ├── ProfileError                     an organisation's folder or profile
    ├── TaskFileError                    a line of a task's file
    └── WorkerError                      the process that aggregates
"""

from __future__ import annotations


class FabricFLError(Exception):
    """Base of everything that this SDK raises on purpose.

    Attributes:
        code: Stable identifier. A subclass states its own; an instance may narrow it.
        remedy: One sentence for the person who sees the error.
    """

    code: str = "FL-ERROR"
    remedy: str = "Read the message; the log of the process says more."

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
