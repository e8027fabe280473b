"""What a call of each RPC takes: a token of its caller's rate, an admin's key.

An RPC that is not in the table cannot be served, so a new one is not forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RpcRules:
    """`token`: the call costs one when it begins. Messages of streams cost one each, where they are read.
    `admin`: it acts on the whole server, so with auth it needs a key with is_admin."""

    token: bool
    admin: bool = False


RULES_OF_RPCS: Final = {
    "Insert": RpcRules(token=True),
    "BulkInsert": RpcRules(token=True),
    "BulkLoadHnsw": RpcRules(token=True),
    "Delete": RpcRules(token=True),
    "UpdateMetadata": RpcRules(token=True),
    "BatchDelete": RpcRules(token=True),
    "Query": RpcRules(token=True),
    "BulkQuery": RpcRules(token=True),
    "Search": RpcRules(token=True),
    "BulkSearch": RpcRules(token=False),
    "Health": RpcRules(token=False),
    "Metrics": RpcRules(token=False),
    "GetConfig": RpcRules(token=False),
    "FlushHotTier": RpcRules(token=False, admin=True),
    "CreateSnapshot": RpcRules(token=False, admin=True),
}
