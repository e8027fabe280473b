"""Finding documents by text ids among the changes of a group, and removing them so that no gaps come into chains.

Runs under the write lock: what is found stays true until the group is applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pykyro.engine.text_ids import PLACES, TextKeys, rest_of_chain, text_id_of
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import TEXT_ID_KEY, Document, Key, Scope, Vector
from pykyro.storage.wal.records import DeleteRecord, PutRecord, Record

if TYPE_CHECKING:
    from pykyro.engine.resolve import GroupChanges


def text_of(document: Document) -> str:
    """The id of a document to be stored. Raises InvalidArgument."""
    text = document.metadata.get(TEXT_ID_KEY)
    if not text:
        raise InvalidArgument(
            f"document {document.doc_id} has no text id, and the ids of this collection are text",
            field="doc_id",
        )
    return text


def key_of_text(changes: GroupChanges, keys: TextKeys, tenant: int | None, text: str) -> tuple[Key, bool]:
    """The key of the document with this text id, and True; or the key it would be stored under, and False. Raises
    ResourceExhausted when the chain is full."""
    first, free = keys.first(tenant, text), None
    until = keys.goes_on_until(first, may_expire=changes.state.may_expire)
    if first == until and first not in changes.changed and changes.state.locate(first) is None:
        return first, False
    for key in keys.chain_from(first):
        found = _text_at(changes, key)
        if found == text:
            return key, True
        if found is None:
            free = key if free is None else free
            if key >= until:
                break
    if free is not None:
        return free, False
    raise ResourceExhausted(
        f"{PLACES} documents have ids of the same hash as {text[:40]!r}, and no more may have it"
    )


def delete_texts(
    changes: GroupChanges, keys: TextKeys, texts: Iterable[str], scope: Scope
) -> tuple[int, list[Record]]:
    """How many of these documents exist in scope, and the records that remove them and close the gaps."""
    wanted = list(dict.fromkeys(texts))
    # Each sees what the ones before it leave; whether all of them are written is not known yet.
    tried = changes if len(wanted) == 1 else changes.copy()
    records: list[Record] = []
    count = 0
    for text in wanted:
        key, existed = key_of_text(tried, keys, scope.tenant, text)
        if not existed or (scope.namespace and tried.metadata_in(key, scope) is None):
            continue
        removal = _removal(tried, keys, key)
        records += removal
        count += 1
        if tried is not changes:
            tried.note(removal)
    return count, records


def _removal(changes: GroupChanges, keys: TextKeys, key: Key) -> list[Record]:
    """The records that remove a document that is there: the last of its chain takes its place."""
    last = key
    until = keys.goes_on_until(key, may_expire=changes.state.may_expire)
    for behind in rest_of_chain(key):
        if changes.exists(behind):
            last = behind
        elif behind >= until:
            break
    if last == key:
        return [DeleteRecord(key)]
    metadata = changes.now(last)
    assert metadata is not None
    moved = PutRecord(key, _vector_at(changes, last), metadata, encode_metadata(metadata))
    return [moved, DeleteRecord(last)]


def _text_at(changes: GroupChanges, key: Key) -> str | None:
    """The text id of the document that has this key as the group leaves it; None when there is none."""
    if key in changes.changed:
        metadata = changes.now(key)
        return None if metadata is None else metadata[TEXT_ID_KEY]
    place = changes.state.locate(key)
    return None if place is None else text_id_of(place.metadata)


def _vector_at(changes: GroupChanges, key: Key) -> Vector:
    vector = changes.vectors.get(key)
    if vector is None:
        place = changes.state.locate(key)
        assert place is not None
        vector = place.vector
    return vector
