"""gRPC options of devnet's servers and of its connections to chaincodes."""

from __future__ import annotations

MAX_MESSAGE = 100 * 1024 * 1024
"""Bytes of one message, both ways: Fabric's default."""

SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Without this, a second process would share a port that is taken, and each would get half of the calls.
    ("grpc.so_reuseport", 0),
    # Fabric's clients ping every minute, also without calls; the default would cut them off as abusive.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # A burst of more calls than this is cut off at random; gRPC's default is 1000.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)

CHAINCODE_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Subchannels are shared within a process: another organisation's failed dial would delay this one's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
