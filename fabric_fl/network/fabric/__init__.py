"""Hyperledger Fabric's own programs, run natively: everything that they read is rendered from consortium.yaml."""
