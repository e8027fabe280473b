"""Scroll, Count, Sample and Facets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from pykyro.engine.engine import Engine
from pykyro.model.errors import CallError, KyroError
from pykyro.model.listing import PAGE_DOCUMENTS, Page, PageRequest, next_page_token, page_request
from pykyro.model.metadata_wire import varint
from pykyro.model.requests import Found
from pykyro.model.typed_text import tag_of
from pykyro.model.value_order import FACETS, checked_facets
from pykyro.model.values import text_form
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.admission import Admission
from pykyro.service.threads import Threads
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.decode_filter import search_filter
from pykyro.transport.grpc.decode_options import freshness_of
from pykyro.transport.grpc.encode import query_response

_DOCUMENT: Final = b"\x0a"

Answer = TypeVar("Answer")


class Listings:
    """The unary RPCs that read documents without a vector to search for."""

    def __init__(self, engine: Engine, threads: Threads, admission: Admission) -> None:
        self._engine = engine
        self._listing = engine.listing
        self._text_ids = engine.schema.text_ids
        self._threads = threads
        self._admission = admission

    async def scroll(self, payload: bytes, caller: Caller) -> bytes:
        message = decode.parse(pb.ScrollRequest, payload)
        request = page_request(
            message.limit or PAGE_DOCUMENTS,
            search_filter(message.filter if message.HasField("filter") else None, {}),
            message.namespace,
            message.page_token,
            descending=message.descending,
            order_by=message.order_by,
            include_vectors=message.include_embeddings,
            include_metadata=not message.exclude_metadata,
        )
        return await self._answer(
            "Scroll",
            caller,
            lambda own: self._page(self._listing.page(own), own),
            request,
            message.read_options,
        )

    async def count(self, payload: bytes, caller: Caller) -> bytes:
        message = decode.parse(pb.CountRequest, payload)
        request = page_request(
            1,
            search_filter(message.filter if message.HasField("filter") else None, {}),
            message.namespace,
            include_vectors=False,
            include_metadata=False,
        )

        def counted(own: PageRequest) -> bytes:
            count, position = self._listing.count(own.filter, own.scope)
            return pb.CountResponse(count=count, position=position).SerializeToString()

        return await self._answer("Count", caller, counted, request, message.read_options)

    async def sample(self, payload: bytes, caller: Caller) -> bytes:
        message = decode.parse(pb.SampleRequest, payload)
        request = page_request(
            message.count,
            search_filter(message.filter if message.HasField("filter") else None, {}),
            message.namespace,
            include_vectors=message.include_embeddings,
            include_metadata=not message.exclude_metadata,
            limit_name="count",
        )
        return await self._answer(
            "Sample",
            caller,
            lambda own: self._page(self._listing.sample(own), own),
            request,
            message.read_options,
        )

    async def facets(self, payload: bytes, caller: Caller) -> bytes:
        message = decode.parse(pb.FacetsRequest, payload)
        key, limit = checked_facets(message.key, message.limit or FACETS)
        request = page_request(
            1,
            search_filter(message.filter if message.HasField("filter") else None, {}),
            message.namespace,
            include_vectors=False,
            include_metadata=False,
        )
        return await self._answer(
            "Facets", caller, lambda own: self._facets(key, limit, own), request, message.read_options
        )

    def _facets(self, key: str, limit: int, request: PageRequest) -> bytes:
        """The bytes of a FacetsResponse."""
        values, position = self._listing.facets(key, request.filter, request.scope, limit)
        held = self._admission.room_for_answer(sum(len(str(value)) for value, _ in values), len(values))
        texts = [(text_form(value, key), count) for value, count in values]
        facets = [pb.FacetsResponse.Facet(text=text, type=tag_of(text), count=count) for text, count in texts]
        response = pb.FacetsResponse(facets=facets, position=position).SerializeToString()
        del held
        return response

    async def _answer(
        self,
        name: str,
        caller: Caller,
        work: Callable[[PageRequest], bytes],
        request: PageRequest,
        options: pb.ReadOptions,
    ) -> bytes:
        own = request.of(caller.scope(request.scope.namespace))
        try:
            await self._engine.until_fresh(freshness_of(options))
            answer = await self._threads.run(lambda: work(own))
        except KyroError as error:
            raise CallError(f"{name} failed", error) from error
        caller.usage.queries += 1
        return answer

    def _page(self, page: Page, request: PageRequest) -> bytes:
        """The bytes of a ScrollResponse."""
        size = sum(_size(found) for found in page.documents)
        held = self._admission.room_for_answer(size, len(page.documents))
        parts: list[bytes] = []
        for found in page.documents:
            own_id = "" if self._text_ids else found.doc_id
            document = query_response(own_id, found, include_embedding=request.include_vectors)
            parts += (_DOCUMENT, varint(len(document)), document)
        token = next_page_token(page, request)
        parts.append(pb.ScrollResponse(next_page_token=token, position=page.position).SerializeToString())
        response = b"".join(parts)
        del held
        return response


def _size(found: Found) -> int:
    return len(found.metadata_wire) + found.vector.nbytes
