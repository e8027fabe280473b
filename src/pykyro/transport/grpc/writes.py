"""Insert, Delete, UpdateMetadata, BatchDelete."""

from __future__ import annotations

import time

from pykyro.model.arguments import checked_namespace
from pykyro.model.errors import CallError, InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.filter import check_filter, names_a_condition
from pykyro.model.limits import DOC_ID_MIN
from pykyro.model.requests import Ack, Delete, DeleteMany, DeleteMatching, Operation, Stage, UpdateMetadata
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.commits import Commits, Inserts, Write
from pykyro.service.tracing import Tracing
from pykyro.telemetry.counters import Counters
from pykyro.tenancy.quota import QuotaExceeded
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.decode_filter import decode_filter


class Writes:
    """The unary RPCs that change something. Each acknowledges what is as durable as the policy promises."""

    def __init__(self, commits: Commits, counters: Counters, tracing: Tracing | None = None) -> None:
        self._commits = commits
        self._tracing = tracing
        self._counters = counters

    async def insert(self, payload: bytes, caller: Caller) -> bytes:
        self._counters.calls_in_flight += 1
        failed = 1
        try:
            ack = await self._commit(Inserts((payload,), caller), payload, "Insert failed")
            failed = 0
            caller.usage.inserts += not ack.existed
        finally:
            self._counters.calls_in_flight -= 1
            self._counters.inserts(1, failed)
        # A new document is in the hot tier until the tier is sealed.
        return pb.InsertResponse(
            success=True,
            inserted_at=int(time.time()),
            tier=pb.InsertResponse.HOT_TIER,
            total_inserted=1,
        ).SerializeToString()

    async def delete(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.DeleteRequest, payload)
        if request.doc_id < DOC_ID_MIN:
            raise InvalidArgument(f"doc_id must be >= {DOC_ID_MIN}", field="doc_id")
        scope = caller.scope(checked_namespace(request.namespace))
        ack = await self._commit(Delete(request.doc_id, scope), payload, "Delete failed")
        caller.usage.deletes += ack.existed
        return pb.DeleteResponse(success=True, existed=ack.existed > 0).SerializeToString()

    async def update_metadata(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.UpdateMetadataRequest, payload)
        update = UpdateMetadata(
            doc_id=decode.checked_doc_id(request.doc_id),
            metadata=decode.client_metadata(request.metadata, bytes_max=len(payload)),
            merge=request.merge,
            scope=caller.scope(checked_namespace(request.namespace)),
        )
        ack = await self._query(update, payload, "Metadata update failed")
        return pb.UpdateMetadataResponse(success=True, existed=ack.existed > 0).SerializeToString()

    async def batch_delete(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.BatchDeleteRequest, payload)
        ack = await self._query(_batch(request, caller), payload, "Batch delete failed")
        caller.usage.deletes += ack.existed
        return pb.BatchDeleteResponse(success=True, deleted_count=ack.existed).SerializeToString()

    async def _query(self, operation: Operation, payload: bytes, doing: str) -> Ack:
        """Commit a write that counts as a query too."""
        started_ns = time.perf_counter_ns()
        try:
            ack = await self._commit(operation, payload, doing)
        except CallError as error:
            if not _asked_too_much(error.cause):
                self._counters.query_failed()
            raise
        self._counters.query(time.perf_counter_ns() - started_ns, alone=False)
        return ack

    async def _commit(self, write: Write, payload: bytes, doing: str) -> Ack:
        start_us = 0 if self._tracing is None else time.time_ns() // 1000
        try:
            (outcome,) = await self._commits.submit(write, weight=len(payload))
        except KyroError as error:
            raise CallError(doing, error) from error
        finally:
            if self._tracing is not None:
                self._tracing.note([Stage("group commit", start_us, time.time_ns() // 1000)])
        if isinstance(outcome, (InvalidArgument, QuotaExceeded)):
            raise outcome
        if isinstance(outcome, KyroError):
            raise CallError(doing, outcome) from outcome
        return outcome


def _asked_too_much(cause: KyroError) -> bool:
    """Whether the call was refused for its own size, which no later try would change."""
    return isinstance(cause, ResourceExhausted) and cause.retry_after_s is None


def _batch(request: pb.BatchDeleteRequest, caller: Caller) -> Operation:
    scope = caller.scope(checked_namespace(request.namespace))
    match request.WhichOneof("delete_criteria"):
        case "ids":
            decode.check_batch(len(request.ids.doc_ids))
            return DeleteMany(list(request.ids.doc_ids), scope)
        case "filter":
            condition = decode_filter(request.filter)
            check_filter(condition)
            if not names_a_condition(condition):
                raise InvalidArgument(
                    "filter names no condition, so it would delete every document in scope or none; "
                    "name at least one exact, range or in_match",
                    field="filter",
                )
            return DeleteMatching(condition, scope)
        case _:
            raise InvalidArgument("No delete criteria provided", field="delete_criteria")
