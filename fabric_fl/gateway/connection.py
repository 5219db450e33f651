"""Connections as an organisation's profile describes them."""
