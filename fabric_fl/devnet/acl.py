"""Who may ask for what: Fabric's default access control (``core/aclmgmt/defaultaclprovider.go``)."""

from __future__ import annotations

from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import InvalidIdentity

READERS = "/Channel/Application/Readers"
WRITERS = "/Channel/Application/Writers"

CHANNEL_RESOURCES = {
    "peer/Propose": WRITERS,
    "peer/ChaincodeToChaincode": WRITERS,
    "event/Block": READERS,
    "event/FilteredBlock": READERS,
    "gateway/CommitStatus": READERS,
    "gateway/ChaincodeEvents": READERS,
    "qscc/GetChainInfo": READERS,
    "qscc/GetBlockByNumber": READERS,
    "qscc/GetBlockByHash": READERS,
    "qscc/GetTransactionByID": READERS,
    "qscc/GetBlockByTxID": READERS,
    "cscc/GetConfigBlock": READERS,
    "cscc/GetChannelConfig": READERS,
    "_lifecycle/CommitChaincodeDefinition": WRITERS,
    "_lifecycle/QueryChaincodeDefinition": WRITERS,
    "_lifecycle/QueryChaincodeDefinitions": WRITERS,
    "_lifecycle/CheckCommitReadiness": WRITERS,
}
"""Resources that a policy of the channel guards."""

LOCAL_RESOURCES = {
    "cscc/GetChannels": "Members",
    "cscc/JoinChain": "Admins",
    "cscc/JoinChainBySnapshot": "Admins",
    "cscc/JoinBySnapshotStatus": "Admins",
    "_lifecycle/InstallChaincode": "Admins",
    "_lifecycle/QueryInstalledChaincode": "Admins",
    "_lifecycle/GetInstalledChaincodePackage": "Admins",
    "_lifecycle/QueryInstalledChaincodes": "Admins",
    "_lifecycle/ApproveChaincodeDefinitionForMyOrg": "Admins",
    "_lifecycle/QueryApprovedChaincodeDefinition": "Admins",
    "_lifecycle/QueryApprovedChaincodeDefinitions": "Admins",
}
"""Resources of one peer, for members or administrators of its own organisation."""

_LOCAL_ROLES = {"Members": "member", "Admins": "admin"}


class AccessDenied(Exception):  # noqa: N818 -- says what is the matter
    """A signature that is not good enough for what it asks."""


class ACL:
    """One peer's access control on one channel.

    Args:
        config: The channel's configuration.
        local_msp_id: The peer's organisation.
        signatures: Verifies what clients signed.
    """

    def __init__(self, config: ChannelConfig, local_msp_id: str, signatures: SignatureCache) -> None:
        self._config = config
        self._local_msp_id = local_msp_id
        self._signatures = signatures

    def check(self, resource: str, signed: SignedData) -> None:
        """Checks a request that somebody signed.

        Raises:
            AccessDenied: Nobody may do this, or not the signer.
        """
        if resource in LOCAL_RESOURCES:
            self._check_local(LOCAL_RESOURCES[resource], signed)
        elif resource in CHANNEL_RESOURCES:
            self.check_policy(CHANNEL_RESOURCES[resource], signed)
        else:
            raise AccessDenied(f"Unmapped policy for {resource}")

    def check_policy(self, path: str, signed: SignedData) -> None:
        """Checks a request against a policy of the channel.

        Raises:
            AccessDenied: The signer does not satisfy it.
        """
        if not self._config.evaluate(path, self._signatures.valid_identities([signed])):
            name = path.rpartition("/")[2]
            raise AccessDenied(
                "Failed evaluating policy on signed data during check policy on channel "
                f"[{self._config.channel_id}] with policy [{path}]: [implicit policy evaluation failed - 0 "
                f"sub-policies were satisfied, but this policy requires 1 of the '{name}' sub-policies to be satisfied]"
            )

    def _check_local(self, policy: str, signed: SignedData) -> None:
        try:
            identity = self._signatures.deserialize(signed.identity)
        except InvalidIdentity as error:
            raise AccessDenied(
                f"Failed deserializing proposal creator during channelless check policy with policy [{policy}]: "
                f"[{error}]"
            ) from error
        if identity.msp_id != self._local_msp_id:
            raise AccessDenied(
                f"Failed deserializing proposal creator during channelless check policy with policy [{policy}]: "
                f"[expected MSP ID {self._local_msp_id}, received {identity.msp_id}]"
            )
        role = _LOCAL_ROLES[policy]
        if not self._config.msps.satisfies(identity, self._local_msp_id, role):
            raise AccessDenied(
                f"Failed verifying that proposal's creator satisfies local MSP principal during channelless check "
                f"policy with policy [{policy}]: [The identity is not an {role} under this MSP "
                f"[{self._local_msp_id}]: The identity does not contain OU [{role.upper()}], MSP: "
                f"[{self._local_msp_id}]]"
            )
        if not self._signatures.verify(identity, signed.data, signed.signature):
            raise AccessDenied("The signature is invalid")
