"""API keys: how one is spelt, and how one is recognised.

    key = "kyro_" tenant_id "_" secret      tenant_id  [A-Za-z0-9_]+
                                            secret     at least 32 of [A-Za-z0-9]

A key is kept as its SHA-256 digest and nothing else. A slow, salted hash is for passwords, which can be guessed
because people choose them; 32 random characters (190 bits) cannot be, so a fast hash gives nothing away, and a
slow one would cost every call, and a client could waste CPU time with many wrong keys.

In lists and logs a key is identified by its `key_id`, the first digits of the digest. The key itself is in no
message, log or repr.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass, field
from typing import Final

from pykyro.model.errors import Unauthenticated
from pykyro.model.limits import API_KEY_CHARS_MIN, API_KEY_SECRET_CHARS_MIN, TENANT_ID_CHARS_MAX

KEY_PREFIX: Final = "kyro_"
HASH_PREFIX: Final = "sha256:"
BEARER: Final = "Bearer "
GENERATED_SECRET_CHARS: Final = 43
"""256 bits and a little, in letters and digits."""

_ALPHABET: Final = string.ascii_letters + string.digits
_TENANT_ID: Final = re.compile(r"[A-Za-z0-9_]+")
_SECRET: Final = re.compile(r"[A-Za-z0-9]+")
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the key file states it. `max_qps` 0 is the server's default; `clear` says that the file holds the
    key itself and not its hash."""

    digest: bytes = field(repr=False)
    tenant_id: str
    tenant_name: str
    max_vectors: int
    max_qps: int = 0
    enabled: bool = True
    is_admin: bool = False
    created_at: str = ""
    clear: bool = False

    @property
    def key_id(self) -> str:
        """Names the key without opening anything: 12 hexadecimal digits."""
        return self.digest.hex()[:12]

    @property
    def key_hash(self) -> str:
        """How the key file spells the digest."""
        return HASH_PREFIX + self.digest.hex()


def digest_of(key: str) -> bytes:
    """The stored form of a key: 32 bytes."""
    # No key has a character that cannot be encoded, so a replaced one still matches nothing.
    return hashlib.sha256(key.encode(errors="replace")).digest()


def digest_from_hash(key_hash: str) -> bytes | None:
    """The digest that `sha256:<64 hexadecimal digits>` spells, None when it spells none."""
    if _HASH.fullmatch(key_hash) is None:
        return None
    return bytes.fromhex(key_hash.removeprefix(HASH_PREFIX))


def generate_key(tenant_id: str) -> str:
    """A new key of that tenant, from the system's source of randomness."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_SECRET_CHARS))
    return f"{KEY_PREFIX}{tenant_id}_{secret}"


def tenant_id_fault(tenant_id: str) -> str:
    """Why this cannot be a tenant's id, "" when it can."""
    if _TENANT_ID.fullmatch(tenant_id) is None:
        return f"tenant_id {tenant_id[:80]!r} must be one or more of the characters A-Z a-z 0-9 _"
    if len(tenant_id) > TENANT_ID_CHARS_MAX:
        return f"tenant_id has {len(tenant_id)} characters; the maximum is {TENANT_ID_CHARS_MAX}"
    return ""


def key_fault(key: str, tenant_id: str) -> str:
    """Why this cannot be a key of the tenant, "" when it can. The sentence does not show the secret."""
    # The secret itself has no underscore, so the last one ends the tenant's part.
    prefix, _, secret = key.rpartition("_")
    if not key.startswith(KEY_PREFIX) or len(prefix) < len(KEY_PREFIX):
        return f"key {redacted(key, tenant_id)} must read kyro_<tenant_id>_<secret>"
    if prefix != KEY_PREFIX + tenant_id:
        return f"key {redacted(key, tenant_id)} belongs to another tenant than tenant_id {tenant_id!r}"
    if len(secret) < API_KEY_SECRET_CHARS_MIN:
        return (
            f"key {redacted(key, tenant_id)}: its secret has {len(secret)} characters, "
            f"the minimum is {API_KEY_SECRET_CHARS_MIN}"
        )
    if _SECRET.fullmatch(secret) is None:
        return f"key {redacted(key, tenant_id)}: its secret must be ASCII letters and digits only"
    assert len(key) >= API_KEY_CHARS_MIN
    return ""


def redacted(key: str, tenant_id: str) -> str:
    """The key with everything hidden that its tenant's id does not tell anyway."""
    known = f"{KEY_PREFIX}{tenant_id}_"
    if key.startswith(known):
        return f"{known}****"
    return f"{KEY_PREFIX}****" if key.startswith(KEY_PREFIX) else "****"


def presented_key(x_api_key: str | None, authorization: str | None) -> str:
    """The key a call came with. x-api-key wins, right or wrong. Raises Unauthenticated when there is none."""
    if x_api_key is not None:
        return x_api_key
    if authorization is not None and authorization.startswith(BEARER):
        return authorization.removeprefix(BEARER)
    raise Unauthenticated("missing api key")
