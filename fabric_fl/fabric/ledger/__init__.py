"""A channel's ledger as a peer keeps it: blocks, world state, history, and the checks for conflicts."""
