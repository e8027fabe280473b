"""BulkInsert and BulkLoadHnsw."""

from __future__ import annotations

import time
from typing import Final

from pykyro.model.arguments import Schema
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import BULK_LOAD_BATCH, BULK_LOAD_DOCUMENTS_MAX, STREAM_MESSAGES_MAX
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.admission import Admission
from pykyro.service.commits import Commits
from pykyro.service.open_streams import OpenStream
from pykyro.telemetry.counters import Counters
from pykyro.telemetry.process import ProcessProbe
from pykyro.transport.grpc.ingest import Ingest

_MEMORY_SAMPLE_DOCUMENTS: Final = 1000


class InsertStreams:
    """The RPCs that take a stream of documents. A bad document is counted and the rest goes in."""

    def __init__(
        self,
        commits: Commits,
        schema: Schema,
        counters: Counters,
        process: ProcessProbe,
        admission: Admission,
    ) -> None:
        self._commits = commits
        self._schema = schema
        self._counters = counters
        self._process = process
        self._admission = admission

    async def bulk_insert(self, messages: OpenStream, caller: Caller) -> bytes:
        received = 0
        with self._ingest(caller, names_refused=True) as ingest:
            messages.is_idle, ingest.check = ingest.is_idle, messages.check
            async for payload in messages:
                received += 1
                if received > STREAM_MESSAGES_MAX:
                    break
                await ingest.add(payload)
            await ingest.finish()
            if received > STREAM_MESSAGES_MAX:
                ingest.refuse(ResourceExhausted(f"Batch size exceeds maximum {STREAM_MESSAGES_MAX}"))
        refused = ingest.invalid + ingest.failed
        return pb.InsertResponse(
            success=refused == 0,
            error=ingest.last_error,
            inserted_at=int(time.time()),
            tier=pb.InsertResponse.HOT_TIER if ingest.stored else pb.InsertResponse.UNKNOWN,
            total_inserted=ingest.stored,
            total_failed=refused,
            refusals=ingest.refusals,
            position=ingest.position,
        ).SerializeToString()

    async def bulk_load(self, messages: OpenStream, caller: Caller) -> bytes:
        started_s = time.monotonic()
        received = peak_bytes = 0
        with self._ingest(caller) as ingest:
            messages.is_idle, ingest.check = ingest.is_idle, messages.check
            async for payload in messages:
                if received == BULK_LOAD_DOCUMENTS_MAX:
                    await ingest.finish()
                    raise ResourceExhausted(
                        f"Total document limit exceeded: a load takes at most {BULK_LOAD_DOCUMENTS_MAX}; "
                        f"{ingest.stored} were loaded"
                    )
                if received % _MEMORY_SAMPLE_DOCUMENTS == 0:
                    peak_bytes = max(peak_bytes, self._process.resident_bytes())
                received += 1
                await ingest.add(payload)
                if received % BULK_LOAD_BATCH == 0:
                    await ingest.spend()
                if ingest.quota_exceeded is not None:
                    break
            await ingest.finish()
            if ingest.quota_exceeded is not None:
                raise ingest.quota_exceeded
        duration_s = time.monotonic() - started_s
        return pb.BulkLoadResponse(
            success=ingest.invalid + ingest.failed == 0,
            error=_load_error(ingest),
            total_loaded=ingest.stored,
            total_failed=ingest.invalid + ingest.failed,
            load_duration_ms=duration_s * 1000,
            avg_insert_rate=ingest.stored / max(duration_s, 1e-9),
            peak_memory_bytes=max(peak_bytes, self._process.resident_bytes()),
            position=ingest.position,
        ).SerializeToString()

    def _ingest(self, caller: Caller, *, names_refused: bool = False) -> Ingest:
        return Ingest(
            caller,
            self._commits,
            self._schema,
            self._counters,
            self._admission,
            names_refused=names_refused,
        )


def _load_error(ingest: Ingest) -> str:
    if not ingest.last_error:
        return ""
    return (
        f"Loaded {ingest.stored} docs; {ingest.invalid} failed validation, {ingest.failed} failed insertion; "
        f"last_error={ingest.last_error}"
    )
