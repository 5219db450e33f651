"""The fabric-fl chaincode."""
