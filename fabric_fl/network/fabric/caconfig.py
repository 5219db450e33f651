"""fabric-ca-server-config.yaml."""

from __future__ import annotations

import yaml

from fabric_fl.network.fabric.topology import Authority, listen_host, names_of

REGISTRAR = "registrar"
CERTIFICATE_HOURS = 8760  # a year, Fabric CA's own default


def render(authority: Authority, secret: str) -> str:
    """Returns the configuration of an organisation's CA.

    Args:
        authority: The CA.
        secret: What its registrar, the only identity that it knows at first, enrols with.
    """
    return yaml.safe_dump(
        {
            "port": authority.address.port,
            "address": listen_host(authority.address),
            # no certificate is named: the CA issues its own for the hosts of csr
            "tls": {"enabled": True},
            "ca": {"name": authority.name},
            "registry": {
                "maxenrollments": -1,
                "identities": [
                    {
                        "name": REGISTRAR,
                        "pass": secret,
                        "type": "client",
                        "affiliation": "",
                        "attrs": {
                            "hf.Registrar.Roles": "*",
                            "hf.Registrar.DelegateRoles": "*",
                            "hf.Registrar.Attributes": "*",
                            "hf.Revoker": True,
                            "hf.GenCRL": True,
                            "hf.AffiliationMgr": True,
                        },
                    }
                ],
            },
            "affiliations": {},
            "db": {"type": "sqlite3", "datasource": "fabric-ca-server.db"},
            "signing": {
                "default": {"usage": ["digital signature"], "expiry": f"{CERTIFICATE_HOURS}h"},
                "profiles": {
                    "tls": {
                        "usage": ["signing", "key encipherment", "server auth", "client auth", "key agreement"],
                        "expiry": f"{CERTIFICATE_HOURS}h",
                    },
                },
            },
            "csr": {
                "cn": authority.name,
                "names": [{"O": authority.organisation}],
                "hosts": list(names_of(authority.address)),
                "ca": {"expiry": "131400h", "pathlength": 0},
            },
            # a wrong secret locks an identity out instead of being tried for ever
            "cfg": {"identities": {"passwordattempts": 10}},
            "operations": {"listenAddress": str(authority.operations)},
        },
        sort_keys=False,
    )
