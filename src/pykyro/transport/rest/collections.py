"""Operations on collections and on the server."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pykyro.model.cold_tier import LOCAL
from pykyro.model.expiry import checked_default_ttl
from pykyro.model.words import checked_words
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.word_messages import text_options
from pykyro.transport.rest import answers, render, schemas
from pykyro.transport.rest.calls import Calls
from pykyro.transport.rest.declare import Operation, Reply, Request
from pykyro.transport.rest.documents import WITHIN

_ALIAS: Final = "/v1/aliases/{alias}"


async def list_collections(calls: Calls, request: Request) -> Reply:
    payload = await calls.unary("ListCollections", pb.ListCollectionsRequest())
    response = pb.ListCollectionsResponse.FromString(payload)
    return Reply({"collections": [render.collection(info) for info in response.collections]})


async def create(calls: Calls, request: Request) -> Reply:
    body: schemas.CreateCollection = request.body
    message = pb.CreateCollectionRequest(
        name=request.path["collection"],
        config=pb.CollectionConfig(
            dimension=body.dimension,
            distance=body.distance,
            m=body.m,
            ef_construction=body.ef_construction,
            ef_search=body.ef_search,
            id_type=body.id_type,
            default_ttl_us=checked_default_ttl(body.default_ttl),
            cold_tier="" if body.cold_tier == LOCAL else body.cold_tier,
            text=text_options(checked_words(body.text)),
        ),
        exist_ok=body.exist_ok,
    )
    payload = await calls.unary("CreateCollection", message)
    response = pb.CreateCollectionResponse.FromString(payload)
    status = HTTPStatus.CREATED if response.created else HTTPStatus.OK
    return Reply(render.collection(response.collection), status)


async def describe(calls: Calls, request: Request) -> Reply:
    message = pb.DescribeCollectionRequest(name=request.path["collection"])
    return _info(await calls.unary("DescribeCollection", message))


async def change(calls: Calls, request: Request) -> Reply:
    body: schemas.ChangeCollection = request.body
    changes: dict[str, Any] = {}
    if body.ef_search is not None:
        changes["ef_search"] = body.ef_search
    if "default_ttl" in body.model_fields_set:
        changes["default_ttl_us"] = checked_default_ttl(body.default_ttl)
    message = pb.UpdateCollectionRequest(name=request.path["collection"], **changes)
    return _info(await calls.unary("UpdateCollection", message))


async def rename(calls: Calls, request: Request) -> Reply:
    message = pb.RenameCollectionRequest(name=request.path["collection"], new_name=request.body.new_name)
    return _info(await calls.unary("RenameCollection", message))


async def drop(calls: Calls, request: Request) -> Reply:
    await calls.unary("DropCollection", pb.DropCollectionRequest(name=request.path["collection"]))
    return Reply({"dropped": True})


async def move(calls: Calls, request: Request) -> Reply:
    message = pb.MoveCollectionRequest(name=request.path["collection"], cold_tier=request.body.cold_tier)
    response = pb.MoveCollectionResponse.FromString(await calls.unary("MoveCollection", message))
    return Reply(
        {
            "documents": response.documents,
            "copied": response.copied,
            "compared": response.compared,
            "duration_ms": response.duration_ms,
        }
    )


async def set_alias(calls: Calls, request: Request) -> Reply:
    message = pb.SetAliasRequest(alias=request.path["alias"], name=request.body.collection)
    return _info(await calls.unary("SetAlias", message))


async def remove_alias(calls: Calls, request: Request) -> Reply:
    payload = await calls.unary("RemoveAlias", pb.RemoveAliasRequest(alias=request.path["alias"]))
    return Reply({"existed": pb.RemoveAliasResponse.FromString(payload).existed})


async def health(calls: Calls, request: Request) -> Reply:
    payload = await calls.unary("Health", pb.HealthRequest(component=request.query.component))
    response = pb.HealthResponse.FromString(payload)
    return Reply(
        {
            "status": pb.HealthResponse.Status.Name(response.status).lower(),
            "version": response.version,
            "components": dict(response.components),
            "uptime_seconds": response.uptime_seconds,
            "git_commit": response.git_commit,
        }
    )


async def metrics(calls: Calls, request: Request) -> Reply:
    payload = await calls.unary("Metrics", pb.MetricsRequest(), request.path["collection"])
    return Reply(render.fields(pb.MetricsResponse.FromString(payload)))


async def config(calls: Calls, request: Request) -> Reply:
    payload = await calls.unary("GetConfig", pb.ConfigRequest(), request.path["collection"])
    return Reply(render.fields(pb.ConfigResponse.FromString(payload)))


async def flush(calls: Calls, request: Request) -> Reply:
    message = pb.FlushRequest(force=request.body.force)
    response = pb.FlushResponse.FromString(
        await calls.unary("FlushHotTier", message, request.path["collection"])
    )
    return Reply({"documents": response.documents_flushed, "duration_ms": response.flush_duration_ms})


async def compact(calls: Calls, request: Request) -> Reply:
    response = pb.CompactResponse.FromString(
        await calls.unary("Compact", pb.CompactRequest(), request.path["collection"])
    )
    return Reply(
        {
            "documents": response.documents,
            "segments_before": response.segments_before,
            "segments": response.segments,
            "bytes_before": response.bytes_before,
            "bytes": response.bytes,
            "duration_ms": response.duration_ms,
        }
    )


async def snapshot(calls: Calls, request: Request) -> Reply:
    response = pb.SnapshotResponse.FromString(
        await calls.unary("CreateSnapshot", pb.SnapshotRequest(), request.path["collection"])
    )
    return Reply(
        {
            "path": response.snapshot_path,
            "documents": response.documents_snapshotted,
            "size_bytes": response.snapshot_size_bytes,
        }
    )


def _info(payload: bytes) -> Reply:
    return Reply(render.collection(pb.CollectionInfo.FromString(payload)))


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/collections",
        "listCollections",
        "All collections",
        list_collections,
        answers.Collections,
        "ListCollections",
    ),
    Operation(
        "PUT",
        WITHIN,
        "createCollection",
        "Create a collection",
        create,
        answers.Collection,
        "CreateCollection",
        body=schemas.CreateCollection,
        statuses=(201, 200),
        errors=(409,),
    ),
    Operation(
        "GET",
        WITHIN,
        "describeCollection",
        "Describe a collection",
        describe,
        answers.Collection,
        "DescribeCollection",
        errors=(404,),
    ),
    Operation(
        "PATCH",
        WITHIN,
        "changeCollection",
        "Change what can change of a collection",
        change,
        answers.Collection,
        "UpdateCollection",
        body=schemas.ChangeCollection,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        WITHIN,
        "dropCollection",
        "Remove a collection with all its documents",
        drop,
        answers.Dropped,
        "DropCollection",
        errors=(404,),
    ),
    Operation(
        "POST",
        f"{WITHIN}/rename",
        "renameCollection",
        "Give a collection another name",
        rename,
        answers.Collection,
        "RenameCollection",
        body=schemas.RenameCollection,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        f"{WITHIN}/move",
        "moveCollection",
        "Have the sealed documents elsewhere, or here again, while the collection is used",
        move,
        answers.Moved,
        "MoveCollection",
        body=schemas.MoveCollection,
        errors=(404,),
    ),
    Operation(
        "PUT",
        _ALIAS,
        "setAlias",
        "Have an alias stand for a collection",
        set_alias,
        answers.Collection,
        "SetAlias",
        body=schemas.SetAlias,
        errors=(404, 409),
    ),
    Operation(
        "DELETE",
        _ALIAS,
        "removeAlias",
        "Take an alias away, not its collection",
        remove_alias,
        answers.AliasRemoved,
        "RemoveAlias",
    ),
    Operation(
        "GET",
        "/v1/health",
        "health",
        "The state of the server and of its parts",
        health,
        answers.Health,
        "Health",
        query=schemas.HealthQuery,
    ),
    Operation(
        "GET",
        f"{WITHIN}/metrics",
        "metrics",
        "Figures of a collection and of the server",
        metrics,
        answers.Figures,
        "Metrics",
        errors=(404,),
    ),
    Operation(
        "GET",
        f"{WITHIN}/config",
        "config",
        "The configuration that holds for a collection",
        config,
        answers.Figures,
        "GetConfig",
        errors=(404,),
    ),
    Operation(
        "POST",
        f"{WITHIN}/flush",
        "flush",
        "Seal the hot tier into a segment",
        flush,
        answers.Flushed,
        "FlushHotTier",
        body=schemas.Flush,
        errors=(404,),
    ),
    Operation(
        "POST",
        f"{WITHIN}/compact",
        "compact",
        "Merge all segments, so that deleted documents take no space",
        compact,
        answers.Compacted,
        "Compact",
        body=schemas.Nothing,
        errors=(404,),
    ),
    Operation(
        "POST",
        f"{WITHIN}/snapshot",
        "snapshot",
        "Leave a snapshot below the data directory",
        snapshot,
        answers.Snapshot,
        "CreateSnapshot",
        body=schemas.Nothing,
        errors=(404,),
    ),
)
