"""The idempotency keys of writes that were acknowledged, and the answers: a write sent again is answered from here
and changes nothing.

The latest IDEMPOTENCY_KEYS_MAX are kept. When there is no room for another, the tenant that has the most loses its
oldest: so nobody pushes out the keys of others. They come back with the log, and those of its sealed part stand in a
file (storage/request_keys.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import xxhash

from pykyro.memory.account import Account
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import IDEMPOTENCY_KEYS_MAX
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.requests import (
    Ack,
    Delete,
    DeleteMany,
    DeleteMatching,
    Operation,
    Put,
    PutMany,
    UpdateMetadata,
)
from pykyro.model.types import owner_of
from pykyro.storage.request_keys import Acknowledged
from pykyro.storage.wal.records import KeyRecord

_KEY_BYTES: Final = 400
"""Of one key beside its text: the record, its parts, its places in dicts."""


class RequestKeys:
    """Of one collection. For the writer, under its lock."""

    def __init__(self, account: Account, keys_max: int = IDEMPOTENCY_KEYS_MAX) -> None:
        """What it holds is charged to `account`."""
        self._keys_max = keys_max
        self._charge = account.charge()
        self._owners: dict[int, dict[bytes, Acknowledged]] = {}
        self._count = self._bytes = 0
        self.revision = 0
        """Grows with every change."""

    def __del__(self) -> None:
        self._charge.give_back()

    def __len__(self) -> int:
        return self._count

    def of(self, owner: int, key: bytes) -> Acknowledged | None:
        """What was acknowledged under this key, if that is known still."""
        keys = self._owners.get(owner)
        return None if keys is None else keys.get(key)

    def remember(self, acknowledged: Acknowledged) -> None:
        """Keep this one; perhaps an older one goes."""
        record = acknowledged.record
        keys = self._owners.setdefault(record.owner, {})
        if (before := keys.pop(record.key, None)) is not None:
            self._forgotten(before)
        keys[record.key] = acknowledged
        self._count += 1
        self._bytes += _KEY_BYTES + len(record.key)
        if self._count > self._keys_max:
            most = max(self._owners.values(), key=len)
            self._forgotten(most.pop(next(iter(most))))
        self.revision += 1
        self._charge.set(self._bytes)

    def load(self, keys: Iterable[Acknowledged]) -> None:
        """Remember these, the oldest first."""
        for acknowledged in keys:
            self.remember(acknowledged)

    def all(self) -> list[Acknowledged]:
        """All of them, the oldest first."""
        return sorted(
            (one for keys in self._owners.values() for one in keys.values()), key=lambda one: one.position
        )

    def _forgotten(self, acknowledged: Acknowledged) -> None:
        self._count -= 1
        self._bytes -= _KEY_BYTES + len(acknowledged.record.key)


def key_record(operation: Operation, existed: int) -> KeyRecord:
    """What the log is to keep of an operation with an idempotency key that was answered so."""
    assert operation.terms is not None
    return KeyRecord(_owner(operation), operation.terms.idempotency_key, _digest(operation), existed)


def known_answer(known: Acknowledged, operation: Operation) -> Ack:
    """The answer that was given to this operation before. Raises InvalidArgument when it was another one."""
    if known.record.digest != _digest(operation):
        raise InvalidArgument(
            f"idempotency_key {known.record.key.decode()!r} was used for another write, acknowledged at position "
            f"{known.position}; nothing was changed. Give each write a key of its own, and send it again unchanged",
            field="idempotency_key",
        )
    return Ack(known.position, known.record.existed)


def owner_and_key(operation: Operation) -> tuple[int, bytes]:
    """Whose key an operation has, and the key."""
    assert operation.terms is not None
    return _owner(operation), operation.terms.idempotency_key


def _owner(operation: Operation) -> int:
    if isinstance(operation, Put):
        return owner_of(operation.document.tenant)
    if isinstance(operation, PutMany):
        return owner_of(operation.puts[0].document.tenant) if operation.puts else owner_of(None)
    return owner_of(operation.scope.tenant)


def _digest(operation: Operation) -> bytes:
    """Of everything that is asked, in a form that does not depend on who says it how."""
    digest = xxhash.xxh3_128()
    for part in _parts(operation):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _parts(operation: Operation) -> Iterable[bytes]:
    yield type(operation).__name__.encode()
    if operation.terms is not None:
        # A filter's text names all there is in it: it is made of tuples and texts alone.
        yield repr(operation.terms.without_key()).encode("utf-8", "surrogatepass")
    if isinstance(operation, Put):
        document = operation.document
        yield repr(document.own_id).encode()
        yield document.vector.tobytes()
        yield encode_metadata(document.metadata)
        yield repr(operation.expiry).encode()
    elif isinstance(operation, PutMany):
        for put in operation.puts:
            yield from _parts(put)
    else:
        yield operation.scope.namespace.encode("utf-8", "surrogatepass")
        if isinstance(operation, DeleteMany):
            yield repr(list(operation.doc_ids)).encode()
        elif isinstance(operation, DeleteMatching):
            yield repr(operation.filter).encode("utf-8", "surrogatepass")
        elif isinstance(operation, (Delete, UpdateMetadata)):
            yield repr(operation.doc_id).encode()
            if isinstance(operation, UpdateMetadata):
                yield bytes((operation.merge,))
                yield encode_metadata(operation.metadata)
                yield repr(operation.expiry).encode()
