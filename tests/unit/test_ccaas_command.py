import pytest

from fl_chaincode.__main__ import main

SETTINGS = {
    "FL_CONSORTIUM": "Org1MSP,Org2MSP",
    "CHAINCODE_ID": "fl_1.0:ab",
    "CHAINCODE_SERVER_ADDRESS": "127.0.0.1:0",
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"FL_CONSORTIUM": ""},
            "FL_CONSORTIUM is not set: the MSP ids of all organisations, as Org1MSP,Org2MSP,Org3MSP",
        ),
        ({"FL_CONSORTIUM": "Org1MSP,,Org2MSP"}, "FL_CONSORTIUM lists '', which is no MSP id"),
        ({"FL_CONSORTIUM": "Org1MSP, Org1MSP"}, "FL_CONSORTIUM lists Org1MSP twice"),
        ({"CHAINCODE_ID": ""}, "CHAINCODE_ID is not set: the package id, as `peer lifecycle` prints it"),
        ({"CHAINCODE_SERVER_ADDRESS": ""}, "CHAINCODE_SERVER_ADDRESS is not set: where to listen, as 0.0.0.0:9999"),
        (
            {"CHAINCODE_TLS_DISABLED": "false"},
            "TLS needs CHAINCODE_TLS_KEY and CHAINCODE_TLS_CERT, and CHAINCODE_TLS_KEY is not set",
        ),
        (
            {"CHAINCODE_SERVER_ADDRESS": "192.0.2.1:9999"},
            "cannot listen on 192.0.2.1:9999: Cannot assign requested address",
        ),
    ],
)
def test_a_wrong_setting_stops_the_program_with_one_sentence(monkeypatch, capsys, change, sentence):
    for name, value in (SETTINGS | change).items():
        monkeypatch.setenv(name, value)

    assert main([]) == 1
    assert capsys.readouterr().err == f"fl-chaincode: {sentence}\n"


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])

    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    for name in (*SETTINGS, "CHAINCODE_TLS_DISABLED", "CHAINCODE_TLS_KEY", "CHAINCODE_TLS_CERT"):
        assert name in shown
