#!/bin/sh
# The usual deployment of a chaincode as a service with Fabric's own peer command: nothing here knows of devnet.
#   deploy_ccaas.sh PEER_COMMAND NETWORK_DIRECTORY CHAINCODE ADDRESS SEQUENCE ORGANISATION…     prints the package id
set -eu
peer=$1 network=$2 name=$3 address=$4 sequence=$5
shift 5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '{"address":"%s","dial_timeout":"10s","tls_required":false}' "$address" > "$work/connection.json"
printf '{"type":"ccaas","label":"%s_%s"}' "$name" "$sequence" > "$work/metadata.json"
tar -C "$work" -czf "$work/code.tar.gz" connection.json
tar -C "$work" -czf "$work/$name.tgz" metadata.json code.tar.gz

as_admin_of() {
    . "$network/$1/env"
    CORE_PEER_MSPCONFIGPATH=$network/$1/admin/msp
}

as_admin_of "$1"
id=$("$peer" lifecycle chaincode calculatepackageid "$work/$name.tgz")
orderer="-o $ORDERER_ADDRESS --tls --cafile $ORDERER_CA"
definition="--channelID $CHANNEL --name $name --version $sequence --sequence $sequence"
peers=
for organisation; do
    as_admin_of "$organisation"
    "$peer" lifecycle chaincode install "$work/$name.tgz" >&2
    "$peer" lifecycle chaincode approveformyorg $orderer $definition --package-id "$id" >&2
    peers="$peers --peerAddresses $CORE_PEER_ADDRESS --tlsRootCertFiles $CORE_PEER_TLS_ROOTCERT_FILE"
done
"$peer" lifecycle chaincode checkcommitreadiness $definition --output json >&2
"$peer" lifecycle chaincode commit $orderer $definition $peers >&2
echo "$id"
