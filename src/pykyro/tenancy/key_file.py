"""The key file: which keys there are, what each may do, and whether the file itself can be trusted.

    api_keys:
      - key_hash: sha256:9f86…        or  key: kyro_<tenant_id>_<secret>, hashed when it is read
        tenant_id: acme
        tenant_name: Acme Ltd.
        max_vectors: 100000           live documents of the tenant
        max_qps: 500                  0 or left out: the server's default
        enabled: true
        is_admin: false
        created_at: 2025-06-01T12:00:00Z

Fields that are not named here are ignored.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from pykyro.config import SAMPLE_KEY
from pykyro.model.errors import ConfigError
from pykyro.model.limits import COUNT_MAX, KEY_FILE_BYTES_MAX, MAX_QPS_MAX
from pykyro.system.regular_files import read_regular
from pykyro.tenancy.api_keys import ApiKey, digest_from_hash, digest_of, key_fault, tenant_id_fault
from pykyro.tenancy.key_document import KeyEntry, entries

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SAMPLE_DIGEST: Final = digest_of(SAMPLE_KEY)


@dataclass(slots=True)
class KeyFile:
    """The content of a file: every key once, in the order of the file, and warnings for the operator."""

    keys: list[ApiKey] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_key_file(path: Path, *, only_loopback: bool) -> KeyFile:
    """Read and check the whole file. `only_loopback` says that no other machine reaches the server, which alone
    admits the published sample key.

    Raises ConfigError with every fault there is, each naming the file and the entry, none showing a secret.
    """
    check_protection(path)
    return parse_key_file(read_text(path), path, only_loopback=only_loopback)


def read_text(path: Path) -> str:
    """The text of the file. Raises ConfigError."""
    try:
        data = read_regular(path, KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"auth.api_keys_file: {path}: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Not the error itself: it quotes the bytes.
        raise ConfigError(f"auth.api_keys_file: {path}: is not UTF-8 at byte {error.start}") from None


def check_protection(path: Path) -> None:
    """Refuse a file that another user may read or change.

    The rule is PostgreSQL's for private keys: the file belongs to the server's user and to nobody else; or it
    belongs to root and the group may read it, as files a platform mounts for a server do. Raises ConfigError.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise ConfigError(f"auth.api_keys_file: {path}: {error.strerror or error}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"auth.api_keys_file: {path}: is not a file")
    user, mode = os.geteuid(), stat.S_IMODE(facts.st_mode)
    if facts.st_uid not in (user, 0):
        raise ConfigError(
            f"auth.api_keys_file: {path}: belongs to user {facts.st_uid}, the server runs as {user}: "
            f"chown {user} {path}"
        )
    allowed = 0o740 if facts.st_uid == 0 and user != 0 else 0o700
    if mode & ~allowed & 0o777:
        who = "changed" if mode & 0o022 else "read"
        raise ConfigError(
            f"auth.api_keys_file: {path}: can be {who} by other users (mode {mode:04o}): "
            f"chmod {mode & allowed & 0o666:04o} {path}"
        )


def parse_key_file(text: str, path: Path, *, only_loopback: bool) -> KeyFile:
    """`read_key_file` of a text already in memory; `path` names it in messages."""
    where = f"auth.api_keys_file: {path}"
    keys: dict[bytes, ApiKey] = {}
    places: dict[bytes, str] = {}
    faults: list[str] = []
    warnings: list[str] = []
    try:
        for entry in entries(text):
            key, found = _api_key(entry)
            faults += [f"{where}: {entry.place}: {fault}" for fault in found]
            if key is None:
                continue
            if key.digest == _SAMPLE_DIGEST and not only_loopback:
                faults.append(
                    f"{where}: {entry.place}: the sample key is public and works on loopback only: create a key "
                    f"with 'kyrodb keys new', or bind server.host and server.http_host to 127.0.0.1"
                )
            if key.digest in keys:
                warnings.append(
                    f"{path}: {entry.place} repeats the key of {places[key.digest]} and replaces it"
                )
                del keys[key.digest]
            keys[key.digest], places[key.digest] = key, entry.place
    except ConfigError as error:
        faults += [f"{where}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)
    clear = sum(key.clear for key in keys.values())
    if clear:
        warnings.append(
            f"{path}: {clear} of {len(keys)} keys are stored as plain text; store key_hash instead of key "
            "('kyrodb keys new' does)"
        )
    return KeyFile(list(keys.values()), warnings + _disagreements(keys.values(), path))


def _disagreements(keys: Iterable[ApiKey], path: Path) -> list[str]:
    """Keys of one tenant that state different limits: the tenant has one of each, the largest."""
    stated: dict[str, tuple[int, int]] = {}
    differ: set[str] = set()
    for key in keys:
        if key.enabled:
            limits = (key.max_vectors, key.max_qps)
            if stated.setdefault(key.tenant_id, limits) != limits:
                differ.add(key.tenant_id)
    return [
        f"{path}: the keys of tenant {tenant_id} state different max_vectors or max_qps; the largest counts"
        for tenant_id in sorted(differ)
    ]


def _api_key(entry: KeyEntry) -> tuple[ApiKey | None, list[str]]:
    """The key of an entry, and the faults of the entry; no key when anything is."""
    reader = _Fields(entry)
    tenant_id = reader.text("tenant_id", required=True)
    if tenant_id and (fault := tenant_id_fault(tenant_id)):
        reader.faults.append(fault)
    digest, clear = _digest(reader, tenant_id)
    tenant_name = reader.text("tenant_name", required=True)
    max_vectors = reader.integer("max_vectors", 1, COUNT_MAX, required=True)
    max_qps = reader.integer("max_qps", 0, MAX_QPS_MAX)
    enabled = reader.boolean("enabled", required=True)
    is_admin = reader.boolean("is_admin")
    created_at = reader.text("created_at")
    if created_at and not _is_rfc3339(created_at):
        reader.faults.append(
            f"created_at {created_at[:40]!r} must be a time as 2025-06-01T12:00:00Z (RFC 3339)"
        )
    if reader.faults or digest is None:
        return None, reader.faults
    key = ApiKey(digest, tenant_id, tenant_name, max_vectors, max_qps, enabled, is_admin, created_at, clear)
    return key, []


def _digest(reader: _Fields, tenant_id: str) -> tuple[bytes | None, bool]:
    key, key_hash = reader.text("key"), reader.text("key_hash")
    if bool(key) == bool(key_hash):
        reader.faults.append("needs either key or key_hash" + (", and has both" if key else ""))
        return None, False
    if key_hash:
        digest = digest_from_hash(key_hash)
        if digest is None:
            reader.faults.append("key_hash must read sha256: and 64 hexadecimal digits in lower case")
        return digest, False
    if fault := key_fault(key, tenant_id):
        reader.faults.append(fault)
        return None, True
    return digest_of(key), True


def _is_rfc3339(text: str) -> bool:
    if _RFC3339.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        return False
    return True


class _Fields:
    """Reads the fields of one entry as their types, and collects the faults."""

    def __init__(self, entry: KeyEntry) -> None:
        self._fields = entry.fields
        self.faults: list[str] = []

    def text(self, name: str, *, required: bool = False) -> str:
        value = self._fields.get(name)
        if value is None or value.is_null or not value.text.strip():
            if required:
                self.faults.append(f"{name} is missing or empty")
            return ""
        return value.text

    def integer(self, name: str, least: int, most: int, *, required: bool = False) -> int:
        value = self._fields.get(name)
        if value is None or value.is_null:
            if required:
                self.faults.append(f"{name} is missing")
            return 0
        is_number = value.plain and re.fullmatch(r"[0-9]{1,20}", value.text) is not None
        number = int(value.text) if is_number else -1
        if not least <= number <= most:
            self.faults.append(f"{name} must be a whole number from {least} to {most}")
        return number

    def boolean(self, name: str, *, required: bool = False) -> bool:
        value = self._fields.get(name)
        if value is None or value.is_null:
            if required:
                self.faults.append(f"{name} is missing")
            return False
        if not value.plain or value.text not in _BOOLEANS:
            self.faults.append(f"{name} must be true or false")
        return _BOOLEANS.get(value.text, False)
