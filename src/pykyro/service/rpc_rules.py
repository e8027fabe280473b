"""What a call of each RPC takes: a token of its caller's rate, an admin's key.

An RPC that is not in the table cannot be served, so a new one is not forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pykyro.memory.budget import Kind


@dataclass(frozen=True, slots=True)
class RpcRules:
    """`token`: the call costs one when it begins. Messages of streams cost one each, where they are read.
    `admin`: it acts on the whole server, so with auth it needs a key with is_admin. `takes` is what it counts as when
    memory is short, None for what is never refused."""

    token: bool
    admin: bool = False
    takes: Kind | None = None


# Deletions may begin for as long as reads may: they are how a client makes room.
RULES_OF_RPCS: Final = {
    "Insert": RpcRules(token=True, takes=Kind.WRITE),
    "BatchInsert": RpcRules(token=True, takes=Kind.WRITE),
    "BulkInsert": RpcRules(token=True, takes=Kind.WRITE),
    "BulkLoadHnsw": RpcRules(token=True, takes=Kind.WRITE),
    "Delete": RpcRules(token=True, takes=Kind.READ),
    "UpdateMetadata": RpcRules(token=True, takes=Kind.WRITE),
    "BatchDelete": RpcRules(token=True, takes=Kind.READ),
    "Query": RpcRules(token=True, takes=Kind.READ),
    "BulkQuery": RpcRules(token=True, takes=Kind.READ),
    "Search": RpcRules(token=True, takes=Kind.READ),
    "BulkSearch": RpcRules(token=False, takes=Kind.READ),
    "Scroll": RpcRules(token=True, takes=Kind.READ),
    "Count": RpcRules(token=True, takes=Kind.READ),
    "Sample": RpcRules(token=True, takes=Kind.READ),
    "Facets": RpcRules(token=True, takes=Kind.READ),
    "Health": RpcRules(token=False),
    "Metrics": RpcRules(token=False),
    "GetConfig": RpcRules(token=False),
    "FlushHotTier": RpcRules(token=False, admin=True),
    "Compact": RpcRules(token=False, admin=True),
    "CreateSnapshot": RpcRules(token=False, admin=True),
    "CreateCollection": RpcRules(token=False, admin=True, takes=Kind.WRITE),
    "ListCollections": RpcRules(token=True, takes=Kind.READ),
    "DescribeCollection": RpcRules(token=True, takes=Kind.READ),
    "UpdateCollection": RpcRules(token=False, admin=True),
    "RenameCollection": RpcRules(token=False, admin=True),
    "SetAlias": RpcRules(token=False, admin=True),
    "RemoveAlias": RpcRules(token=False, admin=True),
    "MoveCollection": RpcRules(token=False, admin=True),
    "DropCollection": RpcRules(token=False, admin=True),
}
