"""The fabric-fl chaincode: the rules of federated learning whose global model is a ledger fact.

`dispatch` is all of it: a pure function of a state, a caller and a call's arguments.
"""

from fl_chaincode.dispatching import Outcome, dispatch
from fl_chaincode.errors import FLError

__all__ = ["FLError", "Outcome", "dispatch"]
