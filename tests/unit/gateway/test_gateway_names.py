"""What the package exports, and that its errors tell what to do."""

import fabric_fl.errors
import fabric_fl.gateway
from fabric_fl.errors import FabricFLError
from fabric_fl.gateway import errors

STEPS = [
    errors.EvaluateError,
    errors.EndorseError,
    errors.SubmitError,
    errors.CommitStatusError,
    errors.CommitError,
    errors.EventsError,
]


def test_the_exported_names_are_these_and_exist():
    names = fabric_fl.gateway.__all__
    assert sorted(names) == names
    assert {"Gateway", "Network", "Contract", "Proposal", "Transaction", "SubmittedTransaction", "Commit", "Status"} < {
        *names
    }
    assert all(hasattr(fabric_fl.gateway, name) for name in names)


def test_each_step_has_an_error_with_a_code_and_a_remedy_of_its_own():
    for error in (*STEPS, errors.NotSignedError):
        assert issubclass(error, FabricFLError)
        assert error.remedy != FabricFLError.remedy
        assert error.__name__ in fabric_fl.errors.__doc__
    assert all(issubclass(error, errors.GatewayError) for error in STEPS)
    codes = [error.code for error in (*STEPS, errors.NotSignedError, errors.GatewayError)]
    assert len(set(codes)) == len(codes)
