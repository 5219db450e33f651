import subprocess
import sys

import pytest
from ccaas_tls import issue

import fabric_ccaas
from fabric_ccaas import ClientIdentity, InvalidArgumentError


def test_an_identity_has_its_msp_name_and_attributes(tmp_path):
    certificate = issue(tmp_path, "ana", attributes={"fl.roles": "trainer,validator", "hf.Type": "client"})

    identity = ClientIdentity("Org1MSP", certificate.cert_pem)

    assert (identity.msp_id, identity.common_name) == ("Org1MSP", "ana")
    assert identity.attributes == {"fl.roles": "trainer,validator", "hf.Type": "client"}


def test_a_certificate_without_attributes_has_none(tmp_path):
    assert ClientIdentity("Org1MSP", issue(tmp_path, "ana").cert_pem).attributes == {}


@pytest.mark.parametrize("attributes", [{"fl.roles": 1}, [], "text"])
def test_attributes_that_are_no_texts_are_refused(tmp_path, attributes):
    identity = ClientIdentity("Org1MSP", issue(tmp_path, "ana", attributes=attributes).cert_pem)

    with pytest.raises(InvalidArgumentError, match="attributes in the creator's certificate cannot be read"):
        _ = identity.attributes


def test_what_is_no_certificate_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"no X\.509 certificate"):
        _ = ClientIdentity("Org1MSP", b"nothing").certificate


def test_the_adapter_knows_nothing_of_federated_learning():
    # It must be of use to any Python chaincode, so it may not even import ours.
    code = "import sys, fabric_ccaas; print([m for m in sys.modules if m.startswith(('fl_', 'fabric_fl'))])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)

    assert shown.stdout == "[]\n"


def test_the_public_names_are_exactly_those_that_are_exported():
    assert set(fabric_ccaas.__all__) == {name for name, value in vars(fabric_ccaas).items() if callable(value)}
