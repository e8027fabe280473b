"""Which RPCs a client makes about collections; see calls.py."""

from __future__ import annotations

from dataclasses import replace

from pykyro.client.calls import Result, Steps, ask
from pykyro.model.cold_tier import LOCAL, checked_cold_tier
from pykyro.model.collection import (
    CollectionConfig,
    CollectionInfo,
    checked_changes,
    checked_collection_name,
)
from pykyro.model.errors import KyroError
from pykyro.model.expiry import Ttl
from pykyro.model.requests import MoveReport
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.proto.word_messages import text_options


def within(name: str, steps: Steps[Result]) -> Steps[Result]:
    """The same calls for a collection. A field that is written behind a message belongs to it, so no request is made
    anew."""
    suffix = wire.Addressed(collection=name).SerializeToString()
    try:
        call = next(steps)
        while True:
            try:
                responses = yield replace(call, requests=[request + suffix for request in call.requests])
            except KyroError as error:
                call = steps.throw(error)
            else:
                call = steps.send(responses)
    except StopIteration as stop:
        result: Result = stop.value
        return result


def create(name: str, config: CollectionConfig, exist_ok: bool) -> Steps[bool]:
    request = pb.CreateCollectionRequest(
        name=checked_collection_name(name, "name"),
        config=pb.CollectionConfig(
            dimension=config.dimension,
            distance=config.metric.value,
            m=config.m,
            ef_construction=config.ef_construction,
            ef_search=config.ef_search,
            id_type=config.id_type,
            default_ttl_us=config.default_ttl_us,
            cold_tier="" if config.cold_tier == LOCAL else config.cold_tier,
            text=text_options(config.words),
        ),
        exist_ok=bool(exist_ok),
    )
    # Made a second time, after an answer that was lost, it would say that the name is taken.
    response = yield from ask(
        "CreateCollection", request, pb.CreateCollectionResponse, idempotent=bool(exist_ok)
    )
    return response.created


def collections() -> Steps[list[CollectionInfo]]:
    response = yield from ask("ListCollections", pb.ListCollectionsRequest(), pb.ListCollectionsResponse)
    return list(map(_info, response.collections))


def describe(name: str) -> Steps[CollectionInfo]:
    request = pb.DescribeCollectionRequest(name=checked_collection_name(name, "name"))
    return _info((yield from ask("DescribeCollection", request, pb.CollectionInfo)))


def update(name: str, ef_search: int | None, default_ttl: Ttl | None) -> Steps[CollectionInfo]:
    changes = checked_changes(ef_search, default_ttl)
    request = pb.UpdateCollectionRequest(name=checked_collection_name(name, "name"), **changes.values)
    return _info((yield from ask("UpdateCollection", request, pb.CollectionInfo)))


def rename(name: str, new_name: str) -> Steps[None]:
    request = pb.RenameCollectionRequest(
        name=checked_collection_name(name, "name"), new_name=checked_collection_name(new_name, "new_name")
    )
    yield from ask("RenameCollection", request, pb.CollectionInfo, idempotent=False)


def set_alias(alias: str, name: str) -> Steps[None]:
    request = pb.SetAliasRequest(
        alias=checked_collection_name(alias, "alias"), name=checked_collection_name(name, "name")
    )
    yield from ask("SetAlias", request, pb.CollectionInfo)


def remove_alias(alias: str) -> Steps[bool]:
    request = pb.RemoveAliasRequest(alias=checked_collection_name(alias, "alias"))
    response = yield from ask("RemoveAlias", request, pb.RemoveAliasResponse, idempotent=False)
    return response.existed


def move(name: str, cold_tier: str) -> Steps[MoveReport]:
    request = pb.MoveCollectionRequest(
        name=checked_collection_name(name, "name"), cold_tier=str(checked_cold_tier(cold_tier))
    )
    response = yield from ask("MoveCollection", request, pb.MoveCollectionResponse, idempotent=True)
    return MoveReport(response.documents, response.copied, response.compared, response.duration_ms / 1000)


def drop(name: str) -> Steps[None]:
    request = pb.DropCollectionRequest(name=checked_collection_name(name, "name"))
    yield from ask("DropCollection", request, pb.DropCollectionResponse, idempotent=False)


def _words(config: pb.CollectionConfig) -> WordsConfig | None:
    if not config.HasField("text"):
        return None
    text = config.text
    return WordsConfig(tuple(text.keys), text.language, text.k1, text.b, text.stop_words)


def _info(message: pb.CollectionInfo) -> CollectionInfo:
    config = message.config
    return CollectionInfo(
        name=message.name,
        config=CollectionConfig(
            config.dimension,
            Metric(config.distance),
            config.m,
            config.ef_construction,
            config.ef_search,
            config.id_type,
            config.default_ttl_us,
            config.cold_tier or LOCAL,
            _words(config),
        ),
        aliases=tuple(message.aliases),
        created_us=message.created_at_us,
        documents=message.documents if message.HasField("documents") else None,
        size_bytes=message.size_bytes if message.HasField("size_bytes") else None,
        is_open=message.open,
        trouble=message.trouble,
    )
