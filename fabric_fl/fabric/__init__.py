"""What Fabric's clients and peers share: signatures, identities, messages, certificate authorities."""
