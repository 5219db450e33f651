"""Refusals in Fabric CA's words: HTTP status, numeric code, message.

Why a caller was not let in is logged here and not told to it, as Fabric CA does.
"""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)

# Fabric CA's numbers (lib/caerrors); only those that this server uses.
UNKNOWN = 0
METHOD_NOT_ALLOWED = 1
NO_AUTHORIZATION = 2
READING_BODY = 3
EMPTY_BODY = 4
BAD_BODY = 5
CERTIFICATE_NOT_FOUND = 8
WRONG_OWNER = 9
REVOKE_ID_NOT_FOUND = 10
MISSING_REVOKE_ARGUMENTS = 15
GETTING_AFFILIATION = 16
CA_NOT_FOUND = 19
AUTHENTICATION = 20
BAD_CSR = 31
INVALID_REVOKED_AFTER = 36
INVALID_EXPIRED_AFTER = 37
ADD_IDENTITY = 52
REMOVE_IDENTITY = 56
MODIFYING_IDENTITY = 58
ADD_AFFILIATION = 60
REMOVE_AFFILIATION = 61
NOT_FOUND = 63
MODIFY_AFFILIATION = 64
ALREADY_REVOKED = 66
GETTING_CERTIFICATE = 67
AUTHORIZATION = 71
PASSWORD_ATTEMPTS = 73
DUPLICATE_IDENTITY = 74
COMMON_NAME = 77
INVALID_CSR_INPUT = 80
ATTRIBUTE_EXTENSION = 81
MAX_ENROLLMENTS = 82


class RequestRefused(Exception):  # noqa: N818 -- what happened
    """A request that gets an error envelope."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_authenticated(reason: str) -> RequestRefused:
    """Returns the refusal of a caller whose identity is not proven."""
    _log.info("authentication failed: %s", reason)
    return RequestRefused(401, AUTHENTICATION, "Authentication failure")


def not_authorized(reason: str) -> RequestRefused:
    """Returns the refusal of a caller who may not do this."""
    _log.info("authorization failed: %s", reason)
    return RequestRefused(403, AUTHORIZATION, "Authorization failure")
