"""The RPCs about collections themselves: create, list, describe, change, rename, aliases, drop."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from pykyro.database.collections import Collections
from pykyro.model.collection import CollectionConfig, CollectionInfo, checked_changes, checked_config
from pykyro.model.limits import TTL_US_MAX
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.word_messages import text_options
from pykyro.service.access import Caller
from pykyro.service.threads import Threads, in_thread_of_its_own
from pykyro.transport.grpc import decode

Answer = TypeVar("Answer")


class CatalogueRpcs:
    """Their handlers. What concerns all tenants is told to admins alone."""

    def __init__(self, collections: Collections, threads: Threads) -> None:
        self._collections = collections
        self._threads = threads
        self.unary: Final[dict[str, Callable[[bytes, Caller], Awaitable[bytes]]]] = {
            "CreateCollection": self._create,
            "ListCollections": self._list,
            "DescribeCollection": self._describe,
            "UpdateCollection": self._update,
            "RenameCollection": self._rename,
            "SetAlias": self._set_alias,
            "RemoveAlias": self._remove_alias,
            "MoveCollection": self._move,
            "DropCollection": self._drop,
        }

    async def _create(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.CreateCollectionRequest, payload)
        name, config = request.name, _config(request.config)

        def create() -> tuple[bool, CollectionInfo]:
            created = self._collections.create(name, config, exist_ok=request.exist_ok)
            return created, self._collections.describe(name)

        created, info = await self._threads.run(create)
        return pb.CreateCollectionResponse(
            created=created, collection=_info(info, caller)
        ).SerializeToString()

    async def _list(self, payload: bytes, caller: Caller) -> bytes:
        decode.parse(pb.ListCollectionsRequest, payload)
        infos = await self._threads.run(self._collections.list)
        return pb.ListCollectionsResponse(
            collections=[_info(info, caller) for info in infos]
        ).SerializeToString()

    async def _describe(self, payload: bytes, caller: Caller) -> bytes:
        name = decode.parse(pb.DescribeCollectionRequest, payload).name
        return await self._info_of(lambda: self._collections.describe(name), caller)

    async def _update(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.UpdateCollectionRequest, payload)
        changes = checked_changes(
            request.ef_search if request.HasField("ef_search") else None,
            _ttl(request.default_ttl_us) if request.HasField("default_ttl_us") else None,
        )
        return await self._info_of(lambda: self._collections.update(request.name, changes), caller)

    async def _rename(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.RenameCollectionRequest, payload)

        def rename() -> CollectionInfo:
            self._collections.rename(request.name, request.new_name)
            return self._collections.describe(request.new_name)

        return await self._info_of(rename, caller)

    async def _set_alias(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.SetAliasRequest, payload)

        def set_alias() -> CollectionInfo:
            self._collections.set_alias(request.alias, request.name)
            return self._collections.describe(request.alias)

        return await self._info_of(set_alias, caller)

    async def _remove_alias(self, payload: bytes, caller: Caller) -> bytes:
        alias = decode.parse(pb.RemoveAliasRequest, payload).alias
        existed = await self._threads.run(lambda: self._collections.remove_alias(alias))
        return pb.RemoveAliasResponse(existed=existed).SerializeToString()

    async def _move(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.MoveCollectionRequest, payload)
        # It may take hours, which the pool of short work must not wait for.
        report = await in_thread_of_its_own(
            "move", lambda: self._collections.move(request.name, request.cold_tier)
        )
        return pb.MoveCollectionResponse(
            documents=report.documents,
            copied=report.copied,
            compared=report.compared,
            duration_ms=report.duration_s * 1000,
        ).SerializeToString()

    async def _drop(self, payload: bytes, caller: Caller) -> bytes:
        name = decode.parse(pb.DropCollectionRequest, payload).name
        await self._threads.run(lambda: self._collections.drop(name))
        return pb.DropCollectionResponse().SerializeToString()

    async def _info_of(self, work: Callable[[], CollectionInfo], caller: Caller) -> bytes:
        return _info(await self._threads.run(work), caller).SerializeToString()


def _config(message: pb.CollectionConfig) -> CollectionConfig:
    """Raises InvalidArgument."""
    return checked_config(
        message.dimension,
        message.distance or "cosine",
        m=message.m or 16,
        ef_construction=message.ef_construction or 200,
        ef_search=message.ef_search or 50,
        id_type=message.id_type or "integer",
        default_ttl=_ttl(message.default_ttl_us),
        cold_tier=message.cold_tier,
        text=_text(message.text) if message.HasField("text") else None,
    )


def _text(message: pb.TextOptions) -> dict[str, object]:
    """The options as checked_config takes them."""
    options: dict[str, object] = {"keys": list(message.keys), "stop_words": message.stop_words}
    if message.language:
        options["language"] = message.language
    for name in ("k1", "b"):
        if message.HasField(name):
            options[name] = getattr(message, name)
    return options


def _ttl(microseconds: int) -> timedelta | float:
    return timedelta(microseconds=min(microseconds, 2 * TTL_US_MAX)) if microseconds else math.inf


def _info(info: CollectionInfo, caller: Caller) -> pb.CollectionInfo:
    config = info.config
    message = pb.CollectionInfo(
        name=info.name,
        config=pb.CollectionConfig(
            dimension=config.dimension,
            distance=config.metric.value,
            m=config.m,
            ef_construction=config.ef_construction,
            ef_search=config.ef_search,
            id_type=config.id_type,
            default_ttl_us=config.default_ttl_us,
            cold_tier=config.cold_tier,
            text=text_options(config.words),
        ),
        aliases=info.aliases,
        created_at_us=info.created_us,
        open=info.is_open,
    )
    if caller.is_admin:
        message.trouble = info.trouble
        if info.documents is not None:
            message.documents = info.documents
        if info.size_bytes is not None:
            message.size_bytes = info.size_bytes
    return message
