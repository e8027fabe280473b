"""What a call of each RPC takes: a token of its caller's rate, an admin's key.

An RPC that is not in the table cannot be served, so a new one is not forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Terms:
    """`token`: the call costs one when it begins. Messages of streams cost one each, where they are read.
    `admin`: it acts on the whole server, so with auth it needs a key with is_admin."""

    token: bool
    admin: bool = False


TERMS: Final = {
    "Insert": Terms(token=True),
    "BulkInsert": Terms(token=True),
    "BulkLoadHnsw": Terms(token=True),
    "Delete": Terms(token=True),
    "UpdateMetadata": Terms(token=True),
    "BatchDelete": Terms(token=True),
    "Query": Terms(token=True),
    "BulkQuery": Terms(token=True),
    "Search": Terms(token=True),
    "BulkSearch": Terms(token=False),
    "Health": Terms(token=False),
    "Metrics": Terms(token=False),
    "GetConfig": Terms(token=False),
    "FlushHotTier": Terms(token=False, admin=True),
    "CreateSnapshot": Terms(token=False, admin=True),
}
