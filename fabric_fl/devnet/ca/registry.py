"""What a certificate authority remembers: identities, affiliations, certificates. SQLite, one writer."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from fabric_fl.devnet.ca.attributes import Attribute
from fabric_fl.devnet.ca.authority import certificate_pem

REVOKED = -1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identities (
    id TEXT PRIMARY KEY, salt BLOB NOT NULL, secret BLOB NOT NULL, type TEXT NOT NULL, affiliation TEXT NOT NULL,
    attributes TEXT NOT NULL, max_enrollments INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS affiliations (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS certificates (
    serial TEXT NOT NULL, aki TEXT NOT NULL, id TEXT NOT NULL, pem TEXT NOT NULL, expires REAL NOT NULL,
    revoked REAL, reason INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (serial, aki));
CREATE INDEX IF NOT EXISTS certificates_of ON certificates (id);
"""


@dataclass(frozen=True)
class Registered:
    """An identity that may enrol.

    Attributes:
        id: Its enrolment id, the common name of its certificates.
        type: client, peer, orderer, admin or whatever the registrar said; becomes the first OU.
        affiliation: Dotted path, empty for the root.
        attributes: What it has.
        max_enrollments: How often its secret works; -1 for always.
        state: How often it has, or `REVOKED`.
        failures: Wrong secrets since the last right one.
    """

    id: str
    type: str
    affiliation: str
    attributes: tuple[Attribute, ...]
    max_enrollments: int
    state: int = 0
    failures: int = 0

    @property
    def values(self) -> dict[str, str]:
        return {attribute.name: attribute.value for attribute in self.attributes}


@dataclass(frozen=True)
class Issued:
    """A certificate that was issued; serial number and key identifier are hex without leading zeros."""

    serial: str
    aki: str
    id: str
    pem: str
    expires: float
    revoked: float | None


class Registry:
    """The database; a path of ``:memory:`` keeps nothing."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes everything inside happen together or not at all; may be nested."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def identity(self, id_: str) -> Registered | None:
        found = self.identities("WHERE id = ?", [id_])
        return found[0] if found else None

    def identities(self, where: str = "", values: Sequence[Any] = ()) -> list[Registered]:
        query = "SELECT id, type, affiliation, attributes, max_enrollments, state, failures FROM identities "
        rows = self._query(query + where + " ORDER BY id", values)
        return [
            Registered(row[0], row[1], row[2], tuple(Attribute(**each) for each in json.loads(row[3])), *row[4:])
            for row in rows
        ]

    def identities_below(self, affiliation: str) -> list[Registered]:
        """Returns the identities of an affiliation and of those below it; of all for the root."""
        if not affiliation:
            return self.identities()
        return self.identities("WHERE affiliation = ? OR substr(affiliation, 1, ?) = ?", _below(affiliation))

    def put_identity(self, identity: Registered, secret: str | None = None) -> None:
        """Writes an identity; without a secret it keeps the one that it has, or has none."""
        salt = secrets.token_bytes(16)
        values = {
            **asdict(identity),
            "attributes": json.dumps([asdict(each) for each in identity.attributes]),
            "salt": salt,
            "secret": b"" if secret is None else _hash(secret, salt),
        }
        kept = {"id"} if secret is not None else {"id", "salt", "secret"}
        changed = ", ".join(f"{column} = excluded.{column}" for column in values if column not in kept)
        columns, places = ", ".join(values), ", ".join(f":{column}" for column in values)
        query = f"INSERT INTO identities ({columns}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {changed}"  # noqa: S608 -- columns are ours
        self._query(query, values)

    def set_state(self, id_: str, state: int) -> None:
        self._query("UPDATE identities SET state = ? WHERE id = ?", [state, id_])

    def remove_identity(self, id_: str) -> None:
        self._query("DELETE FROM identities WHERE id = ?", [id_])

    def secret_matches(self, id_: str, secret: str) -> bool:
        rows = self._query("SELECT salt, secret FROM identities WHERE id = ?", [id_])
        if not rows or not rows[0][1]:
            return False
        salt, expected = rows[0]
        return hmac.compare_digest(expected, _hash(secret, salt))

    def affiliations(self, below: str = "") -> list[str]:
        """Returns an affiliation and those below it; all of them for the root."""
        if not below:
            return [row[0] for row in self._query("SELECT name FROM affiliations ORDER BY name")]
        query = "SELECT name FROM affiliations WHERE name = ? OR substr(name, 1, ?) = ? ORDER BY name"
        return [row[0] for row in self._query(query, _below(below))]

    def has_affiliation(self, name: str) -> bool:
        return bool(self._query("SELECT 1 FROM affiliations WHERE name = ?", [name]))

    def add_affiliations(self, names: Iterable[str]) -> None:
        with self.transaction():
            for name in names:
                self._db.execute("INSERT OR IGNORE INTO affiliations VALUES (?)", [name])

    def remove_affiliations(self, names: Iterable[str]) -> None:
        with self.transaction():
            for name in names:
                self._db.execute("DELETE FROM affiliations WHERE name = ?", [name])

    def add_certificate(self, id_: str, certificate: x509.Certificate) -> None:
        values = (
            serial_hex(certificate.serial_number),
            authority_key_hex(certificate),
            id_,
            certificate_pem(certificate).decode(),
            certificate.not_valid_after_utc.timestamp(),
        )
        self._query("INSERT OR IGNORE INTO certificates (serial, aki, id, pem, expires) VALUES (?, ?, ?, ?, ?)", values)

    def certificates(self, conditions: Sequence[tuple[str, object]] = ()) -> list[Issued]:
        """Returns the certificates that meet all conditions, such as ``("revoked > ?", 0)``."""
        where = " AND ".join(condition for condition, _ in conditions) or "1"
        query = f"SELECT serial, aki, id, pem, expires, revoked FROM certificates WHERE {where} ORDER BY rowid"  # noqa: S608 -- conditions are ours, values are bound
        return [Issued(*row) for row in self._query(query, [value for _, value in conditions])]

    def revoke(self, certificates: Iterable[Issued], reason: int) -> None:
        now = datetime.datetime.now(datetime.UTC).timestamp()
        with self.transaction():
            for certificate in certificates:
                self._db.execute(
                    "UPDATE certificates SET revoked = ?, reason = ? WHERE serial = ? AND aki = ?",
                    (now, reason, certificate.serial, certificate.aki),
                )

    def _query(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def serial_hex(serial: int) -> str:
    return f"{serial:x}"


def authority_key_hex(certificate: x509.Certificate) -> str:
    """Returns the identifier of the key that signed the certificate."""
    identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return (identifier or b"").hex().lstrip("0")


def _below(affiliation: str) -> tuple[str, int, str]:
    prefix = affiliation + "."
    return affiliation, len(prefix), prefix


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**13, r=8, p=1)
