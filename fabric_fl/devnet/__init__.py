"""The embedded ledger: one process that speaks Hyperledger Fabric's protocols on loopback."""
