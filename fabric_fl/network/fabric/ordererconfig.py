"""orderer.yaml of an orderer."""

from __future__ import annotations

from typing import Any

import yaml

from fabric_fl.network.fabric.topology import Orderer, listen_host

_MESSAGE_BYTES = 100 * 1024 * 1024


def render(orderer: Orderer, directory: str) -> str:
    """Returns orderer.yaml; `directory` is the orderer's own, where its identity and its data lie."""
    return yaml.safe_dump(settings(orderer, directory), sort_keys=False)


def settings(orderer: Orderer, directory: str) -> dict[str, Any]:
    """Returns what orderer.yaml says."""
    certificate, key = f"{directory}/tls/server.crt", f"{directory}/tls/server.key"
    roots = [f"{directory}/tls/ca.crt"]
    return {
        "General": {
            "ListenAddress": listen_host(orderer.address),
            "ListenPort": orderer.address.port,
            "TLS": {
                "Enabled": True,
                "PrivateKey": key,
                "Certificate": certificate,
                "RootCAs": roots,
                "ClientAuthRequired": False,
            },
            "Keepalive": {"ServerMinInterval": "10s", "ServerInterval": "7200s", "ServerTimeout": "20s"},
            # the orderers reach each other where clients reach them, with the same certificate
            "Cluster": {"ClientCertificate": certificate, "ClientPrivateKey": key, "SendBufferSize": 100},
            "LocalMSPDir": f"{directory}/msp",
            "LocalMSPID": orderer.msp_id,
            "BCCSP": {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256}},
            "Authentication": {"TimeWindow": "15m"},
            "MaxRecvMsgSize": _MESSAGE_BYTES,
            "MaxSendMsgSize": _MESSAGE_BYTES,
        },
        "FileLedger": {"Location": f"{directory}/data"},
        "Operations": {"ListenAddress": str(orderer.operations), "TLS": {"Enabled": False}},
        "Metrics": {"Provider": "prometheus"},
        "Admin": {
            "ListenAddress": str(orderer.admin),
            "TLS": {
                "Enabled": True,
                "PrivateKey": key,
                "Certificate": certificate,
                "RootCAs": roots,
                "ClientAuthRequired": True,
                "ClientRootCAs": roots,
            },
        },
        "ChannelParticipation": {"Enabled": True, "MaxRequestBodySize": "1 MB"},
        "Consensus": {"WALDir": f"{directory}/data/etcdraft/wal", "SnapDir": f"{directory}/data/etcdraft/snapshot"},
    }
