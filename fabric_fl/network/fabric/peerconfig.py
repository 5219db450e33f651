"""core.yaml of a peer."""

from __future__ import annotations

from typing import Any

import yaml

from fabric_fl.network.fabric.topology import Peer, Topology, listen_host

# Gossip as Fabric ships it makes the first transaction across organisations wait 26 s; with these settings, 0.03 s.
_GOSSIP = {
    "reconnectInterval": "1s",
    "membershipTrackerInterval": "1s",
    "aliveTimeInterval": "500ms",
    "publishStateInfoInterval": "500ms",
    "requestStateInfoInterval": "500ms",
    "aliveExpirationTimeout": "5s",
    # every peer pulls its blocks from the orderers itself
    "useLeaderElection": False,
    "orgLeader": True,
    "state": {"enabled": False},
    # what an organisation approves is private data of its own, which its peers hand on to each other; Fabric's values,
    # because it has no defaults for them
    "pvtData": {
        "pullRetryThreshold": "60s",
        "transientstoreMaxBlockRetention": 20000,
        "pushAckTimeout": "3s",
        "btlPullMargin": 10,
        "reconcileBatchSize": 10,
        "reconcileSleepInterval": "1m",
        "reconciliationEnabled": True,
        "skipPullingInvalidTransactionsDuringCommit": False,
        "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
    },
}
_MESSAGE_BYTES = 100 * 1024 * 1024


def render(peer: Peer, topology: Topology, directory: str, builder: str) -> str:
    """Returns core.yaml.

    Args:
        peer: The peer that reads it.
        topology: For the other peers of its organisation.
        directory: The peer's own, where its identity and its data lie.
        builder: Directory of the external builder.
    """
    return yaml.safe_dump(settings(peer, topology, directory, builder), sort_keys=False)


def settings(peer: Peer, topology: Topology, directory: str, builder: str) -> dict[str, Any]:
    """Returns what core.yaml says."""
    address = str(peer.address)
    siblings = [str(one.address) for one in topology.peers_of(peer.organisation) if one != peer]
    return {
        "peer": {
            "id": peer.name,
            "networkId": "fabric-fl",
            "listenAddress": f"{listen_host(peer.address)}:{peer.address.port}",
            "address": address,
            # for chaincode that the peer starts itself, of which there is none
            "chaincodeListenAddress": "127.0.0.1:0",
            "localMspId": peer.msp_id,
            "localMspType": "bccsp",
            "mspConfigPath": f"{directory}/msp",
            "fileSystemPath": f"{directory}/data",
            "BCCSP": {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256}},
            "tls": {
                "enabled": True,
                "clientAuthRequired": False,
                "cert": {"file": f"{directory}/tls/server.crt"},
                "key": {"file": f"{directory}/tls/server.key"},
                "rootcert": {"file": f"{directory}/tls/ca.crt"},
            },
            "authentication": {"timewindow": "15m"},
            "gateway": {
                "enabled": True,
                "endorsementTimeout": "30s",
                "broadcastTimeout": "30s",
                "dialTimeout": "30s",
            },
            "gossip": {
                **_GOSSIP,
                "bootstrap": " ".join(siblings) or address,
                "endpoint": address,
                "externalEndpoint": address,
            },
            "discovery": {
                "enabled": True,
                "authCacheEnabled": True,
                "authCacheMaxSize": 1000,
                "authCachePurgeRetentionRatio": 0.75,
                "orgMembersAllowedAccess": False,
            },
            "keepalive": {
                "interval": "7200s",
                "timeout": "20s",
                "minInterval": "10s",
                "client": {"interval": "60s", "timeout": "20s"},
                "deliveryClient": {"interval": "60s", "timeout": "20s"},
            },
            # an orderer that comes back is found again within two seconds
            "deliveryclient": {
                "connTimeout": "3s",
                "minimalReconnectInterval": "100ms",
                "reConnectBackoffThreshold": "2s",
                "reconnectTotalTimeThreshold": "3600s",
                "blockCensorshipTimeoutKey": "30s",
                "policy": "cluster",
            },
            "handlers": {
                "authFilters": [{"name": "DefaultAuth"}, {"name": "ExpirationCheck"}, {"name": "TimeWindowCheck"}],
                "decorators": [{"name": "DefaultDecorator"}],
                "endorsers": {"escc": {"name": "DefaultEndorsement"}},
                "validators": {"vscc": {"name": "DefaultValidation"}},
            },
            "limits": {"concurrency": {"endorserService": 2500, "deliverService": 2500, "gatewayService": 500}},
            "maxRecvMsgSize": _MESSAGE_BYTES,
            "maxSendMsgSize": _MESSAGE_BYTES,
        },
        "vm": {"endpoint": ""},
        "chaincode": {
            "externalBuilders": [
                {"name": "fabric-fl-ccaas", "path": builder, "propagateEnvironment": ["FABRIC_FL_CCAAS"]},
            ],
            "installTimeout": "60s",
            # a process that registers under another id is noticed after this time
            "startuptimeout": "10s",
            "executetimeout": "30s",
            "mode": "net",
            "keepalive": 0,
            "system": {"_lifecycle": "enable", "cscc": "enable", "lscc": "enable", "qscc": "enable"},
            "logging": {"level": "info", "shim": "warning"},
            "runtimeParams": {
                "useWriteBatch": True,
                "maxSizeWriteBatch": 1000,
                "useGetMultipleKeys": True,
                "maxSizeGetMultipleKeys": 1000,
            },
        },
        "ledger": {
            "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100_000},
            "history": {"enableHistoryDatabase": True},
            "pvtdataStore": {
                "collElgProcMaxDbBatchSize": 5000,
                "collElgProcDbBatchesInterval": 1000,
                "deprioritizedDataReconcilerInterval": "60m",
                "purgeInterval": 100,
                "purgedKeyAuditLogging": True,
            },
            "snapshots": {"rootDir": f"{directory}/snapshots"},
        },
        "operations": {"listenAddress": str(peer.operations), "tls": {"enabled": False}},
        "metrics": {"provider": "prometheus"},
    }
