"""Every error of the SDK: drawn in one place, with a code and a remedy."""

import importlib
import pkgutil
import re

import pytest

import fabric_fl
import fabric_fl.errors
from fabric_fl.errors import FabricFLError

# Importing these starts TensorFlow or a program.
LEFT_OUT = re.compile(r"tff|__main__")


def drawn():
    """Return each class in the docstring's tree with its parent's name."""
    parents, tree = ["FabricFLError"], {}
    for line in fabric_fl.errors.__doc__.splitlines():
        found = re.match(r"^    ((?:│   |    )*)[├└]── (\w+)", line)
        if found:
            depth = len(found[1]) // 4 + 1
            tree[found[2]] = parents[depth - 1]
            parents[depth:] = [found[2]]
    return tree


def all_errors(base=FabricFLError):
    for error in base.__subclasses__():
        if error.__module__.startswith("fabric_fl."):
            yield error
            yield from all_errors(error)


@pytest.fixture(scope="module")
def errors():
    for module in pkgutil.walk_packages(fabric_fl.__path__, "fabric_fl."):
        if not LEFT_OUT.search(module.name):
            importlib.import_module(module.name)
    return list(all_errors())


def test_the_tree_in_the_docstring_is_the_tree_of_classes(errors):
    assert drawn() == {error.__name__: error.__mro__[1].__name__ for error in errors}


def test_every_error_that_is_raised_has_a_code_of_its_own(errors):
    codes = {}
    for error in errors:
        if error.__name__ != "LearningError":  # its kinds are raised, and they have codes
            codes.setdefault(error.code, []).append(error.__name__)
    assert {code: names for code, names in codes.items() if len(names) > 1} == {}
    assert FabricFLError.code not in codes
    assert all(re.fullmatch(r"FL(-[A-Z0-9]+)+", code) for code in codes)


def test_an_error_reads_as_its_code_and_message_and_keeps_its_remedy():
    error = FabricFLError("the disk is full", code="FL-STORE-FULL", remedy="Free space.")
    assert (str(error), error.remedy) == ("FL-STORE-FULL: the disk is full", "Free space.")
    assert FabricFLError("x").code == "FL-ERROR"
