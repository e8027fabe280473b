"""What a group of writes wants to know of documents in the table, asked in one statement before the group is written.

A write is decided while nobody else writes. Without this, each look at the other side would hold up all of them.
What is not found here is asked for then; what fails here fails there, and that operation alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from pykyro.engine.remote.remote_tier import RemoteTier
from pykyro.engine.state import State
from pykyro.engine.text_ids import TextKeys
from pykyro.model.conditions import Terms
from pykyro.model.errors import KyroError
from pykyro.model.requests import Delete, DeleteMany, Operation, Put, PutMany, UpdateMetadata
from pykyro.model.types import TEXT_ID_KEY, AnyId, Key, key_of

_KEYS_MAX: Final = 2048
_TOGETHER: Final = 64
"""Each may have a megabyte of metadata."""


def prefetch(state: State, operations: Sequence[Operation | KyroError]) -> None:
    """Read the rows of these documents."""
    tier = state.version.remote
    if tier is None:
        return
    rows = set[int]()
    for key in _keys(state, operations):
        row = _row(state, tier, key)
        if row is not None:
            rows.add(row)
        if len(rows) >= _KEYS_MAX:
            break
    wanted = sorted(rows)
    with contextlib.suppress(KyroError):
        for at in range(0, len(wanted), _TOGETHER):
            tier.fetch(wanted[at : at + _TOGETHER])


def _row(state: State, tier: RemoteTier, key: Key) -> int | None:
    place = state.find(key)
    return place.row if place is not None and place.tier is tier else None


def _keys(state: State, operations: Sequence[Operation | KyroError]) -> Iterator[Key]:
    texts = state.texts
    for operation in operations:
        for tenant, doc_id in _wanted(operation, texts):
            if texts is not None:
                yield texts.first(tenant, str(doc_id))
            else:
                yield key_of(tenant, int(doc_id))


def _wanted(operation: Operation | KyroError, texts: TextKeys | None) -> Iterator[tuple[int | None, AnyId]]:
    """The documents that the operation wants to know more of than that they are there."""
    if isinstance(operation, PutMany):
        for put in operation.puts:
            yield from _wanted(put, texts)
    elif isinstance(operation, Put):
        document = operation.document
        if texts is not None and document.metadata.get(TEXT_ID_KEY):
            yield document.tenant, document.metadata[TEXT_ID_KEY]
        elif texts is None and _asks(operation.terms):
            yield document.tenant, document.doc_id
    elif isinstance(operation, UpdateMetadata):
        yield operation.scope.tenant, operation.doc_id
    elif isinstance(operation, Delete | DeleteMany) and (
        texts is not None or _asks(operation.terms) or operation.scope.namespace
    ):
        doc_ids = [operation.doc_id] if isinstance(operation, Delete) else operation.doc_ids
        for doc_id in doc_ids:
            yield operation.scope.tenant, doc_id


def _asks(terms: Terms | None) -> bool:
    return terms is not None and (terms.if_position is not None or terms.if_filter is not None)
