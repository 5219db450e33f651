"""An organisation's certificate authority: the key that issues, and Fabric CA's REST API in front of it."""
