"""Federated learning whose global model is a ledger fact."""
