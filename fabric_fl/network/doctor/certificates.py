"""Certificates that have ended or soon will."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509

from fabric_fl.network.doctor.finding import Finding

_SOON = datetime.timedelta(days=30)


def ending(root: Path, now: datetime.datetime) -> list[Finding]:
    """Finds certificates below `root` that have ended or end within 30 days.

    Args:
        root: The network's directory, or one organisation's folder.
        now: With a time zone.
    """
    findings = []
    for path in sorted([*root.rglob("*.pem"), *root.rglob("*.crt")]):
        for certificate in _read(path):
            end = certificate.not_valid_after_utc
            if end > now + _SOON:
                continue
            tense = "ended" if end <= now else "ends"
            name = path.relative_to(root)
            findings.append(
                Finding(
                    f"the certificate {name} {tense} on {end:%Y-%m-%d %H:%M} UTC",
                    "Renew it at its CA: docs/operations.md, certificates and their renewal.",
                )
            )
    return findings


def _read(path: Path) -> list[x509.Certificate]:
    try:
        content = path.read_bytes()
        return x509.load_pem_x509_certificates(content) if b"BEGIN CERTIFICATE" in content else []
    except (OSError, ValueError):
        return []  # gone meanwhile, or somebody's file that only looks like one
