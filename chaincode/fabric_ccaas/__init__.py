"""Chaincode as a service for Python."""
