import pytest
from ccaas_tls import issue

from fabric_ccaas import ConfigError, ServerConfig, TLSConfig

SETTINGS = {"CHAINCODE_ID": "fl_1.0:ab", "CHAINCODE_SERVER_ADDRESS": "0.0.0.0:9999"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    return issue(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return issue(tmp_path_factory.mktemp("tls"), "other")


def test_the_two_settings_that_fabric_documents_are_enough():
    config = ServerConfig.from_env(SETTINGS)

    assert (config.chaincode_id, config.address, config.tls) == ("fl_1.0:ab", "0.0.0.0:9999", None)


def test_fabrics_other_name_for_the_id_is_as_good():
    environ = {"CORE_CHAINCODE_ID_NAME": "fl_1.0:cd", "CHAINCODE_SERVER_ADDRESS": "[::1]:9999"}

    assert ServerConfig.from_env(environ).chaincode_id == "fl_1.0:cd"
    with pytest.raises(ConfigError, match="CHAINCODE_ID and CORE_CHAINCODE_ID_NAME contradict each other"):
        ServerConfig.from_env(SETTINGS | environ)


@pytest.mark.parametrize("missing", ["CHAINCODE_ID", "CHAINCODE_SERVER_ADDRESS"])
def test_a_missing_setting_is_named(missing):
    with pytest.raises(ConfigError, match=f"^{missing} is not set: [^\n]*$"):
        ServerConfig.from_env({**SETTINGS, missing: ""})


@pytest.mark.parametrize("address", ["9999", ":9999", "host:", "host:http", "host:65536", "host:-1", "host:٣"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(ConfigError, match="must be host:port"):
        ServerConfig.from_env(SETTINGS | {"CHAINCODE_SERVER_ADDRESS": address})


@pytest.mark.parametrize("key", ["CHAINCODE_TLS_KEY", "CHAINCODE_TLS_KEY_FILE", "CORE_CHAINCODE_TLS_KEY_FILE"])
@pytest.mark.parametrize("cert", ["CHAINCODE_TLS_CERT", "CHAINCODE_TLS_CERT_FILE", "CORE_CHAINCODE_TLS_CERT_FILE"])
@pytest.mark.parametrize("disabled", [{}, {"CHAINCODE_TLS_DISABLED": "false"}])
def test_every_documented_name_turns_tls_on(server, key, cert, disabled):
    tls = TLSConfig.from_env({key: str(server.key_file), cert: str(server.cert_file)} | disabled)

    assert (tls.key, tls.cert, tls.client_ca) == (server.key_pem, server.cert_pem, None)


def test_a_setting_may_hold_the_pem_text_itself(server, other):
    tls = TLSConfig.from_env(
        {
            "CHAINCODE_TLS_KEY": server.key_pem.decode(),
            "CHAINCODE_TLS_CERT": server.cert_pem.decode(),
            "CHAINCODE_CLIENT_CA_CERT": other.ca_pem.decode(),
        }
    )

    assert (tls.key, tls.cert, tls.client_ca) == (server.key_pem, server.cert_pem, other.ca_pem)


def test_the_key_is_in_no_repr(server):
    tls = TLSConfig(server.key_pem, server.cert_pem)

    assert "PRIVATE" not in repr(ServerConfig("id", "host:1", tls))


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "t"])
def test_tls_is_off_when_it_is_disabled(value):
    assert TLSConfig.from_env({"CHAINCODE_TLS_DISABLED": value}) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"CHAINCODE_TLS_DISABLED": "true"}, "CHAINCODE_TLS_DISABLED is true although CHAINCODE_TLS_KEY is set"),
        ({"CHAINCODE_TLS_DISABLED": "no"}, "CHAINCODE_TLS_DISABLED is neither true nor false"),
        ({"CHAINCODE_TLS_CERT": ""}, "CHAINCODE_TLS_CERT is not set"),
        ({"CHAINCODE_TLS_KEY": ""}, "CHAINCODE_TLS_KEY is not set"),
        ({"CHAINCODE_TLS_KEY": "/nowhere.pem"}, "CHAINCODE_TLS_KEY names /nowhere.pem, which cannot be read: No such"),
        ({"CHAINCODE_TLS_KEY_FILE": "/other.pem"}, "CHAINCODE_TLS_KEY and CHAINCODE_TLS_KEY_FILE contradict"),
        ({"CHAINCODE_TLS_KEY": "-----BEGIN nothing"}, "CHAINCODE_TLS_KEY holds no unencrypted private key in PEM"),
        ({"CHAINCODE_TLS_CERT": "-----BEGIN nothing"}, "CHAINCODE_TLS_CERT holds no X.509 certificate in PEM"),
        ({"CHAINCODE_CLIENT_CA_CERT": "-----BEGIN"}, "CHAINCODE_CLIENT_CA_CERT holds no X.509 certificate in PEM"),
    ],
)
def test_a_contradiction_stops_with_a_sentence(server, change, sentence):
    environ = {"CHAINCODE_TLS_KEY": str(server.key_file), "CHAINCODE_TLS_CERT": str(server.cert_file)} | change

    with pytest.raises(ConfigError) as stopped:
        TLSConfig.from_env(environ)
    assert sentence in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_a_key_that_is_not_the_certificates_stops_with_a_sentence(server, other):
    with pytest.raises(ConfigError, match="is not the key of the certificate"):
        TLSConfig(other.key_pem, server.cert_pem)


def test_disabled_without_a_key_says_what_is_missing():
    with pytest.raises(ConfigError, match="CHAINCODE_TLS_KEY is not set"):
        TLSConfig.from_env({"CHAINCODE_TLS_DISABLED": "false"})
