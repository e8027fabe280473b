"""What has been indexed, and when: LangChain's RecordManager, for `langchain_core.indexing.index`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from os import PathLike
from typing import Any, Final

from langchain_core.indexing import RecordManager

import pykyro
from pykyro.integrations.places import Given, Place
from pykyro.integrations.store_collection import StoreCollection, found, require_stored

_NO_VECTOR: Final = [1.0]
_IDS_AT_ONCE: Final = 5000
_GROUPS_AT_ONCE: Final = 1000


class KyroRecordManager(RecordManager):
    """Records in a collection, by keys; `namespace` keeps those of one index apart from others'."""

    def __init__(
        self,
        namespace: str,
        collection: str = "langchain.records",
        *,
        path: str | PathLike[str] | None = None,
        url: str | None = None,
        database: Given | None = None,
        api_key: str | None = None,
        tls: pykyro.Tls | bool = False,
        timeout_s: float = 30.0,
        create: bool = True,
    ) -> None:
        """Where the records are is said as for a KyroVectorStore. Raises InvalidArgument, and what `pykyro.open` and
        `pykyro.Client` raise."""
        super().__init__(namespace)
        self._place: Final = Place(
            path=path, url=url, database=database, api_key=api_key, tls=tls, timeout_s=timeout_s
        )
        self._collection: Final = StoreCollection(self._place, collection, create=create)

    def create_schema(self) -> None:
        """Make the collection, unless it is there."""
        self._collection.to_write(len(_NO_VECTOR))

    async def acreate_schema(self) -> None:
        """`create_schema` for coroutines."""
        await asyncio.to_thread(self.create_schema)

    def get_time(self) -> float:
        """Seconds since the Unix epoch, by the clock of this machine: let one machine at a time index."""
        return time.time()

    async def aget_time(self) -> float:
        """The same."""
        return self.get_time()

    def update(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        """Note that these keys were indexed now. Raises ValueError when there are not as many group ids, or when the
        clock is behind `time_at_least`."""
        groups = [None] * len(keys) if group_ids is None else list(group_ids)
        if len(groups) != len(keys):
            raise ValueError(
                f"Number of keys ({len(keys)}) does not match number of group_ids ({len(groups)})"
            )
        now = self.get_time()
        if time_at_least is not None and now < time_at_least:
            raise ValueError(f"time_at_least {time_at_least} is later than the clock says, {now}")
        rows = [
            (self._id(key), _NO_VECTOR, {"key": key, "group": group, "at": now})
            for key, group in zip(keys, groups, strict=True)
        ]
        if rows:
            require_stored(self._collection.to_write(len(_NO_VECTOR)).insert_many(rows, self.namespace))

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Whether there is a record of each key."""
        collection = self._collection.to_read()
        if collection is None:
            return [False] * len(keys)
        known: set[str] = set()
        for begin in range(0, len(keys), _IDS_AT_ONCE):
            ids = [self._id(key) for key in keys[begin : begin + _IDS_AT_ONCE]]
            known |= {
                one.id for one in found(collection.get_many(ids, self.namespace, include_vectors=False))
            }
        return [self._id(key) in known for key in keys]

    def list_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """The keys that were noted before and after these times, of these groups."""
        collection = self._collection.to_read()
        if collection is None:
            return []
        bounds: dict[str, Any] = {}
        if before is not None:
            bounds["$lt"] = before
        if after is not None:
            bounds["$gt"] = after
        keys: list[str] = []
        for groups in _parts(group_ids):
            parts = ([{"at": bounds}] if bounds else []) + (
                [] if groups is None else [{"group": {"$in": groups}}]
            )
            for one in collection.documents(
                filter={"$and": parts} if parts else None, namespace=self.namespace
            ):
                if limit is not None and len(keys) >= limit:
                    return keys
                keys.append(one.metadata["key"])
        return keys

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Forget these keys."""
        collection = self._collection.to_read()
        if collection is not None and keys:
            collection.delete_many([self._id(key) for key in keys], namespace=self.namespace)

    async def aupdate(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        """`update` for coroutines."""
        await asyncio.to_thread(self.update, keys, group_ids=group_ids, time_at_least=time_at_least)

    async def aexists(self, keys: Sequence[str]) -> list[bool]:
        """`exists` for coroutines."""
        return await asyncio.to_thread(self.exists, keys)

    async def alist_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """`list_keys` for coroutines."""
        return await asyncio.to_thread(
            self.list_keys, before=before, after=after, group_ids=group_ids, limit=limit
        )

    async def adelete_keys(self, keys: Sequence[str]) -> None:
        """`delete_keys` for coroutines."""
        await asyncio.to_thread(self.delete_keys, keys)

    def close(self) -> None:
        """Close what the manager opened. Closing twice is allowed."""
        self._place.close()

    def _id(self, key: str) -> str:
        # Ids are those of the whole collection, where another namespace may have the same key.
        return hashlib.sha256(f"{len(self.namespace)}:{self.namespace}{key}".encode()).hexdigest()


def _parts(group_ids: Sequence[str] | None) -> list[list[str] | None]:
    if group_ids is None:
        return [None]
    groups = list(dict.fromkeys(group_ids))
    return [groups[begin : begin + _GROUPS_AT_ONCE] for begin in range(0, len(groups), _GROUPS_AT_ONCE)]
